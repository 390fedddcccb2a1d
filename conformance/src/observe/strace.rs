//! System calls, for whoever wants to see why a case failed: the programs of a session run under strace, where it is
//! installed.
//!
//! The tracer is started as a grandchild of its own, so that the traced program keeps its process id and its parent.
//! Tracing takes time, so nothing is judged under it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What bears on two processes that talk over pipes.
const CALLS: &str = "read,write,readv,writev,sendto,recvfrom,connect,shutdown,close,pipe,pipe2,socketpair,dup,dup2,\
                     dup3,fork,vfork,clone,clone3,execve,kill,tgkill,wait4,waitid,exit_group";

/// The most lines that a report shows of a trace: the last ones, nearest to what went wrong.
const LINES_SHOWN: usize = 60;

/// Where strace is, if it answers.
pub fn find() -> Option<PathBuf> {
    let answers = |program: &Path| {
        let asked = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join("strace")).find(|program| answers(program))
}

/// The arguments, the name first, that run a program under strace and write its calls, and those of whatever it
/// starts, into `file`.
pub fn traced(strace: &Path, file: &Path, program: &Path) -> Vec<OsString> {
    let words = ["-D", "-f", "-r", "-y", "-s", "120", "-qq", "-e", "signal=all", "-e"];
    let mut argv = vec![strace.into()];
    argv.extend(words.map(OsString::from));
    argv.extend([format!("trace={}", CALLS.replace(' ', "")).into(), "-o".into(), file.into(), program.into()]);
    argv
}

/// The end of a trace, as far as a report shows it.
pub fn shown(trace: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(trace);
    // The tracer has escaped what the programs said; their names it may not have.
    let lines: Vec<_> = text.lines().map(|line| line.replace(|c: char| !(' '..='~').contains(&c), "?")).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].to_vec()
}
