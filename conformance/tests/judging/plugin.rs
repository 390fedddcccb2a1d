//! The family `plugin` as the command line has it: a host and its plugin, a plugin alone, both orders of a chunk and both wirings,
//! commands of other names, and programs that are neither.

use std::path::Path;

use conformance::subject::place::RunFolder;

use crate::common::{Bench, Judgement, fixtures, has_tier_a, reference, side_by_side, write_program};
use crate::null_programs::PROGRAMS;

const PAIR: [&str; 2] = ["plugin-host", "plugin"];

fn bench() -> Bench {
    Bench::new(&std::env::var_os("PATH").unwrap_or_default())
}

fn judged(bench: &Bench, bin: &Path, args: &[&str]) -> Judgement {
    bench.judge(bin, &[&["--family", "plugin"][..], args].concat())
}

/// There are requirements that begin so, and every one's verdict is this.
fn all_are(run: &Judgement, beginning: &str, verdict: &str) {
    let those: Vec<_> = run.report.requirements.iter().filter(|entry| entry.id.starts_with(beginning)).collect();
    assert!(!those.is_empty() && those.iter().all(|entry| entry.verdict == verdict), "{those:#?}");
}

#[test]
fn the_host_and_plugin_of_the_reference_are_judged_alike() {
    let profile = fixtures().join("profiles/reference.toml");
    let profile = ["--profile", profile.to_str().unwrap()];
    for (tier, is_there) in [("A", has_tier_a()), ("B", RunFolder::grouped().is_ok()), ("C", true)] {
        if !is_there {
            continue;
        }
        let bench = bench();
        let pair = bench.copy_of_programs(&reference(), &PAIR);
        let bundle = bench.folder().join("bundle");
        let kept = ["--tier", tier, "--bundle", bundle.to_str().unwrap()];
        let run = judged(&bench, &pair, &[&profile[..], &kept].concat());
        all_are(&run, "", "pass");
        assert!(run.report.requirements.len() >= 70 && run.status == 0, "{tier}: {}", run.stdout);
        std::fs::remove_dir_all(&pair).unwrap();
        bench.replays(&bundle, run.status);
    }
}

#[test]
fn a_plugin_is_judged_without_a_host() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &["plugin"]);
    for bin in [pair.join("plugin"), pair] {
        let run = judged(&bench, &bin, &["--only", "connection.host-killed", "--only", "plugin.bytes"]);
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
        all_are(&run, "host.starts", "not_applicable");
        all_are(&run, "connection", "not_applicable");
        all_are(&run, "plugin", "pass");
        assert!(run.stdout.starts_with("plugin    /"), "{}", run.stdout);
    }
}

fn with_profile(bench: &Bench, pair: &Path, text: &str, args: &[&str]) -> Judgement {
    let profile = bench.folder().join("profile.toml");
    std::fs::write(&profile, format!("grades = ['plugin', 'house']\n[plugin]\n{text}")).unwrap();
    judged(bench, pair, &[&["--profile", profile.to_str().unwrap()][..], args].concat())
}

#[test]
fn the_order_of_parts_and_the_wiring_are_those_of_the_profile() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &PAIR);
    for (text, is_so) in [
        ("order = 'described'\nhost = ['--described', '{plugin}', '--described']\nplugin = ['--described']", true),
        ("host = ['--standard', '{plugin}']", true),
        // Each speaks in the order that the other does not.
        ("order = 'described'", false),
        ("host = ['--described', '{plugin}', '--described']\nplugin = ['--described']", false),
    ] {
        let args: &[&str] =
            if is_so { &[] } else { &["--only", "plugin.id", "--only", "host.answer", "--timeout-scale", "0.2"] };
        let run = with_profile(&bench, &pair, text, args);
        if is_so {
            all_are(&run, "", "pass");
        } else {
            assert_eq!(run.status, 1, "{text}: {}", run.stdout);
            // What is not understood as it stands is not taken for something else.
            all_are(&run, "plugin.id", "blocked");
            all_are(&run, "host.answer", "blocked");
        }
    }
}

#[test]
fn commands_and_lines_are_those_of_the_profile() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &PAIR);
    // A host that is spoken to and speaks in another way, over the one that is there.
    std::fs::rename(pair.join("plugin-host"), pair.join("real")).unwrap();
    let real = pair.join("real").display().to_string();
    let other = format!(
        "#!/bin/sh\nsed -u 's/^ask \\([^ ]*\\) for /call \\1 /' | '{real}' \"$1\" | sed -u 's/^\\([a-z]*\\): /\\1 says /'\n"
    );
    write_program(&pair.join("plugin-host"), &other);
    let only = ["--only", "host.answer", "--only", "host.reversed", "--only", "plugin.refused"];
    let lines = "call = 'ask {command} for {text}'\nshows = '{command} says {text}'\n";
    let run = with_profile(&bench, &pair, lines, &only);
    all_are(&run, "host.re", "pass");
    all_are(&run, "plugin.refused", "pass");
    // A plugin that asks its host for nothing, and never fails.
    let run = with_profile(&bench, &pair, &format!("{lines}back = ''\nfail = ''\n"), &["--only", "plugin"]);
    for none in ["plugin.back", "plugin.own-numbers", "plugin.refused", "plugin.error", "plugin.host-gone-in-call"] {
        all_are(&run, none, "not_applicable");
    }
    assert_eq!(run.status, 0, "{}", run.stdout);
    // One that has no echo has nothing that it could be judged by.
    let run =
        with_profile(&bench, &pair, "echo = 'say.again'\n", &["--only", "plugin.bytes", "--timeout-scale", "0.2"]);
    let seen = run.report.entry("plugin.numbers").unwrap();
    assert!(seen.verdict == "fail" && seen.seen.as_ref().unwrap().contains("say.again"), "{seen}");
}

#[test]
fn programs_that_are_neither_host_nor_plugin_pass_nothing_that_judges_them() {
    let sides = [&PAIR[..1], &PAIR[1..], &PAIR];
    let all: Vec<_> = sides.iter().flat_map(|side| PROGRAMS.iter().map(move |program| (*side, program))).collect();
    let programs = reference();
    let said = side_by_side(6, &all, |(replaced, (name, text))| {
        let bench = bench().with_memory(4 << 20);
        let pair = bench.copy_of_programs(&programs, &PAIR);
        for file in *replaced {
            write_program(&pair.join(file), &format!("#!/bin/sh\n{text}\n"));
        }
        let run = bench.try_judge(&pair, &["--family", "plugin", "--timeout-scale", "0.2"]);
        let judges = |id: &str| match id.split('.').next().unwrap_or_default() {
            "plugin" => replaced.contains(&"plugin"),
            "host" => replaced.contains(&"plugin-host"),
            _ => true,
        };
        let wrong = run.report.requirements.iter().filter(|entry| match entry.verdict.as_str() {
            "pass" => judges(&entry.id),
            "harness_fault" => true,
            _ => false,
        });
        let mut said: Vec<_> = wrong.map(ToString::to_string).collect();
        if !matches!(run.status, 1 | 4) || run.report.requirements.len() < 70 {
            said.push(format!("exit status {}: {}", run.status, run.stderr));
        }
        said.extend(run.left.iter().map(|left| format!("left behind: {left}")));
        said.into_iter().map(|problem| format!("{name} as {}: {problem}", replaced.join(" and "))).collect()
    });
    assert!(said.is_empty(), "{} complaints:\n{}", said.len(), said.join("\n"));
}
