//! What a server that many use says on standard error: whoever does not read it, or closes it, does not stop the server, and
//! clients cannot make it say any number of lines.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many lines fit into a pipe that nobody reads.
const LINES_MAX: usize = 300;

/// Says a sentence, a line of its own, unless there were so many already.
pub fn complain(sentence: fmt::Arguments<'_>) {
    static LINES: AtomicUsize = AtomicUsize::new(0);
    let before = LINES.fetch_add(1, Ordering::Relaxed);
    let mut stderr = io::stderr().lock();
    // If this fails, there is nobody to tell.
    let _ = match before.cmp(&LINES_MAX) {
        std::cmp::Ordering::Less => writeln!(stderr, "{sentence}"),
        std::cmp::Ordering::Equal => writeln!(stderr, "server: what else there is to complain about is not said"),
        std::cmp::Ordering::Greater => Ok(()),
    };
}
