//! What a subject wrote to a control pipe is cut into messages of which nothing is lost.
#![no_main]

use conformance::message::{Tail, cut, encoded};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (messages, tail) = cut(bytes);
    let whole: Vec<u8> = messages.iter().flat_map(|message| encoded(&message.kind, &message.payload)).collect();
    assert!(bytes.starts_with(&whole));
    let rest = &bytes[whole.len()..];
    match tail {
        Tail::Nothing => assert!(rest.is_empty()),
        Tail::CutOff(length) => assert_eq!(rest.len(), length),
        Tail::Version(version) => assert_eq!(rest.first(), Some(&version)),
    }
    messages.iter().for_each(|message| drop(message.lifetime()));
});
