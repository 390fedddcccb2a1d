//! Edited copies: a part of the workspace in a place of its own, and exact edits of its text. What an edit is good for is not
//! known here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// A place in a file, which must be there exactly once, and what comes there instead.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) file: PathBuf,
    pub(crate) find: String,
    pub(crate) replace: String,
}

/// A workspace below this folder that holds one member alone.
pub(crate) fn copy_of(member: &str, workspace: &Path, folder: &Path) -> Result<PathBuf, String> {
    let copy = folder.join("workspace");
    let told = |error: std::io::Error| format!("{}: {error}", copy.display());
    // What was built there before saves time; what was edited there before does not stay.
    if copy.join(member).exists() {
        std::fs::remove_dir_all(copy.join(member)).map_err(told)?;
    }
    copy_all(&workspace.join(member), &copy.join(member)).map_err(told)?;
    std::fs::copy(workspace.join("Cargo.lock"), copy.join("Cargo.lock")).map_err(told)?;
    let manifest = std::fs::read_to_string(workspace.join("Cargo.toml")).map_err(told)?;
    let members = r#"members = ["reference", "conformance", "xtask"]"#;
    let alone = manifest.replace(members, &format!("members = [{member:?}]"));
    if alone == manifest {
        return Err("expected the members of the workspace in Cargo.toml, found others".into());
    }
    std::fs::write(copy.join("Cargo.toml"), alone).map_err(told)?;
    Ok(copy)
}

/// A file's text with its edits in place.
pub(crate) fn edited(folder: &Path, file: &Path, edits: &[Edit]) -> Result<String, String> {
    let path = folder.join(file);
    let mut text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for edit in edits.iter().filter(|edit| edit.file == file) {
        match text.matches(&edit.find).count() {
            1 => text = text.replace(&edit.find, &edit.replace),
            n => return Err(format!("expected once in {}, found {n} times: {:?}", file.display(), edit.find)),
        }
    }
    Ok(text)
}

/// Does something while the copy of a folder has these edits, which are gone from it afterwards.
pub(crate) fn while_edited<T>(
    original: &Path,
    copy: &Path,
    edits: &[Edit],
    work: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let files: BTreeSet<_> = edits.iter().map(|edit| edit.file.as_path()).collect();
    let put = |edits: &[Edit]| {
        files.iter().try_for_each(|file| {
            let path = copy.join(file);
            std::fs::write(&path, edited(original, file, edits)?)
                .map_err(|error| format!("{}: {error}", path.display()))
        })
    };
    let worked = put(edits).and_then(|()| work());
    put(&[])?;
    worked
}

/// What is built for one run needs nothing for a debugger, and a warning about what an edit leaves unused is no news. It is
/// optimised as everything is: a run starts hundreds of sessions, and without that they take longer than the build saves.
pub(crate) fn built_for_one_run(cargo: &mut Command) {
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_LTO", "off").env("RUSTFLAGS", "-Awarnings");
    // The next one is built after it, and differs in a line.
    cargo.env("CARGO_INCREMENTAL", "1");
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_must_fit_exactly_once() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let file = Path::new("edits.rs");
        let edit = |find: &str| [Edit { file: file.into(), find: find.into(), replace: "x".into() }];
        // Split, so that the test's own text does not hold it.
        let once = concat!("pub(crate) struct ", "Edit");
        assert!(edited(&folder, file, &edit(once)).is_ok_and(|text| text.contains("x {\n    pub(crate) file")));
        for find in [concat!("no such", " text"), "fn "] {
            assert!(edited(&folder, file, &edit(find)).is_err(), "{find:?} was taken for one place");
        }
    }
}
