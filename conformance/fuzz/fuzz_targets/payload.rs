//! A payload as a subject wrote it is read as an object or refused.
#![no_main]

use conformance::dialect::payload;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = payload::object(bytes);
});
