//! A report of the suite held against what a fault says that it breaks.

use std::fmt;

use serde::Deserialize;

use super::known::Fault;

/// A suite that was woken later than this did not have the machine that its patience was chosen for.
const LATE_MS: u64 = 150;

/// The suite's report, as far as it is held against anything.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Report {
    /// How late the suite itself was woken at worst.
    pub(crate) late_ms: u64,
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
    too_slow: bool,
}

impl Report {
    /// The machine was too slow for what was judged on it, by what a requirement says or by how late the suite was.
    pub(crate) fn is_too_slow(&self) -> bool {
        self.late_ms > LATE_MS || self.requirements.iter().any(|entry| entry.too_slow)
    }

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

    fn is_not_applicable(&self) -> bool {
        self.verdict == "not_applicable"
    }
}

/// What a run should not have said, or should have, given what is broken and why; and what it says of the same pair
/// without the fault.
pub(crate) fn complaints(fault: Option<&Fault>, whole: &Report, report: &Report, status: Option<i32>) -> Vec<String> {
    let reason_of = |id: &String| fault.and_then(|fault| fault.breaks.get(id));
    let mut said = Vec::new();
    for entry in &report.requirements {
        let [expected, seen] = [&entry.expected, &entry.seen].map(|words| words.as_deref().unwrap_or_default());
        match reason_of(&entry.id) {
            None if entry.is_broken() => said.push(format!("wrongly blamed: {entry}")),
            Some(_) if !entry.is_broken() => said.push(format!("survives: {entry}")),
            Some(reason) if !reason.fits(expected, seen) => {
                said.push(format!("found for another reason than {reason:?}: {entry}"));
            }
            _ if !accounted(report, fault, entry) => said.push(format!("unaccounted for: {entry}")),
            _ => said.extend(appearance(fault, whole, entry)),
        }
    }
    let named = fault.into_iter().flat_map(|fault| fault.breaks.keys().chain(&fault.hides));
    let absent = named.filter(|id| !report.requirements.iter().any(|entry| entry.id == **id));
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

/// A requirement that has nothing to judge any more might as well be one that failed: what a fault hides, it says.
fn appearance(fault: Option<&Fault>, whole: &Report, entry: &Entry) -> Option<String> {
    let is_said = fault.is_some_and(|fault| fault.hides.contains(&entry.id));
    let was_judged = whole.requirements.iter().any(|before| before.id == entry.id && !before.is_not_applicable());
    let is_hidden = entry.graded && entry.is_not_applicable() && was_judged;
    match (is_hidden, is_said) {
        (true, false) => Some(format!("hidden by the fault: {entry}")),
        (false, true) => Some(format!("said to be hidden: {entry}")),
        _ => None,
    }
}

/// Whether an entry says what holds, what is broken, or that what is broken kept it from being judged.
fn accounted(report: &Report, fault: Option<&Fault>, entry: &Entry) -> bool {
    match entry.verdict.as_str() {
        "harness_fault" => false,
        "inconclusive" => !entry.graded,
        "blocked" => !entry.graded || comes_from(report, fault, entry),
        _ => true,
    }
}

/// Whether what blocks an entry is broken, directly or through a chain.
fn comes_from(report: &Report, fault: Option<&Fault>, entry: &Entry) -> bool {
    let Some(by) = &entry.by else { return false };
    let blocker = || report.requirements.iter().find(|entry| entry.id == *by);
    fault.is_some_and(|fault| fault.breaks.contains_key(by))
        || blocker().is_some_and(|blocker| comes_from(report, fault, blocker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(entries: &[(&str, &str, &str)]) -> Report {
        let entry = |(id, verdict, words): &(&str, &str, &str)| Entry {
            id: (*id).into(),
            graded: true,
            verdict: (*verdict).into(),
            expected: Some("every byte, none lost".into()),
            seen: Some((*words).into()),
            by: Some((*words).into()),
            ..Entry::default()
        };
        Report { requirements: entries.iter().map(entry).collect(), ..Report::default() }
    }

    fn fault(reason: &str, hides: &str) -> Fault {
        let text = format!("name = 'f'\nwhy = 'w'\nedit = []\nhides = [{hides}]\n[breaks]\n'a.b' = {reason}\n");
        toml::from_str(&text).expect("a fault")
    }

    fn said(entries: &[(&str, &str, &str)], status: i32) -> Vec<String> {
        complaints(Some(&fault("'lost'", "")), &Report::default(), &report(entries), Some(status))
    }

    #[test]
    fn a_machine_is_too_slow_if_the_suite_was_late_or_a_requirement_says_so() {
        let report = |late_ms, too_slow| Report {
            late_ms,
            requirements: vec![Entry::default(), Entry { too_slow, ..Entry::default() }],
        };
        assert!(!report(LATE_MS, false).is_too_slow());
        assert!(report(LATE_MS + 1, false).is_too_slow());
        assert!(report(0, true).is_too_slow());
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
            // What was expected has the word.
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

    #[test]
    fn a_reason_of_two_parts_needs_both() {
        for (reason, good) in [
            ("{ expected = 'none lost', seen = 'nothing' }", true),
            ("{ expected = 'none lost', seen = 'a byte' }", false),
            ("{ expected = 'nothing', seen = 'nothing' }", false),
        ] {
            let report = report(&[("a.b", "fail", "nothing")]);
            let said = complaints(Some(&fault(reason, "")), &Report::default(), &report, Some(1));
            assert_eq!(said.is_empty(), good, "{reason}: {said:?}");
        }
    }

    #[test]
    fn what_is_hidden_is_said_and_what_is_said_is_hidden() {
        let broken = ("a.b", "fail", "lost");
        for (before, after, hides, word) in [
            ("pass", "not_applicable", "", Some("hidden by the fault")),
            ("pass", "not_applicable", "'a.c'", None),
            ("not_applicable", "not_applicable", "", None),
            ("not_applicable", "not_applicable", "'a.c'", Some("said to be hidden")),
            ("pass", "pass", "'a.c'", Some("said to be hidden")),
        ] {
            let whole = report(&[("a.b", "pass", ""), ("a.c", before, "")]);
            let broken = report(&[broken, ("a.c", after, "")]);
            let said = complaints(Some(&fault("'lost'", hides)), &whole, &broken, Some(1));
            assert_eq!(said.len(), usize::from(word.is_some()), "{before} {after} {hides}: {said:?}");
            assert!(word.is_none_or(|word| said[0].contains(word)), "{said:?}");
        }
    }
}
