//! A name for all that a verdict depends on: as long as it is the same, what was counted before still counts.
//!
//! It is made of the files as they are, whether they are committed or not, by git's own names for contents, which are
//! the same everywhere and always.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the suite is made of, and what it is asked for.
const SUITE: [&str; 8] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "conformance/Cargo.toml",
    "conformance/spec",
    "conformance/src",
    "fixtures/profiles",
    "rust-toolchain.toml",
];

/// What the reference is made of.
pub(crate) const REFERENCE: [&str; 2] = ["reference/Cargo.toml", "reference/src"];

/// The name for the suite, for these files and folders of the workspace, and for these files from anywhere.
pub(crate) fn name(workspace: &Path, pair: &[&str], others: &[&Path]) -> Result<String, String> {
    let listed = git(workspace, &listing(pair), "")?;
    let mut files: Vec<_> = listed.lines().filter(|file| workspace.join(file).is_file()).collect();
    files.sort_unstable();
    files.dedup();
    let names = git(workspace, &["hash-object", "--stdin-paths"], &(files.join("\n") + "\n"))?;
    let mut text = String::new();
    for (file, name) in files.iter().zip(names.lines()) {
        let _ = writeln!(text, "{name} {file}");
    }
    for other in others {
        let other = std::path::absolute(other).map_err(|error| format!("{}: {error}", other.display()))?;
        let file = other.to_str().ok_or_else(|| format!("expected a path in UTF-8: {}", other.display()))?;
        text += &git(workspace, &["hash-object", "--no-filters", file], "")?;
    }
    let name = git(workspace, &["hash-object", "--stdin"], &text)?;
    Ok(name.chars().take(12).collect())
}

/// Files that are tracked, and those that may be soon.
fn listing<'a>(pair: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["ls-files", "--cached", "--others", "--exclude-standard", "--"];
    arguments.extend(SUITE);
    arguments.extend(pair);
    arguments
}

fn git(workspace: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
    let told = |error: std::io::Error| format!("git: {error}");
    let mut git = Command::new("git");
    git.args(arguments).current_dir(workspace).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = git.spawn().map_err(told)?;
    let mut stdin = running.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // Beside us, so that neither waits for the other when there is more than a pipe holds. If git ends before it has
    // read all of it, it says why.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = running.wait_with_output().map_err(told)?;
    writer.join().expect("it only writes");
    if !output.status.success() {
        return Err(format!("git {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("git: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workspace with a file of the suite and a pair.
    fn workspace() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in ["Cargo.toml", "conformance/src/lib.rs", "fixtures/pairs/c/server.c", "fixtures/stability/c.json"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        git(folder.path(), &["init", "--quiet"], "").unwrap();
        folder
    }

    #[test]
    fn whatever_a_verdict_depends_on_changes_the_name_and_nothing_else_does() {
        let folder = workspace();
        let folder = folder.path();
        let name = || super::name(folder, &["fixtures/pairs/c"], &[]).unwrap();
        let first = name();
        assert_eq!(first.len(), 12);
        fs::write(folder.join("fixtures/stability/c.json"), "counted").unwrap();
        fs::write(folder.join("README.md"), "read").unwrap();
        assert_eq!(name(), first);
        // Whether it is tracked makes no difference.
        git(folder, &["add", "--all"], "").unwrap();
        assert_eq!(name(), first);
        for file in ["Cargo.toml", "conformance/src/lib.rs", "fixtures/pairs/c/server.c", "conformance/src/new.rs"] {
            let before = name();
            fs::write(folder.join(file), "changed").unwrap();
            assert_ne!(name(), before, "{file}");
        }
        let before = name();
        fs::remove_file(folder.join("conformance/src/lib.rs")).unwrap();
        assert_ne!(name(), before);
    }

    #[test]
    fn files_from_elsewhere_count_by_what_they_hold() {
        let folder = workspace();
        let program = folder.path().join("target");
        let named = |text: &str| {
            fs::write(&program, text).unwrap();
            super::name(folder.path(), &[], &[&program]).unwrap()
        };
        assert_eq!(named("one"), named("one"));
        assert_ne!(named("one"), named("two"));
        assert!(super::name(folder.path(), &[], &[Path::new("/no/such/file")]).is_err());
    }
}
