//! What was counted of the corpus, and the file that it is kept in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::job::Finding;

/// Everything that was counted, and of which contents.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) contents: String,
    /// How often each program was judged.
    pub(super) runs: BTreeMap<String, u64>,
    /// What was wrong, and of whom.
    pub(super) complaints: Vec<String>,
    /// How often its neighbour was judged beside a program, and how often that came out as it does alone.
    neighbours: u64,
    neighbours_alike: u64,
    verdicts_ms: Times,
    overdue_ms: Times,
    /// Each run's slowest sandbox.
    emptied_ms: Times,
    /// Those of them that took longer than is promised.
    #[serde(default)]
    overlong: Vec<Overlong>,
    memory_kib: u64,
}

/// A sandbox that was not empty in the time that is promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Overlong {
    name: String,
    emptied_ms: u64,
    /// How late the suite itself was woken at most in that run: a machine that keeps the judge waiting keeps the dying waiting.
    late_ms: u64,
}

/// The time that is promised from the end of a session to its empty sandbox.
const EMPTIED_MS_MAX: u64 = 100;

impl Counted {
    pub(super) fn nothing_of(contents: &str) -> Self {
        Self { contents: contents.to_owned(), ..Self::default() }
    }

    /// JSON with a line for each value.
    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts have a JSON form") + "\n"
    }

    /// A further run.
    pub(super) fn add(&mut self, name: &str, finding: &Finding) {
        // One that a slow machine could not judge is counted when it is judged again, if it is; what it left, and how long it took,
        // counts anyway.
        let is_judged = finding.unsure.is_empty();
        *self.runs.entry(name.to_owned()).or_default() += u64::from(is_judged);
        self.complaints.extend(finding.complaints.iter().map(|complaint| format!("{name}: {complaint}")));
        self.neighbours += u64::from(finding.neighbour_alike || is_judged);
        self.neighbours_alike += u64::from(finding.neighbour_alike);
        self.verdicts_ms.extend(&finding.verdicts_ms);
        self.overdue_ms.extend(&finding.overdue_ms);
        self.emptied_ms.extend(&[finding.emptied_ms]);
        if finding.emptied_ms > EMPTIED_MS_MAX {
            let (emptied_ms, late_ms) = (finding.emptied_ms, finding.late_ms);
            self.overlong.push(Overlong { name: name.to_owned(), emptied_ms, late_ms });
        }
        self.memory_kib = self.memory_kib.max(finding.memory_kib);
    }

    /// What another one counted as well.
    pub(super) fn add_all(&mut self, other: &Counted) {
        for (name, runs) in &other.runs {
            *self.runs.entry(name.clone()).or_default() += runs;
        }
        self.complaints.extend_from_slice(&other.complaints);
        self.overlong.extend_from_slice(&other.overlong);
        self.neighbours += other.neighbours;
        self.neighbours_alike += other.neighbours_alike;
        for (ours, theirs) in [
            (&mut self.verdicts_ms, &other.verdicts_ms),
            (&mut self.overdue_ms, &other.overdue_ms),
            (&mut self.emptied_ms, &other.emptied_ms),
        ] {
            theirs.0.iter().for_each(|(time, times)| *ours.0.entry(*time).or_default() += times);
        }
        self.memory_kib = self.memory_kib.max(other.memory_kib);
    }

    /// All of it in a few lines.
    pub(super) fn told(&self) -> String {
        let (least, most) = (self.runs.values().min().unwrap_or(&0), self.runs.values().max().unwrap_or(&0));
        let given_up = match self.overdue_ms.count() {
            0 => "none of them given up".to_owned(),
            count => format!("{count} of them given up, {} after their deadlines", self.overdue_ms.told()),
        };
        let overlong = match self.overlong.iter().map(|overlong| overlong.late_ms).min() {
            None => String::new(),
            Some(late_ms) => format!(
                "; {} took more than {EMPTIED_MS_MAX} ms, in runs in which the suite itself was woken {late_ms} ms late at least",
                self.overlong.len()
            ),
        };
        format!(
            "{} programs, {} runs ({least} to {most} of each): {} complaints\n\
             the neighbour's verdicts: alike in {} of {} runs\n\
             verdicts: {} in {}; {given_up}\n\
             the slowest sandbox of each run: empty {} after it was ended{overlong}\n\
             the judge's memory: {} KiB at most\n",
            self.runs.len(),
            self.runs.values().sum::<u64>(),
            self.complaints.len(),
            self.neighbours_alike,
            self.neighbours,
            self.verdicts_ms.count(),
            self.verdicts_ms.told(),
            self.emptied_ms.told(),
            self.memory_kib,
        )
    }
}

/// How often something took how many milliseconds, rounded up to two digits.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Times(BTreeMap<u64, u64>);

impl Times {
    fn extend(&mut self, times: &[u64]) {
        times.iter().for_each(|time| *self.0.entry(rounded(*time)).or_default() += 1);
    }

    fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// So many are not longer than this.
    fn quantile(&self, part: f64) -> u64 {
        let rank = (self.count() as f64 * part).ceil() as u64;
        let mut so_far = 0;
        let at = self.0.iter().find(|(_, times)| {
            so_far += **times;
            so_far >= rank
        });
        at.map_or(0, |(time, _)| *time)
    }

    fn told(&self) -> String {
        let [median, most, all] = [0.5, 0.99, 1.0].map(|part| self.quantile(part));
        format!("{median} ms (median), {most} ms (99 of 100), {all} ms (all)")
    }
}

fn rounded(time: u64) -> u64 {
    let unit = 10_u64.pow(time.checked_ilog10().unwrap_or(0).saturating_sub(1));
    time.div_ceil(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_two_digits() {
        assert_eq!([0, 9, 99, 100, 101, 1999, 2000, 2001].map(rounded), [0, 9, 99, 100, 110, 2000, 2000, 2100]);
    }

    #[test]
    fn quantiles_are_times_that_were_counted() {
        let mut times = Times::default();
        assert_eq!(times.quantile(0.5), 0);
        times.extend(&[5, 1, 3, 2, 400]);
        assert_eq!([0.5, 0.8, 1.0].map(|part| times.quantile(part)), [3, 5, 400]);
    }

    #[test]
    fn what_could_not_be_judged_is_no_run_and_what_it_left_counts() {
        let finding = |complaints: &[&str], unsure: &[&str]| Finding {
            complaints: complaints.iter().map(ToString::to_string).collect(),
            unsure: unsure.iter().map(ToString::to_string).collect(),
            neighbour_alike: true,
            ..Finding::default()
        };
        let mut counted = Counted::default();
        for (complaints, unsure, runs, complained) in
            [(&[][..], &["inconclusive"][..], 0, 0), (&["left: a file"], &["inconclusive"], 0, 1), (&[], &[], 1, 1)]
        {
            counted.add("bomb", &finding(complaints, unsure));
            let expected = format!("1 programs, {runs} runs ({runs} to {runs} of each): {complained} complaints\n");
            assert!(counted.told().starts_with(&expected), "{}", counted.told());
        }
    }

    #[test]
    fn what_was_counted_in_slices_is_as_if_it_were_counted_in_one() {
        let finding = |complaints: &[&str], took| Finding {
            complaints: complaints.iter().map(ToString::to_string).collect(),
            neighbour_alike: true,
            verdicts_ms: vec![took],
            emptied_ms: took,
            late_ms: 3,
            ..Finding::default()
        };
        let (mut whole, mut first, mut second) = (Counted::default(), Counted::default(), Counted::default());
        for (slice, finding) in [(&mut first, finding(&[], 20)), (&mut second, finding(&["left"], 130))] {
            whole.add("bomb", &finding);
            slice.add("bomb", &finding);
        }
        first.add_all(&second);
        assert_eq!(first.told(), whole.told());
        assert!(first.told().starts_with("1 programs, 2 runs (2 to 2 of each): 1 complaints\n"), "{}", first.told());
        let overlong = "1 took more than 100 ms, in runs in which the suite itself was woken 3 ms late at least\n";
        assert!(first.told().contains(overlong), "{}", first.told());
    }
}
