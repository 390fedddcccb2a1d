//! What the reference does, case by case: each case's sessions, normalised, are snapshots.
//!
//! `cargo insta review` shows what a change of the reference or of a case does to them.

#![cfg(unix)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::reference;
use conformance::family::Family;
use conformance::profile::Profile;
use conformance::report::transcript;
use conformance::run::{self, Options};
use conformance::verdict::{Answer, Verdict};

#[test]
fn the_reference_case_by_case() {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/profiles/reference.toml");
    let options = Options {
        pair: run::find_pair(Family::Watchdog, &reference(), None).unwrap(),
        profile: Profile::read(&profile).unwrap(),
        only: Vec::new(),
        jobs: 4,
        // Many times what anything takes: a busy machine is not to change a transcript.
        patience: Duration::from_secs(120),
        keeps_records: true,
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let run = runtime.block_on(run::run(options, &|_, _, _| {}, std::future::pending())).unwrap().unwrap();

    let failing =
        |v: &Verdict| !matches!(v, Verdict::Pass | Verdict::Untestable { .. } | Verdict::NotApplicable { .. });
    let failed: Vec<_> =
        run.results.iter().filter(|j| failing(&j.verdict)).map(|j| (&j.requirement.id, &j.verdict)).collect();
    assert!(failed.is_empty(), "the reference passes all requirements, but not {failed:#?}");
    assert_eq!(run.answer, Answer::Conformant);
    let left: Vec<_> = run.results.iter().flat_map(|j| &j.remains).collect();
    assert!(left.is_empty(), "processes were left: {left:?}");

    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots" }, {
        for (name, text) in transcript::all(&run) {
            insta::assert_snapshot!(name, text);
        }
    });
}
