//! A control pipe: a `supervisor` starts a `service`, hears over one pipe where it is in its life, and ends it by closing
//! the other one, on which nothing is ever said. So a service whose supervisor is gone, however that went, ends too.

pub mod service;
pub mod supervisor;
