//! The rules that the specification, the cases and the source keep, as tests.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use conformance::cases;
use conformance::spec::{Level, Requirement, Source, passages, requirements};

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // What a fuzzer builds is not ours.
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_requirement_has_a_case_or_says_why_not() {
    let all = requirements();
    for r in &all {
        assert_eq!(r.untestable.is_none(), cases::of(&r.id).is_some(), "{}: a case or `untestable`, not both", r.id);
    }
    for case in cases::all() {
        assert!(all.iter().any(|r| r.id == case.id), "{}: a case without a requirement", case.id);
    }
    let ids: HashSet<_> = cases::all().map(|c| c.id).collect();
    assert_eq!(ids.len(), cases::all().count(), "two cases for one requirement");
}

#[test]
fn ids_are_unique_and_begin_with_their_area() {
    let all = requirements();
    let ids: HashSet<_> = all.iter().map(|r| &r.id).collect();
    assert_eq!(ids.len(), all.len());
    for r in &all {
        let file = package().join(format!("spec/{}.toml", r.area()));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("id = \"{}\"", r.id)), "{} is not in {}", r.id, file.display());
    }
    assert!(all.len() >= 120, "only {} requirements", all.len());
}

#[test]
fn every_passage_of_the_documents_has_a_requirement_or_says_why_not() {
    let all = requirements();
    let passages = passages();
    for n in 1..=14 {
        assert!(passages.iter().any(|p| p.source == Source::Assignment(n)), "no passage is D{n}");
    }
    for passage in &passages {
        let quoted = all.iter().any(|r| r.source == passage.source && r.quote.as_ref() == Some(&passage.quote));
        assert_eq!(quoted, passage.beyond.is_none(), "{}: «{}»", passage.source, passage.quote);
    }
}

#[test]
fn every_requirement_of_a_document_quotes_a_passage() {
    let passages = passages();
    for r in requirements() {
        let from_a_document = !matches!(r.source, Source::House | Source::Profile);
        assert_eq!(r.quote.is_some(), from_a_document, "{}: a quotation if, and only if, it is a document's", r.id);
        let known = |quote: &String| passages.iter().any(|p| p.source == r.source && p.quote == *quote);
        assert!(r.quote.as_ref().is_none_or(known), "{}: its quotation is in no passage", r.id);
    }
}

#[test]
fn what_comes_first_exists_and_never_comes_round() {
    let all = requirements();
    fn depth(all: &[Requirement], id: &str, below: usize) -> usize {
        assert!(below <= all.len(), "{id} comes after itself");
        let r =
            all.iter().find(|r| r.id == id).unwrap_or_else(|| panic!("{id} is named in `after` and does not exist"));
        r.after.iter().map(|a| depth(all, a, below + 1)).max().unwrap_or(below)
    }
    for r in &all {
        depth(&all, &r.id, 0);
    }
}

#[test]
fn a_graded_requirement_never_waits_for_a_house_rule() {
    // Else a rule of this project could keep a document's own from being judged.
    let all = requirements();
    let is_graded =
        |source: &Source| matches!(source, Source::Assignment(_) | Source::Control | Source::Plugin | Source::Sockets);
    for r in all.iter().filter(|r| is_graded(&r.source)) {
        for after in &r.after {
            let needed = all.iter().find(|n| n.id == *after).unwrap();
            assert!(is_graded(&needed.source), "{} waits for {}", r.id, needed.id);
            let free = needed.level == Level::May || (r.level == Level::Must && needed.level != Level::Must);
            assert!(!free, "{} waits for {}, which is free to fail", r.id, needed.id);
        }
    }
}

#[test]
fn the_sentence_stands_above_its_case() {
    let text: String =
        sources(&package().join("src/cases")).iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let words = |s: &str| s.split_whitespace().filter(|w| *w != "///").collect::<Vec<_>>().join(" ");
    let text = words(&text);
    for r in requirements().iter().filter(|r| r.untestable.is_none()) {
        let case = cases::of(&r.id).expect("each has one");
        let above = format!("{} async fn {}(", words(&r.sentence), case.place.1);
        assert!(text.contains(&above), "{}: its sentence is not above a case: {}", r.id, r.sentence);
    }
}

#[test]
fn nothing_sleeps() {
    for file in sources(&package().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let part_of_a_word = |at: usize| text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let calls = |name| text.match_indices(name).any(|(at, _)| !part_of_a_word(at));
        assert!(
            !["sleep(", "sleep_until(", "interval(", "interval_at("].into_iter().any(calls),
            "{}: waiting is for an event with a deadline",
            file.display()
        );
        // To wait up to a deadline for what never comes is to sleep. How late that wakes is what one file measures; another lets
        // those get there who are looked at.
        let waits = ["timeout(", "timeout_at("].into_iter().flat_map(|name| within_brackets(&text, name));
        let sleeps = waits.into_iter().any(|call| call.contains("pending"));
        let may = ["observe/lateness.rs", "observe/looking.rs"].into_iter().any(|name| file.ends_with(name));
        assert_eq!(sleeps, may, "{}: a wait for nothing", file.display());
    }
}

/// What stands within the brackets of each call of this name, which ends with the first of them.
fn within_brackets<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let rest_of_call = |at: usize| {
        let rest = &text[at + name.len()..];
        let mut open = 1;
        let end = rest.find(|c| {
            open += i32::from(c == '(') - i32::from(c == ')');
            open == 0
        });
        &rest[..end.unwrap_or(rest.len())]
    };
    text.match_indices(name).map(|(at, _)| rest_of_call(at)).collect()
}

#[test]
fn the_judge_shares_no_code_with_the_accused() {
    let manifest = std::fs::read_to_string(package().join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("reference"), "conformance must not depend on reference");
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for file in sources(package()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}
