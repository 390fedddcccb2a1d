//! The supervisor: starts a service, shows what it tells of its life, and ends it by closing the control pipe.

pub mod machine;
pub mod options;
pub mod run;
