//! `cargo xtask spec`: the specification that people read, rendered from the files that the suite reads.
//!
//! One page: what the documents say, then each area's requirements with where they come from, why they are there,
//! which case checks them and which faults prove that the case can fail.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use conformance::cases;
use conformance::family::Family;
use conformance::spec::{Level, Passage, Platform, Requirement, passages, requirements, requirements_of};

use crate::faults::known::{self, File, breakers};
use crate::workspace;

pub(crate) fn run(check: bool) -> ExitCode {
    match written(check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("cargo xtask spec: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn page() -> PathBuf {
    workspace().join("conformance/SPECIFICATION.md")
}

fn written(check: bool) -> Result<(), String> {
    let path = page();
    let faults = known::files(&workspace().join("fixtures"))?;
    let new = render(&passages(), &faults);
    if std::fs::read_to_string(&path).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if check {
        return Err(format!("{} is not up to date; `cargo xtask spec` writes it", path.display()));
    }
    std::fs::write(&path, new).map_err(|error| format!("{}: {error}", path.display()))
}

const HEAD: &str = "\
# The specification of pairs that talk over pipes

What a pair is held to, sentence by sentence. This page is written by `cargo xtask spec` from `conformance/spec`; to
change a sentence, change it there.

A watchdog and its server fail only against the assignment (sources D1 to D14, quoted in Russian with the meaning in
English), a supervisor and its service only against the description of a control pipe (`control`), a host and its plugin
only against that of a plugin connection (`plugin`). What the notes on Go and processes say, and what this project adds
(`house`), is advice unless a profile grades it. MUST: a pair that does otherwise does not conform. SHOULD: there may be reasons
to do otherwise; the report warns. MAY: free.

Each requirement names the case that checks it, in `conformance/src/cases`, and the known-bad pairs in `fixtures/faulty`
that make it fail (`cargo xtask faults` holds that exactly what a pair breaks fails).
";

fn render(passages: &[Passage], faults: &[File]) -> String {
    let requirements = requirements();
    let mut out = HEAD.to_owned();
    out.push_str("\n## What the documents say\n\n");
    for passage in passages {
        let _ = writeln!(out, "- **{}** «{}» {}", passage.source, passage.quote, passage.meaning);
        let quoting =
            requirements.iter().filter(|r| r.source == passage.source && r.quote.as_ref() == Some(&passage.quote));
        let quoting: Vec<_> = quoting.map(|r| format!("[{0}](#{1})", r.id, anchor(&r.id))).collect();
        let what = passage.beyond.clone().unwrap_or_else(|| quoting.join(", "));
        let _ = writeln!(out, "  {what}");
    }
    for family in Family::value_variants() {
        let _ = writeln!(out, "\n# A {} and its {}", family.parent(), family.child());
        let mut area = String::new();
        for requirement in requirements_of(*family) {
            if requirement.area() != area {
                requirement.area().clone_into(&mut area);
                let _ = writeln!(out, "\n## {area}");
            }
            one(&mut out, &requirement, faults);
        }
    }
    out
}

fn one(out: &mut String, r: &Requirement, faults: &[File]) {
    let _ = writeln!(out, "\n### {}\n\n**{}** ({}). {}\n", r.id, r.level, r.source, r.sentence);
    let _ = writeln!(out, "{}", r.rationale);
    if let Some(quotation) = r.quotation() {
        let _ = writeln!(out, "\n> {quotation}");
    }
    let _ = writeln!(out);
    if r.platforms.len() < 3 {
        let names: Vec<_> = r.platforms.iter().map(|platform| name(*platform)).collect();
        let _ = writeln!(out, "- holds on {}", names.join(" and "));
    }
    if !r.after.is_empty() {
        let _ = writeln!(out, "- can be judged where these hold: {}", r.after.join(", "));
    }
    if let Some(reason) = &r.untestable {
        let _ = writeln!(out, "- untestable: {reason}");
    }
    if let Some(case) = cases::of(&r.id) {
        let (module, function) = case.place;
        let file = module.split("::cases::").nth(1).unwrap_or(module).replace("::", "/");
        let _ = writeln!(out, "- case: `{function}` in `cases/{file}.rs`");
    }
    let breaking = breakers(faults, &r.id);
    let reason = faults.iter().find_map(|file| file.without.get(&r.id));
    if let Some(reason) = reason {
        let _ = writeln!(out, "- faults: none; {reason}");
    } else if !breaking.is_empty() {
        let _ = writeln!(out, "- faults: {}", breaking.join(", "));
    } else if r.level == Level::May {
        let _ = writeln!(out, "- faults: none, since it is free");
    }
}

fn name(platform: Platform) -> &'static str {
    match platform {
        Platform::Linux => "Linux",
        Platform::Macos => "macOS",
        Platform::Windows => "Windows",
    }
}

/// How a page's readers find a heading: without its dots.
fn anchor(id: &str) -> String {
    id.replace('.', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        written(true).unwrap();
    }

    #[test]
    fn every_requirement_that_can_fail_has_a_fault() {
        let faults = known::files(&workspace().join("fixtures")).unwrap();
        assert_eq!(known::gaps(&faults, &requirements()), Vec::<String>::new());
    }
}
