//! Linux: what a confined program may change, as Landlock holds it. Behind the mounts, which let nothing be written but what
//! is the session's own, it is a second wall; before devices, which mounts do not guard, it is the only one where the program
//! runs as the suite's user: somebody's terminal is one. What the places are that it may change, it does not know.

use std::io;
use std::path::Path;

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, path_beneath_rules,
};

/// Reading is for the mounts to guard. Of a kernel that knows less than this, what it knows is asked.
fn changes() -> BitFlags<AccessFs> {
    AccessFs::from_write(ABI::V5)
}

/// From here on this thread, and whoever it starts, changes nothing but what is at or below these paths. It can have gained
/// no rights by then.
pub(super) fn restrict_to(places: &[impl AsRef<Path>]) -> io::Result<()> {
    let rules = || {
        let ruleset = Ruleset::default().handle_access(changes())?.create()?;
        // A place that is not there is none.
        ruleset.add_rules(path_beneath_rules(places, changes()))?.no_new_privs(false).restrict_self()
    };
    rules().map(drop).map_err(io::Error::other)
}

/// The kernel knows all of it.
pub(super) fn is_whole() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(changes()).and_then(Ruleset::create).is_ok()
}
