//! Views of a run. Each is a pure function of the one [`crate::run::Run`] value; one file a format.

pub mod json;
pub mod review;
pub mod text;
pub mod transcript;
