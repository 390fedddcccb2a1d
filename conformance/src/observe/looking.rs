//! Looking again at what nobody tells of: that a pipe has been emptied, a process sleeps, a path is there.
//!
//! Whoever is looked at needs a processor to get there, and there may be but one. So after a short while it is left to him for
//! most of the time. What is looked at, and until when, this does not know.

use std::time::{Duration, Instant};

/// What is near at hand is there by then, and whoever looks loses no time.
const BRISKLY: Duration = Duration::from_millis(1);

/// How long nobody looks, later on.
const PAUSE: Duration = Duration::from_millis(1);

/// A first look, and others to come.
pub(crate) struct Looking(Instant);

impl Looking {
    /// Begins.
    pub(crate) fn begin() -> Self {
        Looking(Instant::now())
    }

    /// Returns when it is time for another look. Everything else runs in between.
    pub(crate) async fn again(&self) {
        if self.0.elapsed() < BRISKLY {
            tokio::task::yield_now().await;
        } else {
            let _ = tokio::time::timeout(PAUSE, std::future::pending::<()>()).await;
        }
    }
}

/// Looks each time that a period is over, until it is dropped.
#[cfg(unix)]
pub(crate) async fn now_and_then(period: Duration, mut look: impl FnMut()) {
    loop {
        let _ = tokio::time::timeout(period, std::future::pending::<()>()).await;
        look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_has_looked_for_long_looks_no_more_often_than_that() {
        let looking = Looking::begin();
        while looking.0.elapsed() < BRISKLY {}
        let begun = Instant::now();
        let mut looks = 0;
        while begun.elapsed() < 50 * PAUSE {
            looking.again().await;
            looks += 1;
        }
        assert!((1..=50).contains(&looks), "{looks}");
    }
}
