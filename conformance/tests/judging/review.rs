//! Reviews: what differs from the reference becomes pending snapshots in a folder of their own, and the reference's
//! snapshots stay as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::{Bench, fixtures, python_pair, python_path, reference};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn snapshots(folder: &Path, ending: &str) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    named
        .filter(|(name, _)| name.ends_with(ending))
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect()
}

// One test, since both reviews take place in the same folder.
#[test]
fn a_review_leaves_what_differs_and_nothing_else() {
    let own = workspace().join("conformance/tests/snapshots");
    let before = snapshots(&own, ".snap");
    let review = workspace().join("target/review/snapshots");
    let Some(path) = python_path() else { return };

    let profile = fixtures().join("profiles/reference.toml").display().to_string();
    let same = Bench::new(&path).judge(&reference(), &["--review", "--profile", &profile, "--only", "wire.op"]);
    assert!(same.stdout.contains("0 of 1 transcripts differ"), "{}", same.stdout);
    assert_eq!(snapshots(&review, ".snap.new").len(), 0);

    let other = Bench::new(&path).judge(&python_pair(), &["--review", "--only", "start.arguments-literal"]);
    assert!(other.stdout.contains("3 of 3 transcripts differ"), "{}", other.stdout);
    let pending = snapshots(&review, ".snap.new");
    assert!(pending["learn.snap.new"].contains(r#"M{"limit": 1073741823}"#), "{pending:?}");
    assert!(pending.contains_key("start.arguments-literal.snap.new"), "{pending:?}");

    assert_eq!(snapshots(&own, ".snap"), before, "the reference's snapshots are as they were");
    assert!(snapshots(&own, ".snap.new").is_empty());
}
