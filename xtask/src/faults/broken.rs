//! Making broken pairs: a copy of a pair's text, edited, and built where it has to be built.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::known::{Base, Fault};
use crate::edits::{Edit, built_for_one_run, copy_of, edited, while_edited};
use crate::steps::cargo;

/// Where broken pairs are made. The reference's copy has a target folder of its own, so that what is built here never
/// takes the place of what others run.
pub(crate) struct Workshop {
    workspace: PathBuf,
    copy: PathBuf,
}

impl Workshop {
    /// Below this folder, which is made.
    pub(crate) fn new(workspace: &Path, folder: &Path) -> Result<Self, String> {
        let copy = copy_of("reference", workspace, folder)?;
        Ok(Self { workspace: workspace.to_owned(), copy })
    }

    /// Puts the pair, with this fault or without any, into a folder that exists.
    pub(crate) fn make(&self, base: Base, fault: Option<&Fault>, into: &Path) -> Result<(), String> {
        let edits = fault.map_or(&[][..], |fault| &fault.edit);
        match base.is_scripts() {
            true => edit_scripts(&self.workspace.join(base.folder()), edits, into),
            false => self.build_reference(edits, &base.family().file_names(), into),
        }
    }

    fn build_reference(&self, edits: &[Edit], programs: &[String], into: &Path) -> Result<(), String> {
        let (original, copy) = (self.workspace.join("reference/src"), self.copy.join("reference/src"));
        while_edited(&original, &copy, edits, || self.cargo_build(programs))?;
        for program in programs {
            let from = self.copy.join("target/debug").join(program);
            std::fs::copy(&from, into.join(program)).map_err(|error| format!("{}: {error}", from.display()))?;
        }
        Ok(())
    }

    fn cargo_build(&self, programs: &[String]) -> Result<(), String> {
        let mut build = cargo(["build", "--quiet", "--offline"]);
        build.args(programs.iter().flat_map(|program| ["--bin", program]));
        build.current_dir(&self.copy).env("CARGO_TARGET_DIR", self.copy.join("target"));
        built_for_one_run(&mut build);
        let output = build.stdin(Stdio::null()).output().map_err(|error| format!("cannot start cargo: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("the broken reference does not build:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Copies the programs of a folder, and what they have in common, with the edits.
fn edit_scripts(pair: &Path, edits: &[Edit], into: &Path) -> Result<(), String> {
    let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    for entry in std::fs::read_dir(pair).map_err(|error| told(pair, error))?.flatten() {
        // What Python has compiled beside them is of other texts.
        if !entry.path().is_file() {
            continue;
        }
        let text = edited(pair, Path::new(&entry.file_name()), edits)?;
        let path = into.join(entry.file_name());
        let written = std::fs::write(&path, text)
            .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)));
        written.map_err(|error| told(&path, error))?;
    }
    Ok(())
}
