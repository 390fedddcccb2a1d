//! The faults of `fixtures/faulty`: read from their file, and put into a copy of the pair that they break.

use std::collections::BTreeSet;
use std::path::Path;

use conformance::spec::Platform;
use serde::Deserialize;

use super::{fixtures, python_pair, write_program};

/// A file of faults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    fault: Vec<Fault>,
}

/// One bug, and what it breaks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub name: String,
    pub why: String,
    pub breaks: BTreeSet<String>,
    #[serde(default)]
    pub platforms: Option<Vec<Platform>>,
    pub edit: Vec<Edit>,
}

/// A place in one of the two programs, which must be there exactly once, and what comes there instead.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    pub file: String,
    pub find: String,
    pub replace: String,
}

pub fn faults() -> Vec<Fault> {
    let file = fixtures().join("faulty/python.toml");
    let text = std::fs::read_to_string(&file).expect("the faults are there");
    let Faults { fault } = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    fault
}

/// Writes the broken pair into a folder.
pub fn break_pair(fault: &Fault, into: &Path) -> Result<(), String> {
    for file in ["watchdog", "server"] {
        let mut text = std::fs::read_to_string(python_pair().join(file)).map_err(|error| error.to_string())?;
        for edit in fault.edit.iter().filter(|edit| edit.file == file) {
            match text.matches(&edit.find).count() {
                1 => text = text.replace(&edit.find, &edit.replace),
                n => return Err(format!("expected once in {file}, found {n} times: {:?}", edit.find)),
            }
        }
        write_program(&into.join(file), &text);
    }
    Ok(())
}
