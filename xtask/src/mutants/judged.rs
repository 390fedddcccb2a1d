//! The suite finds nothing that does not hold in the pair that was built with this test: the only test that mutants of
//! the reference meet. It is put into a copy of the reference, beside what it makes of a run.

mod finding;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use finding::Finding;

#[test]
fn the_suite_has_nothing_to_say() {
    let (mut found, mut said) = judged();
    if found == Finding::Inconclusive {
        // Past the test's harness, which would swallow it: a run that could not tell is told of whatever comes of it.
        let _ = writeln!(std::io::stderr(), "INCONCLUSIVE, so the pair is judged once more:\n{said}");
        (found, said) = judged();
    }
    if found == Finding::Inconclusive {
        let _ = writeln!(std::io::stderr(), "INCONCLUSIVE again, which kills nobody:\n{said}");
    }
    assert!(matches!(found, Finding::Nothing | Finding::Inconclusive), "{found:?}\n{said}");
}

fn judged() -> (Finding, String) {
    let pair = Path::new(env!("CARGO_BIN_EXE_watchdog")).parent().unwrap();
    let json = pair.join("report.json");
    let _ = std::fs::remove_file(&json);
    let mut suite = Command::new(env!("SUITE"));
    suite.arg("--bin").arg(pair).args(["--profile", env!("SUITE_PROFILE")]);
    suite.args(["--tier", "C", "--fail-fast", "--timeout-scale", "0.5", "--json"]).arg(&json);
    let output = suite.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let report = std::fs::read_to_string(&json).unwrap_or_default();
    (finding::of(output.status.code(), &report), said)
}
