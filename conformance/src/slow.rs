//! How slow the machine was while something was waited for, and what that is too slow for.
//!
//! How it is measured is known in `observe`; what becomes of a verdict in `attempt`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is tried again where the machine was too slow may be in time then; what is not so often never is.
pub(crate) const ATTEMPTS: usize = 3;

/// How slow it was.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Slow {
    /// How late the suite was woken at worst.
    pub(crate) late: Duration,
    /// How long the pair was kept from the processors at worst.
    pub(crate) starved: Duration,
}

impl Slow {
    /// Why nothing can be said of what did not come in time, where so much patience was had.
    pub(crate) fn excuse(self, patience: Duration) -> Option<String> {
        let Slow { late, starved } = self;
        let late = (late > patience / 10).then(|| format!("the suite itself was woken {} ms late", late.as_millis()));
        let starved = (starved > patience / 2)
            .then(|| format!("the pair was kept from the processors for {} ms", starved.as_millis()));
        let both: Vec<_> = late.into_iter().chain(starved).collect();
        (!both.is_empty()).then(|| both.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_too_much_for_its_patience_is_an_excuse() {
        let seconds = Duration::from_secs;
        let in_time = Slow { late: Duration::from_millis(50), starved: seconds(4) };
        assert_eq!(in_time.excuse(seconds(10)), None);
        let told = |slow: Slow| slow.excuse(seconds(10)).unwrap_or_default();
        assert!(told(Slow { late: seconds(2), ..in_time }).contains("woken 2000 ms late"));
        assert!(told(Slow { starved: seconds(6), ..in_time }).contains("processors for 6000 ms"));
        assert!(in_time.excuse(seconds(5)).is_some());
    }
}
