//! How many descriptors a process may have open. The suite takes as many as it may, since a case can have a thousand connections;
//! the programs that it starts have as many as it was given itself.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More is of no use to anybody.
const MOST: u64 = 1 << 16;

static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process have as many as it may, and says how many it was given at first: nothing for any number.
pub(crate) fn given() -> Option<u64> {
    let raise = || {
        let given = getrlimit(Resource::Nofile);
        let most = given.maximum.map_or(MOST, |most| most.min(MOST));
        if given.current.is_some_and(|current| current < most) {
            // Where that is not allowed, it has what it was given.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..given });
        }
        given
    };
    GIVEN.get_or_init(raise).current
}

/// Sets how many this process may have, as far as it may.
pub(crate) fn set(number: Option<u64>) {
    let allowed = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: number, ..allowed });
}

/// How many this process may have.
pub(crate) fn allowed() -> u64 {
    given();
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_as_many_as_it_may_and_it_is_known_what_it_had() {
        let before = given();
        assert!(allowed() >= before.unwrap_or(u64::MAX).min(MOST));
        assert_eq!(given(), before);
    }
}
