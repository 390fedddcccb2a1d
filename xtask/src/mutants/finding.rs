//! What the suite found in a mutant, by its exit status and its report.
//!
//! It is compiled here for its tests, and with the test that mutants meet, in a copy of the reference that has no
//! library to read JSON with.

/// What a run of the suite comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Something does not hold: only this kills.
    Failure,
    /// Nothing was seen not to hold, and something could not be judged.
    Inconclusive,
    /// All of it holds.
    Nothing,
    /// The suite itself failed, which says nothing of the mutant.
    HarnessFault,
}

/// The profile grades everything, so advice is of what it grades too.
const FAILED: [&str; 3] = ["fail", "warn", "advice"];

pub(crate) fn of(status: Option<i32>, report: &str) -> Finding {
    let has = |verdict: &str| report.contains(&format!("\"verdict\": \"{verdict}\""));
    match status {
        _ if FAILED.into_iter().any(has) => Finding::Failure,
        Some(0) if !has("inconclusive") && !has("blocked") => Finding::Nothing,
        Some(0 | 4) => Finding::Inconclusive,
        _ => Finding::HarnessFault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(status: i32, verdicts: &[&str]) -> Finding {
        let lines: Vec<_> = verdicts.iter().map(|verdict| format!("      \"verdict\": \"{verdict}\",\n")).collect();
        of(Some(status), &lines.concat())
    }

    #[test]
    fn only_what_does_not_hold_kills() {
        assert_eq!(found(0, &["pass", "untestable"]), Finding::Nothing);
        assert_eq!(found(4, &["pass", "inconclusive"]), Finding::Inconclusive);
        assert_eq!(found(4, &["pass", "blocked"]), Finding::Inconclusive);
        for verdict in FAILED {
            assert_eq!(found(0, &["pass", verdict]), Finding::Failure);
            assert_eq!(found(4, &["inconclusive", verdict]), Finding::Failure);
        }
        assert_eq!(found(1, &["fail", "blocked"]), Finding::Failure);
    }

    #[test]
    fn a_suite_that_fails_says_nothing_of_the_mutant() {
        assert_eq!(found(3, &["pass", "harness_fault"]), Finding::HarnessFault);
        assert_eq!(of(Some(5), ""), Finding::HarnessFault);
        assert_eq!(of(None, ""), Finding::HarnessFault);
    }
}
