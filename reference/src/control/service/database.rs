//! What a service keeps on disk: one number, in a file that is either the old one or the new one, whatever happens. It does
//! not know what is counted.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file, below the folder.
const FILE: &str = "lines";

/// Held as long as a service is at work in the folder.
const LOCK: &str = "lock";

/// An open database.
#[derive(Debug)]
pub struct Database {
    /// The number, as it was when it was opened.
    pub lines: u64,
    /// Where it is kept, and what keeps others out; without it nothing is kept.
    kept: Option<(PathBuf, File)>,
}

impl Database {
    /// Opens the one in this folder, which is made if it is not there; or one that is not kept. The error says what to do.
    pub fn open(folder: Option<&Path>) -> Result<Self, String> {
        let Some(folder) = folder else { return Ok(Self { lines: 0, kept: None }) };
        let told = |path: &Path, error: io::Error| format!("cannot open the database: {}: {error}", path.display());
        fs::create_dir_all(folder).map_err(|error| told(folder, error))?;
        let path = folder.join(LOCK);
        let lock = File::create(&path).map_err(|error| told(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let folder = folder.display();
                return Err(format!("cannot open the database: another service is at work in {folder}"));
            }
            Err(TryLockError::Error(error)) => return Err(told(&path, error)),
        }
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => "0\n".to_owned(),
            Err(error) => return Err(told(&path, error)),
        };
        let lines = text.strip_suffix('\n').and_then(|number| number.parse().ok()).ok_or_else(|| {
            let path = path.display();
            format!(
                "cannot open the database: expected a number and a line's end in {path}, found {text:?}; move it away"
            )
        })?;
        Ok(Self { lines, kept: Some((folder.to_owned(), lock)) })
    }

    /// Keeps the number, and lets others in.
    pub fn close(self) -> Result<(), String> {
        let Some((folder, _lock)) = &self.kept else { return Ok(()) };
        let path = folder.join(FILE);
        written(&path, self.lines)
            .map_err(|error| format!("cannot keep the number {} in {}: {error}", self.lines, path.display()))
    }
}

fn written(path: &Path, lines: u64) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    writeln!(file, "{lines}")?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made");
        let mut database = Database::open(Some(&folder)).unwrap();
        assert_eq!(database.lines, 0);
        database.lines = 7;
        database.close().unwrap();
        assert_eq!(Database::open(Some(&folder)).unwrap().lines, 7);
    }

    #[test]
    fn two_at_once_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Database::open(Some(folder.path())).unwrap();
        let why = Database::open(Some(folder.path())).unwrap_err();
        assert!(why.starts_with("cannot open the database: another service is at work in "), "{why}");
    }

    #[test]
    fn what_cannot_be_read_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "7", "-1\n", "7\n7\n"] {
            fs::write(folder.path().join(FILE), text).unwrap();
            let why = Database::open(Some(folder.path())).unwrap_err();
            assert!(why.contains("expected a number and a line's end"), "{why}");
            assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), text);
        }
    }
}
