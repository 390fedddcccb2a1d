//! The service: counts the lines that peers send it, keeps the number on disk, and tells it to whoever calls. It starts one
//! task after another, tells of each before it does, and stops them in the reverse order.

pub mod database;
pub mod machine;
pub mod network;
pub mod options;
pub mod run;
