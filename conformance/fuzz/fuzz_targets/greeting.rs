//! What comes through a stand-in's socket is a greeting or an error: whoever connects may say anything.
#![no_main]

use std::io::Write;
use std::os::unix::net::UnixStream;

use conformance::subject::handover::{self, Hello};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // No more than a socket holds, else nobody would read what is written.
    let bytes = &bytes[..bytes.len().min(64 << 10)];
    let (mut theirs, ours) = UnixStream::pair().expect("a pair of sockets");
    theirs.write_all(bytes).expect("it holds that much");
    drop(theirs);
    let _ = handover::receive::<Hello>(&ours);
});
