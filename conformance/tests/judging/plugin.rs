//! The family `plugin` as the command line has it: a host and its plugin, a plugin alone, both orders of a chunk and both wirings,
//! commands of other names, and programs that are neither.

use std::path::Path;

use conformance::family::Family;

use crate::common::{Bench, Judgement, reference, write_program};
use crate::families::{all_are, bench, judged, null_programs_pass_nothing, the_reference_is_judged_alike};

#[test]
fn the_host_and_plugin_of_the_reference_are_judged_alike() {
    the_reference_is_judged_alike(Family::Plugin);
}

#[test]
fn a_plugin_is_judged_without_a_host() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &["plugin"]);
    for bin in [pair.join("plugin"), pair] {
        let run = judged(Family::Plugin, &bench, &bin, &["--only", "connection.host-killed", "--only", "plugin.bytes"]);
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
        all_are(&run, "host.starts", "not_applicable");
        all_are(&run, "connection", "not_applicable");
        all_are(&run, "plugin", "pass");
        assert!(run.stdout.starts_with("plugin    /"), "{}", run.stdout);
    }
    // Whatever is wrong with it, a host that is not there is not judged.
    let pair = bench.folder().join("pair");
    write_program(&pair.join("plugin"), "#!/bin/sh\nexec true\n");
    let run = judged(Family::Plugin, &bench, &pair, &["--timeout-scale", "0.2"]);
    all_are(&run, "host", "not_applicable");
    all_are(&run, "connection", "not_applicable");
    assert_eq!(run.status, 1, "{}", run.stdout);
}

fn with_profile(bench: &Bench, pair: &Path, text: &str, args: &[&str]) -> Judgement {
    let profile = bench.folder().join("profile.toml");
    std::fs::write(&profile, format!("grades = ['plugin', 'house']\n[plugin]\n{text}")).unwrap();
    judged(Family::Plugin, bench, pair, &[&["--profile", profile.to_str().unwrap()][..], args].concat())
}

#[test]
fn the_order_of_parts_and_the_wiring_are_those_of_the_profile() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &Family::Plugin.file_names());
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
fn a_profile_by_which_every_program_would_fail_is_refused() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &Family::Plugin.file_names());
    for (text, expected) in [
        ("host = []", "host: expected {plugin} in it, found ``"),
        ("numbers = '--in {reads}'", "numbers: expected {writes} in it, found `--in {reads}`"),
        ("call = 'do {command}'", "call: expected {text} in it, found `do {command}`"),
        ("shows = 'x'", "shows: expected {text} in it, found `x`"),
        ("echo = ''", "echo: expected a command, found none"),
        ("back = 'a b'", "back: expected no blanks in it, found `a b`"),
    ] {
        let profile = bench.folder().join("profile.toml");
        std::fs::write(&profile, format!("[plugin]\n{text}")).unwrap();
        let output = bench
            .suite()
            .args(["--family", "plugin", "--bin"])
            .arg(&pair)
            .arg("--profile")
            .arg(&profile)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(&format!("[plugin] {expected}")), "{text}: {said}");
    }
}

#[test]
fn commands_and_lines_are_those_of_the_profile() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &Family::Plugin.file_names());
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
    null_programs_pass_nothing(Family::Plugin, &[], |id| match id.split('.').next().unwrap_or_default() {
        "plugin" => (false, true),
        "host" => (true, false),
        _ => (true, true),
    });
}
