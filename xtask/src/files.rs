//! Files that one command, or a person, writes and another command reads.

use std::fmt::Display;
use std::path::Path;

use serde::de::DeserializeOwned;

/// What a file holds as JSON. The error names the file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    read(path, |text| serde_json::from_str(text))
}

/// What a file holds as TOML. The error names the file.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    read(path, |text| toml::from_str(text))
}

/// Puts a text in a file's place all at once: whoever ends us in between leaves the old file or the new one.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), String> {
    let new = path.with_extension("new");
    let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| format!("{}: {error}", new.display()))
}

fn read<T, E: Display>(path: &Path, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, String> {
    let told = |error: &dyn Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    parse(&text).map_err(|error| told(&error))
}
