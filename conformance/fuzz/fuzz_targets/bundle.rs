//! A bundle is read or refused, whatever its files hold; and an event is written as it was read.
//!
//! The input is a bundle's files, one after another, with a byte between them that no UTF-8 has. One that is empty is as
//! a run would have written it, so that the others are read too.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use conformance::bundle::Bundle;
use conformance::event::Event;
use conformance::timeline::timeline;
use libfuzzer_sys::fuzz_target;

const HEAD: &str = r#"{"format": 2, "family": "watchdog", "system": "linux", "pair": {"watchdog": "w", "server": "s"},
"profile": {"name": "fuzz", "grades": ["assignment"]}, "only": [], "jobs": 8, "patience_ms": 10000,
"target": "http://127.0.0.1:1", "baseline": {"expected": []}, "day": {"year": 2026, "month": 1, "day": 1}}"#;
const CASE: &str = r#"{"at_us": 1, "remains": [], "sessions": [{"at_us": 2, "pid": 3, "not_executed": null}]}"#;

/// Every file of a bundle with a session that teaches and a case with one more.
const FILES: [(&str, &str); 7] = [
    ("bundle.json", HEAD),
    ("learn/case.json", CASE),
    ("learn/notes.jsonl", ""),
    ("learn/0.jsonl", ""),
    ("wire.op/case.json", CASE),
    ("wire.op/notes.jsonl", ""),
    ("wire.op/0.jsonl", ""),
];

/// One place for all inputs.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-bundle-{}", std::process::id()));
    for case in ["learn", "wire.op"] {
        fs::create_dir_all(folder.join(case)).expect("a temporary folder can be made");
    }
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let mut pieces = bytes.split(|byte| *byte == 0xff);
    for (file, otherwise) in FILES {
        let piece = pieces.next().filter(|piece| !piece.is_empty()).unwrap_or(otherwise.as_bytes());
        fs::write(FOLDER.join(file), piece).expect("the folder is ours");
    }
    if let Ok(bundle) = Bundle::read(&FOLDER) {
        for session in bundle.acts.values().flat_map(|acts| &acts.sessions) {
            written_as_read(&session.events);
        }
        let _ = (bundle.day(), bundle.options());
    }
    // Most inputs are refused for one line, so each is tried alone too.
    let lines = bytes.split(|byte| matches!(byte, b'\n' | 0xff));
    written_as_read(&lines.filter_map(|line| serde_json::from_slice(line).ok()).collect::<Vec<Event>>());
});

fn written_as_read(events: &[Event]) {
    for event in events {
        let line = serde_json::to_string(event).expect("an event has a line");
        let again: Event = serde_json::from_str(&line).expect("which can be read");
        assert_eq!(serde_json::to_string(&again).expect("and written"), line);
    }
    let _ = timeline(events);
}
