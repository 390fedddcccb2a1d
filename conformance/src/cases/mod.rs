//! The cases, a folder for each family. A case drives sessions and says what happened; it never sees a verdict.
//!
//! The sentence of the requirement stands above each case; a test holds the two together.

use std::pin::Pin;
use std::sync::Arc;

use crate::outcome::Outcome;
use crate::stage::Stage;

mod control;
#[cfg(unix)]
mod handed;
mod plugin;
mod seen;
#[cfg(unix)]
mod sockets;
#[cfg(unix)]
mod watchdog;

/// A check of one requirement.
pub struct Case {
    /// The requirement's id.
    pub id: &'static str,
    /// The module and the function that check it.
    pub place: (&'static str, &'static str),
    /// Drives the sessions.
    pub run: fn(Arc<Stage>) -> Running,
}

/// A case under way.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Pairs ids with the functions that check them.
macro_rules! cases {
    ($($id:literal => $function:path),* $(,)?) => {
        pub(in crate::cases) const CASES: &[crate::cases::Case] = &[
            $(crate::cases::Case { id: $id, place: (module_path!(), stringify!($function)), run: |stage| Box::pin(async move { $function(&stage).await }) }),*
        ];
    };
}
use cases;

/// Every case.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let families = [
        #[cfg(unix)]
        watchdog::PARTS,
        control::PARTS,
        plugin::PARTS,
        #[cfg(unix)]
        sockets::PARTS,
    ];
    families.into_iter().flatten().copied().flatten()
}

/// The case of a requirement.
pub fn of(id: &str) -> Option<&'static Case> {
    all().find(|case| case.id == id)
}
