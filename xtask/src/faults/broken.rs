//! Making broken pairs: a copy of a pair's text, edited, and built where it has to be built.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::known::{Base, Fault};
use crate::conformance as suite;
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
        let family = base.family();
        let programs = suite::programs(family);
        match base {
            Base::Python => self.edit_scripts(edits, &programs, into),
            Base::Reference | Base::Control => self.build_reference(edits, &programs, into),
        }
    }

    fn edit_scripts(&self, edits: &[Edit], programs: &[String], into: &Path) -> Result<(), String> {
        let pair = self.workspace.join("fixtures/pairs/python");
        for program in programs {
            let text = edited(&pair, Path::new(program), edits)?;
            let path = into.join(program);
            let written = std::fs::write(&path, text)
                .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)));
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
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
