//! A report of the suite held against what a fault says that it breaks.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// The suite's report, as far as it is held against anything.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Report {
    pub(crate) requirements: Vec<Entry>,
}

/// What a report says of one requirement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    pub(crate) id: String,
    graded: bool,
    pub(crate) verdict: String,
    expected: Option<String>,
    seen: Option<String>,
    by: Option<String>,
    missing: Option<String>,
    error: Option<String>,
}

impl Report {
    /// Where the same run, judged again, came out differently.
    pub(crate) fn differences(&self, again: &Report) -> Vec<String> {
        let pairs = self.requirements.iter().zip(&again.requirements);
        let differ = pairs.filter(|(first, second)| first != second);
        let mut said: Vec<_> = differ.map(|(first, second)| format!("{first}\nreplayed: {second}")).collect();
        if self.requirements.len() != again.requirements.len() {
            said.push("replayed: not every requirement is there".into());
        }
        said
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.verdict)?;
        let told = [("expected", &self.expected), ("seen", &self.seen), ("by", &self.by), ("missing", &self.missing)];
        for (name, value) in told.into_iter().chain([("error", &self.error)]) {
            if let Some(value) = value {
                write!(f, "; {name} {}", value.escape_debug())?;
            }
        }
        Ok(())
    }
}

impl Entry {
    fn is_broken(&self) -> bool {
        self.graded && matches!(self.verdict.as_str(), "fail" | "warn")
    }

    /// The finding's words: what was expected and what was seen.
    fn words(&self) -> String {
        format!("{}\n{}", self.expected.as_deref().unwrap_or_default(), self.seen.as_deref().unwrap_or_default())
    }
}

/// What a run should not have said, or should have, given what is broken and why.
pub(crate) fn complaints(breaks: &BTreeMap<String, String>, report: &Report, status: Option<i32>) -> Vec<String> {
    let mut said = Vec::new();
    for entry in &report.requirements {
        match breaks.get(&entry.id) {
            None if entry.is_broken() => said.push(format!("wrongly blamed: {entry}")),
            Some(_) if !entry.is_broken() => said.push(format!("survives: {entry}")),
            Some(reason) if !entry.words().contains(reason) => {
                said.push(format!("found for another reason than {reason:?}: {entry}"));
            }
            _ if !accounted(report, breaks, entry) => said.push(format!("unaccounted for: {entry}")),
            _ => {}
        }
    }
    let absent = breaks.keys().filter(|id| !report.requirements.iter().any(|entry| entry.id == **id));
    said.extend(absent.map(|id| format!("not in the report: {id}")));
    let any = |verdicts: &[&str]| {
        report.requirements.iter().any(|entry| entry.graded && verdicts.contains(&entry.verdict.as_str()))
    };
    let expected = match (any(&["fail"]), any(&["blocked", "inconclusive"])) {
        (true, _) => 1,
        (_, true) => 4,
        _ => 0,
    };
    if status != Some(expected) {
        said.push(format!("exit status {status:?}, expected {expected}"));
    }
    said
}

/// Whether an entry says what holds, what is broken, or that what is broken kept it from being judged.
fn accounted(report: &Report, breaks: &BTreeMap<String, String>, entry: &Entry) -> bool {
    match entry.verdict.as_str() {
        "harness_fault" => false,
        "inconclusive" => !entry.graded,
        "blocked" => !entry.graded || comes_from(report, breaks, entry),
        _ => true,
    }
}

/// Whether what blocks an entry is broken, directly or through a chain.
fn comes_from(report: &Report, breaks: &BTreeMap<String, String>, entry: &Entry) -> bool {
    let Some(by) = &entry.by else { return false };
    let blocker = || report.requirements.iter().find(|entry| entry.id == *by);
    breaks.contains_key(by) || blocker().is_some_and(|blocker| comes_from(report, breaks, blocker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(entries: &[(&str, &str, &str)]) -> Report {
        let entry = |(id, verdict, words): &(&str, &str, &str)| Entry {
            id: (*id).into(),
            graded: true,
            verdict: (*verdict).into(),
            seen: Some((*words).into()),
            by: Some((*words).into()),
            ..Entry::default()
        };
        Report { requirements: entries.iter().map(entry).collect() }
    }

    fn said(entries: &[(&str, &str, &str)], status: i32) -> Vec<String> {
        let breaks = BTreeMap::from([("a.b".to_owned(), "lost".to_owned())]);
        complaints(&breaks, &report(entries), Some(status))
    }

    #[test]
    fn what_is_broken_for_the_stated_reason_is_no_complaint() {
        let rest = [("a.c", "pass", ""), ("a.d", "blocked", "a.b"), ("a.e", "blocked", "a.d")];
        assert_eq!(said(&[&[("a.b", "fail", "a byte was lost")][..], &rest].concat(), 1), Vec::<String>::new());
    }

    #[test]
    fn whatever_else_happens_is() {
        let good = ("a.b", "fail", "lost");
        let shadow = [("a.b", "warn", "lost"), ("a.c", "blocked", "a.b")];
        assert_eq!(said(&shadow, 4), Vec::<String>::new());
        for (entries, status, word) in [
            (vec![("a.b", "pass", "")], 0, "survives"),
            (vec![("a.b", "blocked", "a.c")], 4, "survives"),
            (vec![("a.b", "fail", "found")], 1, "another reason"),
            (vec![good, ("a.c", "fail", "")], 1, "wrongly blamed"),
            (vec![good, ("a.c", "warn", "")], 1, "wrongly blamed"),
            (vec![good, ("a.c", "blocked", "a.d")], 1, "unaccounted"),
            (vec![good, ("a.c", "inconclusive", "")], 1, "unaccounted"),
            (vec![good, ("a.c", "harness_fault", "")], 1, "unaccounted"),
            (vec![good], 3, "exit status"),
            (vec![], 0, "not in the report"),
        ] {
            let said = said(&entries, status);
            assert!(said.len() == 1 && said[0].contains(word), "{entries:?}: {said:?}");
        }
    }
}
