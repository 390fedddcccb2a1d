//! What of the file system confined programs are to see: folders that are empty for them, and what is shown in those all the
//! same. How that comes about is not known here.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is hidden: where anybody may write, what is asked for, and, from another user, what only some may enter on the way
/// to what is needed. And what is shown in it all the same: whatever lies directly there and holds what is needed, since a
/// program often has its parts in a folder beside its own; where that would show what is asked to be hidden, its own folder.
/// Of a folder that another user may not enter, what is in it is shown instead, one by one.
pub(super) fn view(
    needed: &BTreeSet<PathBuf>,
    scratch: &BTreeSet<PathBuf>,
    asked: &[PathBuf],
    is_another: bool,
) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut hidden = scratch.clone();
    hidden.extend(asked.iter().cloned());
    if is_another {
        let above = needed.iter().flat_map(|path| path.ancestors().skip(1));
        hidden.extend(above.filter(|folder| is_closed(folder)).map(Path::to_owned));
    }
    // One that lies in another is hidden with it.
    let is_outermost = |path: &&PathBuf| !path.ancestors().skip(1).any(|above| hidden.contains(above));
    let outermost: Vec<_> = hidden.iter().filter(is_outermost).cloned().collect();
    let mut shown = BTreeSet::new();
    for hidden in &outermost {
        for path in needed {
            let Some(first) = path.strip_prefix(hidden).ok().and_then(|below| below.components().next()) else {
                continue;
            };
            let (directly, own) =
                (hidden.join(first), if path.is_dir() { path } else { path.parent().unwrap_or(path) });
            let shows = |folder: &Path| asked.iter().find(|asked| asked.starts_with(folder));
            let is_below_asked = asked.iter().any(|asked| path.starts_with(asked));
            let folder = if is_below_asked || shows(&directly).is_some() { own } else { &directly };
            if let Some(secret) = shows(folder) {
                let (secret, own) = (secret.display(), own.display());
                return Err(io::Error::other(format!(
                    "{secret} cannot be hidden: what runs is in {own}, which holds it"
                )));
            }
            let is_closed_and_own = is_another && folder == path && is_closed(own);
            let folder = if is_closed_and_own { own } else { folder };
            let opened = if is_another { opened(folder, needed) } else { vec![folder.to_owned()] };
            shown.extend(opened.into_iter().filter(|path| shows(path).is_none()));
        }
    }
    Ok((shown.into_iter().collect(), outermost))
}

/// The programs and the folders of a search path that are there, where they really are.
pub(super) fn needed(programs: &[&Path], path: &OsStr) -> BTreeSet<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute() && folder.is_dir());
    let both = folders.flat_map(|folder| [folder.canonicalize().ok(), Some(folder)]).flatten();
    programs.iter().map(|program| program.to_path_buf()).chain(both).collect()
}

/// A folder, or what is in it, one by one, where another user could not get from it to what is needed.
fn opened(folder: &Path, needed: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let way = |path: &Path| path.ancestors().skip(1).take_while(|above| above.starts_with(folder)).any(is_closed);
    if !needed.iter().any(|path| way(path)) {
        return vec![folder.to_owned()];
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|entry| opened(&entry.path(), needed)).collect()
}

/// The first of these programs that another user may not start, wherever it is seen.
pub(super) fn closed<'a>(programs: &[&'a Path]) -> Option<&'a Path> {
    // Who executes a script has to read it.
    programs.iter().copied().find(|program| is_closed(program) || is_script(program) && !has_mode(program, 0o004))
}

fn is_script(program: &Path) -> bool {
    let mut start = [0; 2];
    File::open(program).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

/// Who passes a folder, or executes a program, needs rights of his own.
fn is_closed(path: &Path) -> bool {
    !has_mode(path, 0o001)
}

fn has_mode(path: &Path, mode: u32) -> bool {
    path.metadata().is_ok_and(|about| about.permissions().mode() & mode == mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn what_is_needed_is_shown_where_something_above_is_hidden() {
        let (shown, hidden) = view(
            &paths(&["/tmp/solution/bin/server", "/usr/bin", "/tmp"]),
            &paths(&["/tmp", "/tmp/conf-x", "/var/tmp"]),
            &[],
            false,
        )
        .unwrap();
        assert_eq!(shown, [PathBuf::from("/tmp/solution")]);
        assert_eq!(hidden, [PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]);
    }

    #[test]
    fn only_from_another_user_the_way_through_a_closed_folder_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let program = folder.join("home/solution/server");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711)).unwrap();
        std::fs::set_permissions(folder.join("home"), PermissionsExt::from_mode(0o700)).unwrap();
        let needed = BTreeSet::from([program]);
        assert_eq!(view(&needed, &BTreeSet::new(), &[], false).unwrap(), (vec![], vec![]));
        assert_eq!(
            view(&needed, &BTreeSet::new(), &[], true).unwrap(),
            (vec![folder.join("home/solution")], vec![folder.join("home")])
        );
    }

    #[test]
    fn a_closed_folder_is_shown_as_what_is_in_it_and_only_to_another_user() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for name in ["solution/bin/watchdog", "solution/lib/part", "solution/lib/secrets/secret"] {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "#!").unwrap();
        }
        let (solution, program) = (folder.join("solution"), folder.join("solution/bin/watchdog"));
        let needed = BTreeSet::from([program.clone()]);
        let scratch = BTreeSet::from([folder.clone()]);
        let shown = |asked: &[PathBuf], is_another| view(&needed, &scratch, asked, is_another).unwrap().0;
        for (closed, expected) in [
            (&folder, vec![solution.clone()]),
            (&solution, vec![solution.join("bin"), solution.join("lib")]),
            (&solution.join("bin"), vec![program.clone(), solution.join("lib")]),
        ] {
            let close = |mode| std::fs::set_permissions(closed, PermissionsExt::from_mode(mode)).unwrap();
            close(0o700);
            assert_eq!(shown(&[], true), expected, "{} is closed", closed.display());
            assert_eq!(shown(&[], false), std::slice::from_ref(&solution));
            close(0o755);
        }
        std::fs::set_permissions(solution.join("bin"), PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(shown(&[solution.join("lib/secrets")], true), std::slice::from_ref(&program));
    }

    #[test]
    fn a_program_that_another_user_may_not_start_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        for (content, mode, is_open) in [
            ("#!/bin/sh", 0o755, true),
            ("#!/bin/sh", 0o711, false),
            ("\x7fELF", 0o711, true),
            ("\x7fELF", 0o750, false),
        ] {
            let program = folder.path().join("program");
            std::fs::write(&program, content).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(closed(&[Path::new("/bin/sh"), &program]).is_none(), is_open, "{content:?} {mode:o}");
        }
    }

    #[test]
    fn a_folder_of_the_search_path_that_is_not_there_is_not_needed() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().canonicalize().unwrap();
        let path = format!("{0}:{0}/nowhere:relative", there.display());
        assert_eq!(needed(&[], OsStr::new(&path)), BTreeSet::from([there]));
    }

    #[test]
    fn of_what_is_asked_to_be_hidden_only_a_programs_own_folder_is_shown() {
        let seen = |asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(PathBuf::from).collect();
            view(&paths(&["/tmp/all/one/bin/server"]), &paths(&["/tmp"]), &asked, false)
        };
        let own = (vec![PathBuf::from("/tmp/all/one/bin")], vec![PathBuf::from("/tmp")]);
        assert_eq!(seen(&["/tmp/all"]).unwrap(), own);
        assert_eq!(seen(&["/tmp/all/two"]).unwrap(), own);
        assert_eq!(seen(&["/srv/other"]).unwrap().0, [PathBuf::from("/tmp/all")]);
        let refused = seen(&["/tmp/all/one/bin/secrets"]).unwrap_err().to_string();
        assert!(refused.contains("/tmp/all/one/bin, which holds it"), "{refused}");
    }
}
