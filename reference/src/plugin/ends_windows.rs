//! The two ends of a plugin connection on Windows, as tokio reads and writes them: on threads that wait, since such pipes can
//! only be waited for.

use std::os::windows::io::OwnedHandle;

use tokio::fs::File;

use super::driver::Incoming;
use crate::transport::inherited;

/// What a side reads, and what it writes to.
#[derive(Debug)]
pub struct Ends {
    pub(super) incoming: File,
    pub(super) outgoing: File,
}

impl Ends {
    /// Those that this process inherited as its standard input and output, which are used for nothing else from here on. The
    /// error says what is wrong with them.
    pub fn standard() -> Result<Self, String> {
        use std::os::windows::io::AsRawHandle;
        let (incoming, outgoing) = (std::io::stdin().as_raw_handle(), std::io::stdout().as_raw_handle());
        Self::inherited(incoming as usize, outgoing as usize)
    }

    /// Those that this process inherited as two handles, reading and writing.
    pub fn inherited(incoming: usize, outgoing: usize) -> Result<Self, String> {
        let (reads, writes) = (inherited::one(incoming, false)?, inherited::one(outgoing, true)?);
        Self::of(reads, writes).map_err(|error| format!("cannot use {incoming} and {outgoing}: {error}"))
    }

    /// Those of a child.
    pub(super) fn of(incoming: OwnedHandle, outgoing: OwnedHandle) -> std::io::Result<Self> {
        let file = |end: OwnedHandle| File::from_std(std::fs::File::from(end));
        Ok(Ends { incoming: file(incoming), outgoing: file(outgoing) })
    }
}

impl Incoming for File {}
