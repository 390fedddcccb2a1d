//! How many clients a process can have on Unix: each takes some descriptors.

use nix::libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Never more than this.
const CLIENTS_MAX: rlim_t = 4096;

/// A connection twice, two pairs to wake whoever serves it, and one to whom an HTTP request goes.
const DESCRIPTORS_EACH: rlim_t = 7;

/// For everything else.
const DESCRIPTORS_KEPT: rlim_t = 64;

/// Lets this process have as many descriptors as it may need and is allowed to have, and says for how many clients they do.
pub fn clients_max() -> usize {
    let wanted = CLIENTS_MAX * DESCRIPTORS_EACH * 4 / 3 + DESCRIPTORS_KEPT;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
    let raised = wanted.clamp(soft, hard.max(soft));
    let soft = if setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() { raised } else { soft };
    // A quarter is for clients that have several requests under way.
    let clients = (soft.saturating_sub(DESCRIPTORS_KEPT) * 3 / 4) / DESCRIPTORS_EACH;
    usize::try_from(clients.clamp(1, CLIENTS_MAX)).unwrap_or(1)
}
