//! The pair as it should be.
