//! Starting a subject, what it is given, and its end.

pub mod handover;
pub mod place;
pub mod remains;
pub mod session;
pub mod standin;
