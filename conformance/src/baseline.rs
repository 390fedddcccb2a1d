//! Expected failures: what is known not to hold, with a reason and a date after which that is no excuse. A TOML file.
//!
//! It keeps a known failure from hiding a new one: a failure that is expected does not count, and an expectation that
//! no longer fits does.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use toml::value::{Date, Datetime};

use crate::spec::requirements;
use crate::verdict::{Finding, Verdict};

/// How long a baseline that was just written is good for.
const GOOD_FOR: Duration = Duration::days(90);

/// The reason in a baseline that was just written: a person is to put a better one there.
const NO_REASON_YET: &str = "not said yet";

/// The failures that are expected.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    #[serde(default)]
    expected: Vec<Expected>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The requirement.
    id: String,
    /// What its finding expects: it is to fail for this reason and no other.
    finding: String,
    /// Why it is put up with.
    reason: String,
    /// The last day on which it is.
    expires: Datetime,
}

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Day {
    year: i32,
    month: u8,
    day: u8,
}

impl Day {
    /// The day that it is now, in UTC.
    pub fn today() -> Self {
        Self::from(OffsetDateTime::now_utc())
    }
}

impl From<OffsetDateTime> for Day {
    fn from(moment: OffsetDateTime) -> Self {
        Day { year: moment.year(), month: moment.month().into(), day: moment.day() }
    }
}

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        Day { year: date.year.into(), month: date.month, day: date.day }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Expected {
    fn last_day(&self) -> Option<Day> {
        self.expires.date.map(Day::from)
    }

    /// What to say of it once its last day is over.
    fn expired(&self, today: Day) -> Option<String> {
        let is_over = self.last_day().is_none_or(|last| today > last);
        is_over.then(|| format!("it was expected to fail until {}", self.expires))
    }
}

impl Baseline {
    /// Reads a file; the error names it and says what is wrong.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |error: String| format!("baseline {}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
        let baseline: Baseline = toml::from_str(&text).map_err(|error| told(error.to_string()))?;
        let known = requirements();
        for (n, entry) in baseline.expected.iter().enumerate() {
            let wrong = |what: &str| Err(told(format!("{}: {what}", entry.id)));
            if !known.iter().any(|r| r.id == entry.id) {
                return wrong("expected a requirement's id; --list shows them");
            }
            if entry.reason.trim().is_empty() {
                return wrong("expected a reason");
            }
            if entry.last_day().is_none() {
                return wrong("expected a day in `expires`, such as 2030-12-31");
            }
            if baseline.expected[..n].iter().any(|other| other.id == entry.id) {
                return wrong("it is expected twice");
            }
        }
        Ok(baseline)
    }

    /// A baseline that expects what failed now, for the next while.
    ///
    /// # Panics
    /// Never: every day of our calendar has a TOML form.
    pub fn of<'a>(results: impl IntoIterator<Item = (&'a str, &'a Verdict)>) -> Self {
        let expires = Day::from(OffsetDateTime::now_utc() + GOOD_FOR).to_string();
        let expires: Datetime = expires.parse().expect("a day in the form of TOML");
        let expected = results.into_iter().filter_map(|(id, verdict)| {
            let (finding, reason) = match verdict {
                Verdict::Fail(finding) | Verdict::Warn(finding) => (finding, NO_REASON_YET.to_owned()),
                Verdict::Expected { finding, reason } => (finding, reason.clone()),
                _ => return None,
            };
            Some(Expected { id: id.to_owned(), finding: finding.expected.clone(), reason, expires })
        });
        Baseline { expected: expected.collect() }
    }

    /// The verdict in the light of what was expected, on this day.
    pub fn apply(&self, id: &str, verdict: Verdict, today: Day) -> Verdict {
        let Some(entry) = self.expected.iter().find(|entry| entry.id == id) else { return verdict };
        let stale = |now: &str| Verdict::Stale { reason: format!("{now}, and was expected to fail: {}", entry.reason) };
        let finding = match verdict {
            Verdict::Pass => return stale("it passes"),
            Verdict::NotApplicable { reason } => return stale(&format!("it is not applicable ({reason})")),
            Verdict::Fail(finding) | Verdict::Warn(finding) => finding,
            other => {
                return match entry.expired(today) {
                    None => other,
                    Some(expired) => Verdict::Stale { reason: format!("{expired}: {}", entry.reason) },
                };
            }
        };
        let and =
            |what: String| Verdict::Fail(Finding { seen: format!("{} ({what})", finding.seen), ..finding.clone() });
        if finding.expected != entry.finding {
            return and(format!("it was expected to fail for another reason: {}", entry.finding));
        }
        match entry.expired(today) {
            None => Verdict::Expected { finding, reason: entry.reason.clone() },
            Some(expired) => and(expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(expected: &str) -> Verdict {
        Verdict::Fail(Finding { expected: expected.into(), seen: "that".into() })
    }

    fn day(year: i32) -> Day {
        Day { year, month: 6, day: 30 }
    }

    fn baseline() -> Baseline {
        toml::from_str("[[expected]]\nid = 'a.b'\nfinding = 'this'\nreason = 'known'\nexpires = 2030-06-30").unwrap()
    }

    #[test]
    fn an_expected_failure_does_not_count_until_its_last_day_is_over() {
        let verdict = |today| baseline().apply("a.b", fail("this"), today);
        assert!(matches!(verdict(day(2030)), Verdict::Expected { reason, .. } if reason == "known"));
        let late = verdict(Day { day: 1, month: 7, ..day(2030) });
        assert!(matches!(late, Verdict::Fail(finding) if finding.seen.contains("until 2030-06-30")));
    }

    #[test]
    fn an_expectation_that_does_not_fit_counts() {
        assert!(matches!(baseline().apply("a.b", Verdict::Pass, day(2000)), Verdict::Stale { .. }));
        let other = baseline().apply("a.b", fail("something else"), day(2000));
        assert!(matches!(other, Verdict::Fail(finding) if finding.seen.contains("another reason: this")));
        assert_eq!(baseline().apply("a.c", fail("this"), day(2000)), fail("this"));
        let blocked = Verdict::Blocked { by: "a.a".into() };
        assert_eq!(baseline().apply("a.b", blocked.clone(), day(2000)), blocked);
        assert!(matches!(baseline().apply("a.b", blocked, day(2040)), Verdict::Stale { .. }));
        let nothing_to_judge = Verdict::NotApplicable { reason: "no replies".into() };
        assert!(matches!(baseline().apply("a.b", nothing_to_judge, day(2000)), Verdict::Stale { .. }));
    }

    #[test]
    fn what_is_written_expects_what_failed() {
        let written = Baseline::of([("a.b", &fail("this")), ("a.c", &Verdict::Pass)]);
        let text = toml::to_string_pretty(&written).unwrap();
        let read: Baseline = toml::from_str(&text).unwrap();
        assert_eq!(read.expected.len(), 1);
        assert!(matches!(read.apply("a.b", fail("this"), Day::today()), Verdict::Expected { .. }));
    }
}
