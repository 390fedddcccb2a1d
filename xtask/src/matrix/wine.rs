//! Wine, with a prefix of its own in which what Rust needs is there. What it runs it does not know.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Wine is, by its names.
pub(super) const NAMES: [&str; 3] = ["wine64", "wine", "/usr/lib/wine/wine64"];

/// Rust's standard library wants this of a library that Wine 8 does not have.
const RANDOM: &str = "#include <windows.h>\nBOOLEAN NTAPI SystemFunction036(PVOID, ULONG);\n\
     __declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T bytes) { return SystemFunction036(to, (ULONG)bytes); }\n";

/// Wine, until this is dropped.
pub(super) struct Wine {
    pub(super) program: PathBuf,
    prefix: PathBuf,
}

impl Wine {
    /// With a prefix in this folder, which is made unless it is there.
    pub(super) fn with_prefix(program: PathBuf, prefix: PathBuf) -> Result<Self, String> {
        let wine = Self { program, prefix };
        let told = |error: std::io::Error| format!("{}: {error}", wine.prefix.display());
        let folder = wine.prefix.join("drive_c/windows/system32");
        let library = folder.join("bcryptprimitives.dll");
        if !library.is_file() {
            std::fs::create_dir_all(&wine.prefix).map_err(told)?;
            let booted = wine.command(&wine.program).args(["wineboot", "--init"]).output().map_err(told)?;
            if !folder.is_dir() {
                return Err(format!("Wine made no prefix: {}", String::from_utf8_lossy(&booted.stderr).trim()));
            }
            let source = wine.prefix.join("random.c");
            std::fs::write(&source, RANDOM).map_err(told)?;
            let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
            compiler.args(["-shared", "-O2", "-o"]).arg(&library).arg(&source).arg("-ladvapi32");
            let output = compiler.output().map_err(told)?;
            if !output.status.success() {
                return Err(format!("{}: {}", library.display(), String::from_utf8_lossy(&output.stderr).trim()));
            }
        }
        Ok(wine)
    }

    /// One of Wine's programs, or whatever starts one, in this prefix.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.settle(&mut command);
        command
    }

    /// Has a command's Wine use this prefix.
    pub(super) fn settle(&self, command: &mut Command) {
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all");
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml,winemenubuilder.exe=");
    }
}

impl Drop for Wine {
    /// Its server would stay for a while.
    fn drop(&mut self) {
        let [other, server] = ["wineserver", "wineserver64"].map(|name| self.program.with_file_name(name));
        let server = if server.is_file() { server } else { other };
        let _ = self.command(&server).arg("-k").status();
    }
}
