//! What was counted of one pair under one load, and the file that it is kept in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So often every case runs; after that those that take long are left out.
pub(super) const ROUNDS_WITH_SLOW: u64 = 100;

/// What is counted in a verdict's place when the machine was too slow to tell, so that there is none.
const TOO_SLOW: &str = "too_slow";

/// The suite's report, as far as it is counted.
#[derive(Deserialize)]
pub(super) struct Report {
    pub(super) total_ms: u64,
    pub(super) requirements: Vec<Entry>,
}

#[derive(Deserialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) graded: bool,
    pub(super) verdict: String,
    pub(super) took_ms: u64,
    pub(super) waited: bool,
    /// Of one that is inconclusive: the machine was, for it or for what it comes after.
    #[serde(default)]
    pub(super) too_slow: bool,
    /// What one that is blocked comes after.
    pub(super) by: Option<String>,
    /// What was expected and seen, where it does not hold, and what was missing, where it could not be judged.
    pub(super) expected: Option<String>,
    pub(super) seen: Option<String>,
    pub(super) missing: Option<String>,
}

impl Entry {
    /// Its verdict and why, in a line.
    fn told(&self) -> String {
        let why = [("expected", &self.expected), ("seen", &self.seen), ("missing", &self.missing), ("by", &self.by)];
        let why = why.into_iter().filter_map(|(name, value)| Some(format!("; {name} {}", value.as_ref()?)));
        format!("{} {}{}", self.id, self.verdict, why.collect::<String>())
    }
}

/// Everything that was counted, and of which contents.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) contents: String,
    pub(super) rounds: u64,
    /// Milliseconds of the fastest and the slowest round with every case.
    fastest_ms: u64,
    slowest_ms: u64,
    requirements: BTreeMap<String, Counts>,
}

/// What was counted of a requirement.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    graded: bool,
    /// How often it had each verdict.
    verdicts: BTreeMap<String, u64>,
    /// How often its case took long, in the rounds with every case.
    #[serde(default, skip_serializing_if = "is_none")]
    slow: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    fn verdicts(&self) -> impl Iterator<Item = (&String, u64)> {
        self.verdicts.iter().filter(|(verdict, _)| *verdict != TOO_SLOW).map(|(verdict, times)| (verdict, *times))
    }

    fn judged(&self) -> u64 {
        self.verdicts().map(|(_, times)| times).sum()
    }

    fn too_slow(&self) -> u64 {
        self.verdicts.get(TOO_SLOW).copied().unwrap_or_default()
    }

    /// Its point was never reached, so that it is no wonder that its verdict never changed.
    fn is_never_judged(&self) -> bool {
        let says_nothing = |verdict: &str| matches!(verdict, "inconclusive" | "blocked" | "harness_fault");
        self.verdicts().all(|(verdict, _)| says_nothing(verdict))
    }
}

impl Counted {
    pub(super) fn nothing_of(contents: &str) -> Self {
        Self { contents: contents.to_owned(), ..Self::default() }
    }

    /// JSON with a line for each requirement.
    pub(super) fn text(&self) -> String {
        let Self { contents, rounds, fastest_ms, slowest_ms, requirements } = self;
        let line = |(id, counts): (&String, &Counts)| format!("    {id:?}: {}", serde_json::json!(counts));
        let lines: Vec<_> = requirements.iter().map(line).collect();
        format!(
            "{{\n  \"contents\": {contents:?},\n  \"rounds\": {rounds},\n  \"fastest_ms\": {fastest_ms},\n  \
             \"slowest_ms\": {slowest_ms},\n  \"requirements\": {{\n{}\n  }}\n}}\n",
            lines.join(",\n"),
        )
    }

    /// A further round, in which a case that waited in vain was slow if it took longer than this. Each verdict that its
    /// requirement did not have before, though it had others, is returned in words: the report is gone with the round.
    pub(super) fn add(&mut self, report: &Report, slow: Duration) -> Vec<String> {
        let mut changed = Vec::new();
        let has_every_case = self.rounds < ROUNDS_WITH_SLOW;
        if has_every_case {
            self.slowest_ms = self.slowest_ms.max(report.total_ms);
            self.fastest_ms = if self.rounds == 0 { report.total_ms } else { self.fastest_ms.min(report.total_ms) };
        }
        self.rounds += 1;
        for entry in &report.requirements {
            let counts = self.requirements.entry(entry.id.clone()).or_default();
            counts.graded = entry.graded;
            let verdict = if entry.too_slow { TOO_SLOW } else { &entry.verdict };
            if !counts.verdicts.is_empty() && !counts.verdicts.contains_key(verdict) {
                changed.push(entry.told());
            }
            *counts.verdicts.entry(verdict.to_owned()).or_default() += 1;
            let is_slow = entry.waited && Duration::from_millis(entry.took_ms) > slow;
            counts.slow += u64::from(has_every_case && is_slow);
        }
        changed
    }

    /// The requirements that the next round leaves out: they wait by design, since they took long in at least half of
    /// the rounds with every case. One slow round is the machine's.
    pub(super) fn left_out(&self) -> Vec<&str> {
        let waits = |counts: &Counts| 2 * counts.slow >= ROUNDS_WITH_SLOW;
        let slow = self.requirements.iter().filter(|(_, counts)| waits(counts));
        if self.rounds < ROUNDS_WITH_SLOW { Vec::new() } else { slow.map(|(id, _)| id.as_str()).collect() }
    }

    /// A line for each requirement whose verdict was not always the same.
    pub(super) fn flips(&self) -> Vec<String> {
        let flips = self.requirements.iter().filter(|(_, counts)| counts.verdicts().count() > 1);
        flips.map(|(id, counts)| format!("{id}: {}", told(counts))).collect()
    }

    /// A line for each requirement of which no round could say whether it holds.
    pub(super) fn never_judged(&self) -> Vec<String> {
        let never = self.requirements.iter().filter(|(_, counts)| counts.is_never_judged());
        never.map(|(id, counts)| format!("{id}: never judged, {}", told(counts))).collect()
    }

    /// Whether every verdict that counts was reached, and was the same in each round.
    pub(super) fn is_stable(&self) -> bool {
        let graded = || self.requirements.values().filter(|counts| counts.graded);
        self.flips().is_empty() && !graded().any(Counts::is_never_judged)
    }
}

/// What was counted in all of these slices. Verdicts are compared within each: other contents may have others.
pub(super) fn summary(slices: &[&Counted]) -> String {
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut flips, mut never, mut too_slow) = (0, BTreeSet::new(), 0);
    for (id, counts) in slices.iter().flat_map(|slice| &slice.requirements) {
        too_slow += counts.too_slow();
        flips += usize::from(counts.verdicts().count() > 1);
        if counts.is_never_judged() {
            never.insert(id);
        } else {
            *times.entry(id).or_default() += counts.judged();
        }
    }
    never.retain(|id| !times.contains_key(id.as_str()));
    let (least, most) = (times.values().min().copied().unwrap_or(0), times.values().max().copied().unwrap_or(0));
    let contents: Vec<_> = slices.iter().map(|slice| slice.contents.as_str()).collect();
    let mut line = format!(
        "{} rounds of contents {} in {} to {} ms: {} requirements judged {least} to {most} times, {flips} with a \
         changed verdict, {} never judged; {too_slow} times this machine was too slow for one",
        slices.iter().map(|slice| slice.rounds).sum::<u64>(),
        contents.join(" and "),
        slices.iter().map(|slice| slice.fastest_ms).min().unwrap_or(0),
        slices.iter().map(|slice| slice.slowest_ms).max().unwrap_or(0),
        times.len(),
        never.len(),
    );
    if flips == 0 && least > 0 {
        let _ = write!(
            line,
            "; with 95 % confidence a verdict changes in at most {:.2} % of the runs of a case ({:.2} % of those \
             that wait)",
            300.0 / most as f64,
            300.0 / least as f64,
        );
    }
    line
}

fn told(counts: &Counts) -> String {
    let told: Vec<_> = counts.verdicts.iter().map(|(verdict, times)| format!("{verdict} {times} times")).collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{read_json, replace};

    const SLOW: Duration = Duration::from_millis(900);

    fn report(entries: &[(&str, &str, u64)]) -> Report {
        let entry = |(id, verdict, took_ms): &(&str, &str, u64)| Entry {
            id: (*id).into(),
            graded: true,
            verdict: (*verdict).into(),
            took_ms: *took_ms,
            waited: *id != "a.busy",
            too_slow: false,
            by: None,
            expected: None,
            seen: Some("this".into()),
            missing: None,
        };
        Report { total_ms: 10, requirements: entries.iter().map(entry).collect() }
    }

    fn counted(rounds: &[&[(&str, &str, u64)]]) -> Counted {
        let mut counted = Counted::nothing_of("abc");
        for round in rounds {
            counted.add(&report(round), SLOW);
        }
        counted
    }

    #[test]
    fn a_verdict_that_changed_is_told_when_it_does() {
        let mut counted = Counted::nothing_of("abc");
        assert!(counted.add(&report(&[("a.b", "pass", 1)]), SLOW).is_empty());
        assert!(counted.add(&report(&[("a.b", "pass", 1)]), SLOW).is_empty());
        assert_eq!(counted.add(&report(&[("a.b", "warn", 1)]), SLOW), ["a.b warn; seen this"]);
        assert!(counted.add(&report(&[("a.b", "warn", 1)]), SLOW).is_empty());
    }

    #[test]
    fn a_verdict_that_changes_once_is_a_flip() {
        let round: &[_] = &[("a.b", "pass", 1), ("a.c", "fail", 1)];
        let steady = counted(&[round, round]);
        assert!(steady.is_stable() && steady.flips().is_empty());
        assert!(summary(&[&steady]).contains("2 requirements judged 2 to 2 times, 0 with a changed verdict, 0 never"));
        assert!(summary(&[&steady]).contains("at most 150.00 %"));
        let wobbly = counted(&[round, round, &[("a.b", "inconclusive", 1)]]);
        assert_eq!(wobbly.flips(), ["a.b: inconclusive 1 times, pass 2 times"]);
        assert!(!wobbly.is_stable() && summary(&[&wobbly]).contains("judged 2 to 3 times, 1 with a changed verdict"));
        assert!(!summary(&[&wobbly]).contains("95 %"), "there is no bound for what was seen to change");
    }

    #[test]
    fn slices_add_up_and_each_has_verdicts_of_its_own() {
        let before = counted(&[&[("a.b", "pass", 1), ("a.c", "blocked", 1)]]);
        let now = counted(&[&[("a.b", "warn", 1), ("a.c", "pass", 1)], &[("a.b", "warn", 1), ("a.c", "pass", 1)]]);
        let told = summary(&[&before, &now]);
        assert!(
            told.starts_with("3 rounds of contents abc and abc in 10 to 10 ms: 2 requirements judged 2 to 3 times, 0 ")
        );
        assert!(told.contains("0 never judged") && told.contains("at most 100.00 %"), "{told}");
    }

    #[test]
    fn where_the_machine_was_too_slow_there_is_no_verdict() {
        let in_time: &[_] = &[("a.b", "pass", 1), ("a.c", "pass", 1), ("a.d", "pass", 1)];
        let mut late = report(&[("a.b", "inconclusive", 1), ("a.c", "inconclusive", 1), ("a.d", "inconclusive", 1)]);
        late.requirements.iter_mut().for_each(|entry| entry.too_slow = true);
        let mut both = counted(&[in_time, in_time]);
        both.add(&late, SLOW);
        assert!(both.is_stable() && both.flips().is_empty(), "{:?}", both.flips());
        assert!(
            summary(&[&both]).contains("judged 2 to 2 times") && summary(&[&both]).contains("; 3 times this machine")
        );
        let mut never = Counted::default();
        never.add(&late, SLOW);
        assert!(!never.is_stable());
        assert_eq!(never.never_judged().len(), 3);
    }

    #[test]
    fn what_was_never_judged_is_not_stable() {
        for verdict in ["inconclusive", "blocked", "harness_fault"] {
            let never = counted(&[&[("a.b", "pass", 1), ("a.c", verdict, 1)]]);
            assert_eq!(never.never_judged(), [format!("a.c: never judged, {verdict} 1 times")]);
            assert!(!never.is_stable(), "{verdict}");
            assert!(summary(&[&never]).contains("1 requirements judged 1 to 1 times"), "{}", summary(&[&never]));
        }
        for verdict in ["pass", "fail", "untestable", "not_applicable"] {
            assert!(counted(&[&[("a.c", verdict, 1)]]).is_stable(), "{verdict}");
        }
        let mut advice = report(&[("a.c", "blocked", 1)]);
        advice.requirements[0].graded = false;
        let mut counted = Counted::default();
        counted.add(&advice, SLOW);
        assert!(counted.is_stable() && counted.never_judged().len() == 1);
    }

    #[test]
    fn what_takes_long_in_half_of_the_rounds_is_left_out() {
        let (slow, fast): (&[_], &[_]) = (
            &[("a.once", "pass", 1), ("a.half", "pass", 1000), ("a.always", "pass", 1000), ("a.busy", "pass", 1000)],
            &[("a.once", "pass", 1), ("a.half", "pass", 1), ("a.always", "pass", 1000), ("a.busy", "pass", 1000)],
        );
        let mut all = counted(&[&[("a.once", "pass", 1000), ("a.half", "pass", 1000), ("a.always", "pass", 1000)]]);
        for round in 1..ROUNDS_WITH_SLOW {
            assert_eq!(all.left_out(), Vec::<&str>::new(), "every case runs in round {round}");
            all.add(&report(if round < ROUNDS_WITH_SLOW / 2 { slow } else { fast }), SLOW);
        }
        assert_eq!(all.left_out(), ["a.always", "a.half"]);
        // Later rounds do not decide it anew.
        (0..200).for_each(|_| assert!(all.add(&report(&[("a.once", "pass", 1000)]), SLOW).is_empty()));
        assert_eq!(all.left_out(), ["a.always", "a.half"]);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pair-idle.json");
        let kept = counted(&[&[("a.b", "pass", 1000), ("a.c", "fail", 1)]]);
        replace(&file, &kept.text()).unwrap();
        assert_eq!(read_json::<Counted>(&file).unwrap(), kept);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the file is there");
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("verdicts")).count(), 2, "a line each:\n{text}");
        std::fs::write(&file, "{").unwrap();
        assert!(read_json::<Counted>(&file).unwrap_err().contains("pair-idle.json"));
    }
}
