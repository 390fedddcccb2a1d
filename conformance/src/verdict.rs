//! What an outcome is worth: all policy, in one place.
//!
//! Cases say what happened; this file alone says what follows from it for a requirement and for the exit
//! status.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Stop};
use crate::spec::Level;

/// What became of a requirement in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// A graded MUST does not hold.
    Fail(Finding),
    /// A graded SHOULD does not hold.
    Warn(Finding),
    /// What is not graded does not hold.
    Advice(Finding),
    /// It does not hold, as a baseline expects.
    Expected {
        /// What was expected and seen.
        #[serde(flatten)]
        finding: Finding,
        /// Why that is put up with.
        reason: String,
    },
    /// It holds, and a baseline expects that it does not.
    Stale {
        /// What was expected.
        reason: String,
    },
    /// There is nothing to judge here, for this reason.
    NotApplicable {
        /// The reason.
        reason: String,
    },
    /// Its point could not be reached, because this requirement does not hold.
    Blocked {
        /// The requirement's id.
        by: String,
    },
    /// Its point was not reached, and nothing that was judged says why.
    Inconclusive {
        /// What was missing.
        missing: String,
        /// It was a machine that is in time.
        too_slow: bool,
    },
    /// The suite failed.
    HarnessFault {
        /// How.
        error: String,
    },
    /// Nobody outside can see it, for this reason.
    Untestable {
        /// The reason.
        reason: String,
    },
}

/// What was expected and what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What the requirement makes one expect.
    pub expected: String,
    /// What was seen instead.
    pub seen: String,
}

/// The verdict on a requirement of this level, when `graded` says whether it counts.
pub fn judge(level: Level, graded: bool, outcome: Outcome) -> Verdict {
    match outcome {
        Ok(()) => Verdict::Pass,
        Err(Stop::Failure { expected, seen }) => {
            let finding = Finding { expected, seen };
            match level {
                _ if !graded => Verdict::Advice(finding),
                Level::Must => Verdict::Fail(finding),
                Level::Should => Verdict::Warn(finding),
                Level::May => Verdict::Advice(finding),
            }
        }
        Err(Stop::Missing(missing)) => Verdict::Inconclusive { missing, too_slow: false },
        Err(Stop::TooSlow(what)) => {
            let missing = format!("this machine was too slow {what}; --timeout-scale gives it more");
            Verdict::Inconclusive { missing, too_slow: true }
        }
        Err(Stop::NotApplicable(reason)) => Verdict::NotApplicable { reason },
        Err(Stop::Harness(error)) => Verdict::HarnessFault { error },
    }
}

impl Verdict {
    /// The verdict on what needs the requirement of this id, if this one on it means that it cannot be reached.
    pub fn keeps_from(&self, id: &str) -> Option<Verdict> {
        let open = |too_slow| Verdict::Inconclusive { missing: format!("{id} could not be judged"), too_slow };
        match self {
            Verdict::Fail(_)
            | Verdict::Warn(_)
            | Verdict::Advice(_)
            | Verdict::Expected { .. }
            | Verdict::Blocked { .. } => Some(Verdict::Blocked { by: id.to_owned() }),
            Verdict::Inconclusive { too_slow, .. } => Some(open(*too_slow)),
            Verdict::HarnessFault { .. } => Some(open(false)),
            Verdict::Pass | Verdict::Stale { .. } | Verdict::NotApplicable { .. } | Verdict::Untestable { .. } => None,
        }
    }

    /// Whoever reads of it wants to see what it was told from.
    pub fn has_evidence(&self) -> bool {
        !matches!(
            self,
            Verdict::Pass | Verdict::NotApplicable { .. } | Verdict::Untestable { .. } | Verdict::Blocked { .. }
        )
    }

    /// A case ran, or was to run, and its answer counts as one.
    fn ran(&self) -> bool {
        !matches!(self, Verdict::NotApplicable { .. } | Verdict::Untestable { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Pass => "pass",
            Verdict::Fail(_) => "FAIL",
            Verdict::Warn(_) => "warn",
            Verdict::Advice(_) => "advice",
            Verdict::Expected { .. } => "expected",
            Verdict::Stale { .. } => "STALE",
            Verdict::NotApplicable { .. } => "not applicable",
            Verdict::Blocked { .. } => "blocked",
            Verdict::Inconclusive { .. } => "inconclusive",
            Verdict::HarnessFault { .. } => "HARNESS FAULT",
            Verdict::Untestable { .. } => "untestable",
        })
    }
}

/// A whole run's answer, and the exit status that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Answer {
    /// Every graded requirement that can be judged here holds.
    Conformant = 0,
    /// A graded MUST does not hold.
    NotConformant = 1,
    /// The command line was wrong. Not the outcome of a run.
    Usage = 2,
    /// The suite failed somewhere.
    HarnessFault = 3,
    /// A graded requirement could not be judged.
    Inconclusive = 4,
    /// No case ran.
    NothingRan = 5,
    /// Ctrl-C or SIGTERM ended the run.
    Interrupted = 130,
}

/// The run's answer from its verdicts, each with whether its requirement is graded.
pub fn answer<'a>(verdicts: impl IntoIterator<Item = (&'a Verdict, bool)>) -> Answer {
    let all: Vec<_> = verdicts.into_iter().collect();
    let any = |is: fn(&Verdict, bool) -> bool| all.iter().any(|(verdict, graded)| is(verdict, *graded));
    // In this order, after the command line (2):
    // 1. nothing ran;
    if !any(|v, _| v.ran()) {
        return Answer::NothingRan;
    }
    // 2. the suite accuses itself first;
    if any(|v, _| matches!(v, Verdict::HarnessFault { .. })) {
        return Answer::HarnessFault;
    }
    // 3. a failure is a failure, whatever else is not known, and so is a baseline that no longer fits;
    if any(|v, _| matches!(v, Verdict::Fail(_) | Verdict::Stale { .. })) {
        return Answer::NotConformant;
    }
    // 4. what is graded and not known is no success;
    if any(|v, graded| graded && matches!(v, Verdict::Inconclusive { .. } | Verdict::Blocked { .. })) {
        return Answer::Inconclusive;
    }
    // 5. all that is left.
    Answer::Conformant
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Outcome {
        Err(Stop::failure("this", "that"))
    }

    #[test]
    fn a_failure_is_as_grave_as_its_level_and_only_when_graded() {
        assert!(matches!(judge(Level::Must, true, failure()), Verdict::Fail(_)));
        assert!(matches!(judge(Level::Should, true, failure()), Verdict::Warn(_)));
        assert!(matches!(judge(Level::May, true, failure()), Verdict::Advice(_)));
        assert!(matches!(judge(Level::Must, false, failure()), Verdict::Advice(_)));
    }

    #[test]
    fn what_was_not_reached_is_neither_pass_nor_failure() {
        let missing = Err(Stop::Missing("a reply".into()));
        assert!(matches!(judge(Level::Must, true, missing), Verdict::Inconclusive { too_slow: false, .. }));
        let slow = Err(Stop::TooSlow("for a reply to come soon".into()));
        let slow = judge(Level::Must, true, slow);
        assert!(matches!(slow, Verdict::Inconclusive { too_slow: true, missing } if missing.contains("to come soon")));
        let harness = Err(Stop::Harness("no pipes left".into()));
        assert!(matches!(judge(Level::Must, false, harness), Verdict::HarnessFault { .. }));
    }

    /// Nobody is said to have failed where a machine was too slow, or the suite itself failed.
    #[test]
    fn what_comes_after_a_failure_is_blocked_and_after_what_is_not_known_it_is_not_known() {
        let blocked = Verdict::Blocked { by: "a.b".into() };
        for level in [Level::Must, Level::Should, Level::May] {
            assert_eq!(judge(level, true, failure()).keeps_from("a.b"), Some(blocked.clone()));
        }
        assert_eq!(Verdict::Blocked { by: "a.a".into() }.keeps_from("a.b"), Some(blocked));
        for (outcome, is_slow) in [
            (Err(Stop::Missing("a reply".into())), false),
            (Err(Stop::TooSlow("for a reply".into())), true),
            (Err(Stop::Harness("no pipes left".into())), false),
        ] {
            let open = Verdict::Inconclusive { missing: "a.b could not be judged".into(), too_slow: is_slow };
            assert_eq!(judge(Level::Must, true, outcome).keeps_from("a.b"), Some(open));
        }
        for holds in [Ok(()), Err(Stop::NotApplicable(String::new()))] {
            assert_eq!(judge(Level::Must, true, holds).keeps_from("a.b"), None);
        }
    }

    #[test]
    fn the_precedence_of_answers() {
        let pass = Verdict::Pass;
        let fail = judge(Level::Must, true, failure());
        let warn = judge(Level::Should, true, failure());
        let fault = Verdict::HarnessFault { error: String::new() };
        let open = Verdict::Inconclusive { missing: String::new(), too_slow: false };
        let blocked = Verdict::Blocked { by: String::new() };
        let nowhere = Verdict::NotApplicable { reason: String::new() };
        assert_eq!(answer([]), Answer::NothingRan);
        assert_eq!(answer([(&nowhere, true)]), Answer::NothingRan);
        assert_eq!(answer([(&fault, false), (&fail, true), (&open, true)]), Answer::HarnessFault);
        assert_eq!(answer([(&fail, true), (&open, true), (&pass, true)]), Answer::NotConformant);
        let expected =
            Verdict::Expected { finding: Finding { expected: "".into(), seen: "".into() }, reason: "".into() };
        let stale = Verdict::Stale { reason: String::new() };
        assert_eq!(answer([(&expected, true), (&warn, true)]), Answer::Conformant);
        assert_eq!(answer([(&stale, false), (&pass, true), (&open, true)]), Answer::NotConformant);
        assert_eq!(answer([(&open, true), (&pass, true)]), Answer::Inconclusive);
        assert_eq!(answer([(&blocked, true), (&pass, true)]), Answer::Inconclusive);
        assert_eq!(answer([(&open, false), (&pass, true)]), Answer::Conformant);
        assert_eq!(answer([(&pass, true), (&warn, true), (&nowhere, true)]), Answer::Conformant);
    }
}
