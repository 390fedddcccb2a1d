//! What keeps a processor busy for ever is told from what a slow machine keeps from the processors. A program of its own: it
//! needs the machine for itself, and tests of others want it too.
#![cfg(target_os = "linux")]

mod common;

use common::{Bench, python_pair, python_path, write_program};

/// Where more of them are judged at a time than there are processors, each has too little of one to be blamed for that.
#[test]
fn pairs_that_never_rest_do_not_excuse_each_other() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let pair = bench.copy_of(&python_pair());
    let watchdog = std::fs::read_to_string(pair.join("watchdog")).unwrap();
    // At the end of the input, and at a signal.
    let asks = "            ask(server, replies, op, fields)\n";
    let restless = watchdog
        .replace(asks, &format!("{asks}    while True: pass\n"))
        .replace("lambda number, _frame: sys.exit(128 + number)", "lambda *_: [0 for _ in iter(int, 1)]")
        .replace("        return 128 + signal.SIGINT\n", "        while True: pass\n");
    assert_eq!(restless.matches("while True: pass").count() + restless.matches("iter(int, 1)").count(), 3);
    write_program(&pair.join("watchdog"), &restless);
    let ids = ["end.ctrl-d", "end.input-closed", "end.sigterm", "end.sigint", "end.sighup", "end.ctrl-c"];
    let only = ids.iter().flat_map(|id| ["--only", id]);
    let args: Vec<_> = only.chain(["--timeout-scale", "0.3", "--jobs", "16"]).collect();
    let run = bench.judge(&pair, &args);
    for id in ids {
        let entry = run.report.entry(id).unwrap();
        assert!(matches!(&*entry.verdict, "fail" | "advice"), "{entry}");
    }
}
