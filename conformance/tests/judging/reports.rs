//! The whole report, as a person reads it: for a pair that conforms and for one that does not.
//!
//! Times, ports and places are made alike, and so is the order in which channels were seen; nothing else.
// What cannot be seen on another system, and how it words its errors, would make other reports.
#![cfg(target_os = "linux")]

use crate::common::{Bench, forgetful, python_pair, python_path};

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
