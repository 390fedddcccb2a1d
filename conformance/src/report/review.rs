//! Review: another pair's transcripts held against the reference's snapshots, for `cargo insta review`.
//!
//! Everything happens in a folder of its own: the reference's snapshots are copied there first, and what
//! differs becomes a pending snapshot beside its copy. Accepting it changes the copy and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use super::transcript;
use crate::run::Run;

/// The folder under the workspace in which reviews take place.
pub const FOLDER: &str = "target/review";

/// The package in which the snapshots of a review stand.
const PACKAGE: &str = r#"[package]
name = "review"
version = "0.0.0"
edition = "2024"

[lib]
path = "lib.rs"

[workspace]
"#;

/// What came of a review.
#[derive(Debug)]
pub struct Review {
    /// The folder to give to `cargo insta review`.
    pub folder: PathBuf,
    /// The cases whose transcripts differ.
    pub pending: Vec<String>,
    /// How many were compared.
    pub compared: usize,
}

/// Compares a run's transcripts in `workspace`/target/review. `compare` is this very program with the words that
/// make it call [`compare`] on the folder that follows.
pub fn review(run: &Run, workspace: &Path, mut compare: Command) -> io::Result<Review> {
    let folder = workspace.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let (snapshots, seen) = (folder.join("snapshots"), folder.join("seen"));
    fs::create_dir_all(&snapshots)?;
    fs::create_dir_all(&seen)?;
    // cargo insta looks for snapshots in packages: this one holds nothing else.
    fs::write(folder.join("Cargo.toml"), PACKAGE)?;
    fs::write(folder.join("lib.rs"), "")?;
    let reference = workspace.join("conformance/tests/snapshots");
    for entry in fs::read_dir(&reference).map_err(|e| missing(&reference, &e))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "snap") {
            fs::copy(entry.path(), snapshots.join(entry.file_name()))?;
        }
    }
    let mut compared = 0;
    for (name, text) in transcript::all(run) {
        if snapshots.join(format!("{name}.snap")).is_file() {
            fs::write(seen.join(name), text)?;
            compared += 1;
        }
    }
    // insta takes its settings from the environment, which only a process of its own can have changed.
    let settings = [("INSTA_UPDATE", "new"), ("INSTA_FORCE_PASS", "1"), ("INSTA_OUTPUT", "none")];
    let status = compare.arg(&folder).envs(settings).env("INSTA_WORKSPACE_ROOT", &folder).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("the comparison failed ({status})")));
    }
    fs::remove_dir_all(&seen)?;
    let mut pending: Vec<_> = fs::read_dir(&snapshots)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".snap.new")?.to_owned()))
        .collect();
    pending.sort();
    Ok(Review { folder, pending, compared })
}

fn missing(reference: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!(
        "the reference's snapshots are not at {}: {error}; --review works in the project's own checkout",
        reference.display()
    ))
}

/// Holds every text in `folder`/seen against its snapshot. Runs with insta's settings in the environment.
pub fn compare(folder: &Path) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(folder.join("seen"))?.collect::<Result<_, _>>()?;
    names.sort_by_key(fs::DirEntry::file_name);
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(folder.join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for entry in names {
            let text = fs::read_to_string(entry.path())?;
            insta::assert_snapshot!(entry.file_name().to_string_lossy().into_owned(), text);
        }
        Ok(())
    })
}
