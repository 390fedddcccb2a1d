//! `cargo xtask conformance`: builds the suite, and the reference when it is to be judged, then becomes the suite.
//!
//! Without `--bin` the pair is the reference, judged by the profile that grades every requirement. No other option of
//! the suite is known here; all words pass through as they are.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::steps;

/// The suite's own status for "the harness is at fault, nothing was judged".
const HARNESS_FAULT: u8 = 3;

/// With these the suite shows something and judges no pair.
const SHOWS_ONLY: [&str; 6] = ["--help", "-h", "--version", "-V", "--list", "--explain"];

pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match prepare(args) {
        Ok(suite) => become_program(suite),
        Err(problem) => fault(&problem),
    }
}

fn prepare(args: Vec<OsString>) -> Result<Command, String> {
    let judges_reference = judges_reference(&args);
    build(judges_reference)?;
    let built = built_directory()?;
    let mut suite = Command::new(built.join(format!("conformance{}", env::consts::EXE_SUFFIX)));
    suite.args(if judges_reference { complete(args, &built, &reference_profile()) } else { args });
    Ok(suite)
}

pub(crate) fn build(with_reference: bool) -> Result<(), String> {
    // One after the other: together they ask for other features of what both depend on, and the whole suite, as it was built
    // for this program, would be built once more.
    let packages = ["conformance"].into_iter().chain(with_reference.then_some("reference"));
    for package in packages {
        let status = steps::status(&mut steps::cargo(["build", "--quiet", "--bins", "-p", package]))?;
        if !status.success() {
            return Err(format!("cargo could not build {package} (see above), so nothing was judged"));
        }
    }
    Ok(())
}

/// Where cargo put this program it puts the others, whatever `CARGO_TARGET_DIR` says.
pub(crate) fn built_directory() -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|error| format!("cannot find the directory of this program: {error}"))?;
    Ok(this.parent().expect("a program stands in a directory").to_owned())
}

/// Copies built programs into a folder, so that a build meanwhile does not put others in their place.
#[cfg(unix)]
pub(crate) fn copy_built(programs: &[impl AsRef<Path>], built: &Path, folder: &Path) -> Result<(), String> {
    for program in programs {
        let copied = std::fs::copy(built.join(program), folder.join(program));
        copied.map_err(|error| format!("{}: {error}", built.join(program).display()))?;
    }
    Ok(())
}

/// What a pair is judged with.
#[cfg(unix)]
pub(crate) const SUITE: [&str; 2] = ["conformance", "conformance-standin"];

pub(crate) fn reference_profile() -> PathBuf {
    profile("reference")
}

/// Where the repository's profile of this name is, if there is one.
pub(crate) fn profile(name: &str) -> PathBuf {
    crate::workspace().join("fixtures/profiles").join(format!("{name}.toml"))
}

fn judges_reference(args: &[OsString]) -> bool {
    !has_option(args, "--bin") && !SHOWS_ONLY.iter().any(|option| has_option(args, option))
}

/// Adds the reference as the pair to be judged, and its profile unless another one was asked for.
fn complete(args: Vec<OsString>, reference: &Path, profile: &Path) -> Vec<OsString> {
    let mut completed = vec!["--bin".into(), reference.into()];
    if !has_option(&args, "--profile") {
        completed.extend(["--profile".into(), profile.into()]);
    }
    completed.extend(args);
    completed
}

/// Whether an option is there, as `--name value` or as `--name=value`.
fn has_option(args: &[OsString], name: &str) -> bool {
    args.iter().any(|arg| is_option(arg, name))
}

fn is_option(arg: &OsStr, name: &str) -> bool {
    let rest = arg.as_encoded_bytes().strip_prefix(name.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
}

fn fault(problem: &str) -> ExitCode {
    eprintln!("cargo xtask conformance: {problem}");
    ExitCode::from(HARNESS_FAULT)
}

/// The suite takes this process over, so that signals and its exit status need nobody to pass them on.
#[cfg(unix)]
fn become_program(mut suite: Command) -> ExitCode {
    use std::os::unix::process::CommandExt;
    // By this name it says how it is called again.
    let error = suite.arg0("cargo xtask conformance").exec();
    fault(&format!("cannot start {}: {error}", suite.get_program().to_string_lossy()))
}

#[cfg(windows)]
fn become_program(mut suite: Command) -> ExitCode {
    match steps::status(&mut suite) {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(HARNESS_FAULT)),
        Err(problem) => fault(&problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn completed(line: &str) -> Vec<OsString> {
        complete(words(line), Path::new("/built"), Path::new("/reference.toml"))
    }

    #[test]
    fn reference_is_judged_by_the_profile_that_grades_all() {
        assert_eq!(completed(""), words("--bin /built --profile /reference.toml"));
        assert_eq!(completed("--jobs 2"), words("--bin /built --profile /reference.toml --jobs 2"));
    }

    #[test]
    fn profile_that_was_asked_for_is_kept() {
        assert_eq!(completed("--profile mine.toml"), words("--bin /built --profile mine.toml"));
        assert_eq!(completed("--profile=mine.toml"), words("--bin /built --profile=mine.toml"));
    }

    #[test]
    fn reference_is_left_out_when_another_pair_or_none_is_judged() {
        for line in ["--bin x", "--jobs 2 --bin=x", "--help", "-h", "--list", "--explain WD-1", "--version"] {
            assert!(!judges_reference(&words(line)), "{line}");
        }
        for line in ["", "--only WD-1", "--json out.json", "--binary x"] {
            assert!(judges_reference(&words(line)), "{line}");
        }
    }
}
