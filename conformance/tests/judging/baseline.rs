//! Baselines: what is known to fail is written down, does not count while it lasts, and turns the run red when it no
//! longer fits.

use std::path::Path;

use crate::common::{Bench, forgetful, python_pair, python_path};

const ONLY: [&str; 2] = ["--only", "command.url-as-typed"];

fn status_with(bench: &Bench, pair: &Path, baseline: &Path) -> (i32, String) {
    let run = bench.judge(pair, &[&ONLY[..], &["--baseline", &baseline.display().to_string()]].concat());
    let verdict = run.report.entry("command.url-as-typed").map_or_else(|| run.stderr.clone(), |e| e.verdict.clone());
    (run.status, verdict)
}

#[test]
fn a_known_failure_does_not_count_and_a_baseline_that_no_longer_fits_does() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let pair = forgetful(&bench);
    let file = bench.folder().join("baseline.toml");
    let run = bench.judge(&pair, &[&ONLY[..], &["--write-baseline", &file.display().to_string()]].concat());
    assert_eq!(run.status, 1, "{}", run.stdout);
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("id = \"command.url-as-typed\"") && written.contains("reason = "), "{written}");

    assert_eq!(status_with(&bench, &pair, &file), (0, "expected".into()));
    let bundle = bench.folder().join("bundle");
    let kept = ["--baseline", file.to_str().unwrap(), "--bundle", bundle.to_str().unwrap()];
    let run = bench.judge(&pair, &[&ONLY[..], &kept].concat());
    // What is kept of a run is judged by what was expected then.
    bench.replays(&bundle, run.status);
    assert_eq!(status_with(&bench, &python_pair(), &file), (1, "stale".into()));

    let expires = written.lines().find(|line| line.starts_with("expires")).unwrap();
    std::fs::write(&file, written.replace(expires, "expires = 2020-01-01")).unwrap();
    assert_eq!(status_with(&bench, &pair, &file), (1, "fail".into()));
    let finding = written.lines().find(|line| line.starts_with("finding")).unwrap();
    std::fs::write(&file, written.replace(finding, "finding = 'something else'")).unwrap();
    assert_eq!(status_with(&bench, &pair, &file), (1, "fail".into()));
}

#[test]
fn a_baseline_that_cannot_be_meant_is_refused() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let file = bench.folder().join("baseline.toml");
    let entry = |id: &str, reason: &str, expires: &str| {
        format!("[[expected]]\nid = '{id}'\nfinding = 'x'\nreason = '{reason}'\nexpires = {expires}\n")
    };
    let good = entry("end.sigterm", "known", "2030-01-01");
    for (text, words) in [
        (entry("end.nothing", "known", "2030-01-01"), "end.nothing: expected a requirement's id"),
        (entry("end.sigterm", " ", "2030-01-01"), "expected a reason"),
        (entry("end.sigterm", "known", "12:00:00"), "expected a day"),
        (good.repeat(2), "it is expected twice"),
        ("[[expected]]\nid = 1".to_owned(), "baseline.toml: "),
    ] {
        std::fs::write(&file, text).unwrap();
        let args = ["--server", "/bin/sh", "--baseline", &file.display().to_string()];
        let run = bench.judge(Path::new("/bin/sh"), &args);
        assert_eq!(run.status, 2, "{}", run.stderr);
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
}
