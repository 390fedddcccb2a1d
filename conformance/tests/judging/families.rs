//! What the tests of families have in common whose reference is judged by the profile that grades everything.

use std::path::Path;

use conformance::family::Family;
use conformance::spec::requirements_of;
use conformance::subject::place::RunFolder;

use crate::common::{Bench, Judgement, fixtures, has_tier_a, reference, side_by_side, write_program};
use crate::null_programs::PROGRAMS;

pub(crate) fn bench() -> Bench {
    Bench::new(&std::env::var_os("PATH").unwrap_or_default())
}

pub(crate) fn judged(family: Family, bench: &Bench, bin: &Path, args: &[&str]) -> Judgement {
    bench.judge(bin, &[&["--family", &family.to_string()][..], args].concat())
}

/// There are requirements that begin so, and every one's verdict is this.
pub(crate) fn all_are(run: &Judgement, beginning: &str, verdict: &str) {
    let those: Vec<_> = run.report.requirements.iter().filter(|entry| entry.id.starts_with(beginning)).collect();
    assert!(!those.is_empty() && those.iter().all(|entry| entry.verdict == verdict), "{those:#?}");
}

/// The reference passes everything in every tier, and when the run is judged again without the programs.
pub(crate) fn the_reference_is_judged_alike(family: Family) {
    let profile = fixtures().join("profiles/reference.toml");
    let profile = ["--profile", profile.to_str().unwrap()];
    for (tier, is_there) in [("A", has_tier_a()), ("B", RunFolder::grouped().is_ok()), ("C", true)] {
        if !is_there {
            continue;
        }
        let bench = bench();
        let pair = bench.copy_of_programs(&reference(), &family.file_names());
        let bundle = bench.folder().join("bundle");
        let kept = ["--tier", tier, "--bundle", bundle.to_str().unwrap()];
        // For a thousand clients, as far as the family has any.
        let room = ["--max-processes", "2000", "--max-files", "12000"];
        let run = judged(family, &bench, &pair, &[&profile[..], &kept, &room].concat());
        all_are(&run, "", "pass");
        let is_whole = run.report.requirements.len() == requirements_of(family).len();
        assert!(is_whole && run.status == 0, "{tier}: {}", run.stdout);
        std::fs::remove_dir_all(&pair).unwrap();
        bench.replays(&bundle, run.status);
    }
}

/// Programs that do nothing right pass nothing that judges them, in the place of the one, of the other and of both. It is said
/// by which profile, and which programs of the pair a requirement judges: the parent, the child.
pub(crate) fn null_programs_pass_nothing(
    family: Family,
    profile: &[&str],
    judges: impl Fn(&str) -> (bool, bool) + Sync,
) {
    let names = family.file_names();
    let sides = [(true, false), (false, true), (true, true)];
    let all: Vec<_> = sides.iter().flat_map(|side| PROGRAMS.iter().map(move |program| (*side, program))).collect();
    let programs = reference();
    let said = side_by_side(6, &all, |((parent, child), (name, text))| {
        // What floods the suite must not fill the machine.
        let bench = bench().with_memory(4 << 20);
        let pair = bench.copy_of_programs(&programs, &names);
        let replaced: Vec<_> =
            [*parent, *child].into_iter().zip(&names).filter(|(is, _)| *is).map(|(_, name)| name).collect();
        for file in &replaced {
            write_program(&pair.join(file), &format!("#!/bin/sh\n{text}\n"));
        }
        let args = ["--family", &family.to_string(), "--timeout-scale", "0.2"];
        let run = bench.try_judge(&pair, &[&args[..], profile].concat());
        let wrong = run.report.requirements.iter().filter(|entry| match entry.verdict.as_str() {
            "pass" => {
                let (of_parent, of_child) = judges(&entry.id);
                (of_parent && *parent) || (of_child && *child)
            }
            "harness_fault" => true,
            _ => false,
        });
        let mut said: Vec<_> = wrong.map(ToString::to_string).collect();
        if !matches!(run.status, 1 | 4) || run.report.requirements.len() != requirements_of(family).len() {
            said.push(format!("exit status {}: {}", run.status, run.stderr));
        }
        said.extend(run.left.iter().map(|left| format!("left behind: {left}")));
        said.into_iter().map(|problem| format!("{name} as {replaced:?}: {problem}")).collect()
    });
    assert!(said.is_empty(), "{} complaints:\n{}", said.len(), said.join("\n"));
}
