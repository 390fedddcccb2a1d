//! What of the file system confined programs are to see: folders that are empty for them, and what is shown in those all the
//! same. How that comes about is not known here.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is hidden: where anybody may write, what is asked for, and, from another user, what only some may enter on the way
/// to what is needed. And what is shown in it all the same: whatever lies directly there and holds what is needed, since a
/// program often has its parts in a folder beside its own; where that would show what is asked to be hidden, its own folder.
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
        hidden.extend(above.filter(|folder| !is_open_to_all(folder)).map(Path::to_owned));
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
            shown.insert(folder.to_owned());
        }
    }
    Ok((shown.into_iter().collect(), outermost))
}

/// The programs and the folders of the search path, where they really are.
pub(super) fn needed(programs: &[&Path]) -> BTreeSet<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let both = folders.flat_map(|folder| [folder.canonicalize().ok(), Some(folder)]).flatten();
    programs.iter().map(|program| program.to_path_buf()).chain(both).collect()
}

/// Whoever passes here needs no rights of his own.
fn is_open_to_all(folder: &Path) -> bool {
    folder.metadata().is_ok_and(|about| about.permissions().mode() & 0o001 != 0)
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
