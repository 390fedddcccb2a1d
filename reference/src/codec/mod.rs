//! Wire formats: bytes to messages and back. Nothing in here reads, writes, waits or knows who is at the other end.

pub mod chunk;
pub mod delimited;
pub mod malformed;
pub mod op_frame;
pub mod payload;
pub mod pipe_message;
