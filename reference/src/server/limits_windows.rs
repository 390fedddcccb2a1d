//! How many clients a process can have on Windows, where handles are plenty.

/// So many.
pub fn clients_max() -> usize {
    4096
}
