//! A line of a bundle is an event or refused, and an event is written as it was read.
#![no_main]

use conformance::event::Event;
use conformance::report::transcript::timeline;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let events: Vec<Event> = bytes.split(|byte| *byte == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
    for event in &events {
        let line = serde_json::to_string(event).expect("an event has a line");
        let again: Event = serde_json::from_str(&line).expect("which can be read");
        assert_eq!(serde_json::to_string(&again).expect("and written"), line);
    }
    let _ = timeline(&events);
});
