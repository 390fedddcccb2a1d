//! Making broken pairs: a copy of a pair's text, edited, and built where it has to be built.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::known::{Base, Edit, Fault};
use crate::steps::cargo;

/// The two programs of every pair.
const PROGRAMS: [&str; 2] = ["watchdog", "server"];

/// Where broken pairs are made. The reference's copy has a target folder of its own, so that what is built here never
/// takes the place of what others run.
pub(crate) struct Workshop {
    workspace: PathBuf,
    copy: PathBuf,
}

impl Workshop {
    /// Below this folder, which is made.
    pub(crate) fn new(workspace: &Path, folder: &Path) -> Result<Self, String> {
        let copy = copy_of_reference(workspace, folder)?;
        Ok(Self { workspace: workspace.to_owned(), copy })
    }

    /// Puts the pair, with this fault or without any, into a folder that exists.
    pub(crate) fn make(&self, base: Base, fault: Option<&Fault>, into: &Path) -> Result<(), String> {
        let edits = fault.map_or(&[][..], |fault| &fault.edit);
        match base {
            Base::Python => self.edit_scripts(edits, into),
            Base::Reference => self.build_reference(edits, into),
        }
    }

    fn edit_scripts(&self, edits: &[Edit], into: &Path) -> Result<(), String> {
        let pair = self.workspace.join("fixtures/pairs/python");
        for program in PROGRAMS {
            let text = edited(&pair, Path::new(program), edits)?;
            let path = into.join(program);
            let written = std::fs::write(&path, text)
                .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)));
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn build_reference(&self, edits: &[Edit], into: &Path) -> Result<(), String> {
        let (original, copy) = (self.workspace.join("reference/src"), self.copy.join("reference/src"));
        let files: std::collections::BTreeSet<_> = edits.iter().map(|edit| &edit.file).collect();
        for file in &files {
            put(&copy.join(file), &edited(&original, file, edits)?)?;
        }
        let built = self.cargo_build();
        for file in &files {
            put(&copy.join(file), &edited(&original, file, &[])?)?;
        }
        built?;
        for program in PROGRAMS {
            let from = self.copy.join("target/debug").join(program);
            std::fs::copy(&from, into.join(program)).map_err(|error| format!("{}: {error}", from.display()))?;
        }
        Ok(())
    }

    fn cargo_build(&self) -> Result<(), String> {
        let mut build = cargo(["build", "--quiet", "--bins", "--offline"]);
        build.current_dir(&self.copy).env("CARGO_TARGET_DIR", self.copy.join("target"));
        // What is built for one run is built fast; a warning about what a fault leaves unused is no news.
        build
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "-Awarnings");
        let output = build.stdin(Stdio::null()).output().map_err(|error| format!("cannot start cargo: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("the broken reference does not build:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// A workspace below this folder that holds the reference alone.
pub(crate) fn copy_of_reference(workspace: &Path, folder: &Path) -> Result<PathBuf, String> {
    let copy = folder.join("workspace");
    let told = |error: std::io::Error| format!("{}: {error}", copy.display());
    // What was built there before saves time; what was edited there before does not stay.
    if copy.join("reference").exists() {
        std::fs::remove_dir_all(copy.join("reference")).map_err(told)?;
    }
    copy_all(&workspace.join("reference"), &copy.join("reference")).map_err(told)?;
    std::fs::copy(workspace.join("Cargo.lock"), copy.join("Cargo.lock")).map_err(told)?;
    let manifest = std::fs::read_to_string(workspace.join("Cargo.toml")).map_err(told)?;
    let alone = manifest.replace(r#"members = ["reference", "conformance", "xtask"]"#, r#"members = ["reference"]"#);
    if alone == manifest {
        return Err("expected the members of the workspace in Cargo.toml, found others".into());
    }
    std::fs::write(copy.join("Cargo.toml"), alone).map_err(told)?;
    Ok(copy)
}

/// A file's text with its edits in place.
fn edited(folder: &Path, file: &Path, edits: &[Edit]) -> Result<String, String> {
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

fn put(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
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
        let file = Path::new("faults/broken.rs");
        let edit = |find: &str| [Edit { file: file.into(), find: find.into(), replace: "x".into() }];
        // Split, so that the test's own text does not hold it.
        let once = concat!("pub(crate) struct ", "Workshop");
        assert!(edited(&folder, file, &edit(once)).is_ok_and(|text| text.contains("x {\n    workspace")));
        for find in [concat!("no such", " text"), "fn "] {
            assert!(edited(&folder, file, &edit(find)).is_err(), "{find:?} was taken for one place");
        }
    }
}
