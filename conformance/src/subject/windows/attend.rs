//! Nobody stands in a child's place on Windows: what a parent starts is its own affair, and nothing of it is seen.

use std::sync::Arc;

use super::handover::Hello;
use crate::event::Who;
use crate::record::Record;

/// What is known of the children of a session.
#[derive(Debug, Default)]
pub(super) struct Shared;

impl Shared {
    /// Of a session of another run.
    pub(super) fn past(_: Arc<Record>, _: Who) -> Self {
        Shared
    }

    /// What the `n`th child was given, which is not seen.
    pub(super) fn hello(&self, _: usize) -> Option<Hello> {
        None
    }

    /// Nothing was taken over.
    pub(super) fn let_go(&self) {}
}
