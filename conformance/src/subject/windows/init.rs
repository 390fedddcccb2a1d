//! There are no namespaces on Windows, so nobody is the init of one.

use std::io;
use std::sync::Arc;

use super::place::SessionFolder;
use super::remains::Remain;

/// Nobody.
#[derive(Debug)]
pub(super) enum Init {}

impl Init {
    /// Never asked.
    pub(super) fn is_alone(&self) -> bool {
        match *self {}
    }

    /// Never ended.
    pub(super) async fn finish(self: &Arc<Self>, _: &SessionFolder) -> io::Result<Vec<Remain>> {
        match **self {}
    }

    /// Never ended.
    pub(super) fn end_now(&self) {
        match *self {}
    }
}
