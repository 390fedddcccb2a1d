//! A machine on which a pair gets no processor is no reason to blame the pair.
// Other systems do not tell who waited for a processor.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Bench, python_pair, python_path, write_program};

#[test]
fn a_pair_that_others_keep_from_the_processors_is_not_blamed() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let pair = bench.copy_of(&python_pair());
    std::fs::rename(pair.join("watchdog"), pair.join("honest")).unwrap();
    // It has a processor only where nobody else wants one, and so has its whole session, where those are treated alike.
    // That is granted once in a tenth of a second.
    let idle = format!(
        "#!/usr/bin/env python3\nimport os, sys\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n\
         while os.path.exists('/proc/self/autogroup'):\n    \
         try: open('/proc/self/autogroup', 'wb', 0).write(b'19'); break\n    \
         except BlockingIOError: pass\n\
         honest = {:?}\nos.execv(honest, [honest, *sys.argv[1:]])\n",
        pair.join("honest")
    );
    write_program(&pair.join("watchdog"), &idle);
    let is_over = AtomicBool::new(false);
    let run = std::thread::scope(|scope| {
        for _ in 0..2 * std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let judge = || bench.try_judge(&pair, &["--only", "command.doreq-post", "--timeout-scale", "0.1"]);
        let judged = scope.spawn(judge).join();
        // However that came out, or the others never end.
        is_over.store(true, Ordering::Relaxed);
        judged.unwrap()
    });
    let entry = run.report.entry("command.doreq-post").unwrap();
    assert_eq!(entry.verdict, "inconclusive", "{entry}");
    // Of the request, or of the start that it comes after.
    let excused = |missing: &String| missing.contains("kept from the processors");
    let entries = &run.report.requirements;
    assert!(entries.iter().any(|entry| entry.missing.as_ref().is_some_and(excused)), "{}", run.stdout);
    assert!(run.left.is_empty(), "{:?}", run.left);
}
