//! There is no pseudo terminal on Windows: sessions are on pipes.

/// Nobody has one.
#[derive(Debug)]
pub enum Terminal {}
