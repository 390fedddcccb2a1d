//! The whole report, as a person reads it: for a pair that conforms and for one that does not.
//!
//! Times, ports and places are made alike, and so is the order in which channels were seen; nothing else.
// What cannot be seen on another system, and how it words its errors, would make other reports.
#![cfg(target_os = "linux")]

use crate::common::{Bench, forgetful, python_pair, python_path, reference};

#[test]
fn the_report_of_a_pair_that_conforms() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let run = bench.judge(&python_pair(), &["--only", "start", "--only", "command", "--only", "wire"]);
    assert_eq!(run.status, 0, "{}", run.stdout);
    snapshot("report of a pair that conforms", &settled(&run.stdout, &bench));
}

#[test]
fn the_report_of_a_pair_that_does_not() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let pair = forgetful(&bench);
    let run = bench.judge(&pair, &["--only", "command"]);
    assert_eq!(run.status, 1, "{}", run.stdout);
    snapshot("report of a pair that does not conform", &settled(&run.stdout, &bench));
}

/// Some systems count what a process had before it became another program, or lent from its parent until then.
#[test]
#[cfg(target_os = "linux")]
fn the_memory_of_a_judge_is_not_that_of_who_started_it() {
    let large = std::hint::black_box(vec![1_u8; 400 << 20]);
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let report = bench.folder().join("report.json");
    let mut suite = bench.suite();
    suite.args(["--tier", "C", "--only", "start.server", "--bin"]).arg(reference()).arg("--json").arg(&report);
    assert!(suite.output().unwrap().status.success());
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    let memory_kib = report["memory_kib"].as_u64().unwrap();
    assert!((1..200 << 10).contains(&memory_kib), "{memory_kib} KiB beside {} bytes", large.len());
}

fn snapshot(name: &str, report: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name.replace(' ', "-"), report);
    });
}

/// A report without what differs from run to run.
fn settled(report: &str, bench: &Bench) -> String {
    let pairs = python_pair().canonicalize().unwrap();
    let report = report
        .replace(&pairs.display().to_string(), "PAIR")
        .replace(&python_pair().display().to_string(), "PAIR")
        .replace(&bench.folder().join("pair").display().to_string(), "PAIR");
    let mut lines: Vec<String> = Vec::new();
    let mut evidence: Vec<String> = Vec::new();
    for line in report.lines() {
        let seen = line
            .strip_prefix("    ")
            .map(str::trim_start)
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if let Some((_time, seen)) = seen.and_then(|seen| seen.split_once(' ')) {
            // What was seen on several channels at about the same time is in any order: one that can be compared.
            evidence.push(format!("    TIME {}", without_ports(seen)));
        } else {
            evidence.sort();
            lines.append(&mut evidence);
            lines.push(without_times(&without_ports(line)));
        }
    }
    lines.join("\n")
}

fn without_ports(line: &str) -> String {
    let mut parts = line.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        format!("{all}127.0.0.1:PORT{}", part.trim_start_matches(|c: char| c.is_ascii_digit()))
    })
}

fn without_times(line: &str) -> String {
    match line.split_once(" s in all") {
        Some(_) => "TIME in all, and where it went".to_owned(),
        None => line.to_owned(),
    }
}
