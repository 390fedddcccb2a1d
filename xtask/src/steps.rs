//! Calling cargo, one step after another, and saying how it went.
//!
//! A step is a command with a name. What the commands do is not known here.

use std::env;
use std::fmt::Write as _;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// A command under the name that it is announced and summed up by.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    /// It is not begun when the steps before it have taken longer than this.
    pub(crate) within: Option<Duration>,
}

/// What became of one step, and how long it took.
struct Done {
    name: &'static str,
    good: bool,
    took: Duration,
}

impl Step {
    /// One that is always run.
    pub(crate) fn new(name: &'static str, command: Command) -> Self {
        Self { name, command, within: None }
    }
}

/// Whether a failure ends the run or the remaining steps are still worth having.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    Stop,
    GoOn,
}

/// The cargo that started us, so that a toolchain chosen with `cargo +name` stays chosen.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Waits for a command whose output goes where ours goes.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.status().map_err(|error| format!("cannot start {program}: {error}; is it installed and on the PATH?"))
}

/// Runs the steps in order, each announced; true when all of them went well.
pub(crate) fn run(steps: Vec<Step>, on_failure: OnFailure) -> bool {
    let mut steps = steps.into_iter();
    let mut done: Vec<Done> = Vec::new();
    let mut not_run = Vec::new();
    for Step { name, mut command, within } in steps.by_ref() {
        let so_far: Duration = done.iter().map(|step| step.took).sum();
        if within.is_some_and(|within| so_far > within) {
            eprintln!("== {name}: not run, since the steps before it took {:.0} s", so_far.as_secs_f64());
            not_run.push(name);
            continue;
        }
        // One stream for announcements and cargo's own words keeps them in order in a log.
        eprintln!("== {name}");
        let start = Instant::now();
        let good = status(&mut command).map_or_else(
            |problem| {
                eprintln!("{problem}");
                false
            },
            |status| status.success(),
        );
        done.push(Done { name, good, took: start.elapsed() });
        if !good && on_failure == OnFailure::Stop {
            break;
        }
    }
    not_run.extend(steps.map(|step| step.name));
    eprintln!("== {}", summary(&done, &not_run));
    done.iter().all(|step| step.good)
}

fn summary(done: &[Done], not_run: &[&str]) -> String {
    let all: Duration = done.iter().map(|step| step.took).sum();
    let failed: Vec<&str> = done.iter().filter(|step| !step.good).map(|step| step.name).collect();
    let mut line = if failed.is_empty() { "ok".to_owned() } else { format!("FAILED: {}", failed.join(", ")) };
    let times: Vec<String> =
        done.iter().map(|step| format!("{} {:.1} s", step.name, step.took.as_secs_f64())).collect();
    let _ = write!(line, " in {:.1} s ({})", all.as_secs_f64(), times.join(", "));
    if !not_run.is_empty() {
        let _ = write!(line, "; not run: {}", not_run.join(", "));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(name: &'static str, good: bool, millis: u64) -> Done {
        Done { name, good, took: Duration::from_millis(millis) }
    }

    #[test]
    fn success_is_one_line_with_times() {
        let line = summary(&[done("fmt", true, 400), done("clippy", true, 2600)], &[]);
        assert_eq!(line, "ok in 3.0 s (fmt 0.4 s, clippy 2.6 s)");
    }

    #[test]
    fn failure_says_what_failed_and_what_was_left_out() {
        let line = summary(&[done("fmt", true, 400), done("clippy", false, 100)], &["test", "doc"]);
        assert_eq!(line, "FAILED: clippy in 0.5 s (fmt 0.4 s, clippy 0.1 s); not run: test, doc");
    }

    #[test]
    fn what_need_not_be_run_is_not_begun_late_and_no_failure() {
        let late = Step { within: Some(Duration::ZERO), ..Step::new("late", Command::new("false")) };
        assert!(run(vec![Step::new("first", Command::new("true")), late], OnFailure::Stop));
        let in_time = Step { within: Some(Duration::MAX), ..Step::new("in time", Command::new("false")) };
        assert!(!run(vec![Step::new("first", Command::new("true")), in_time], OnFailure::Stop));
    }

    #[test]
    fn program_that_is_not_there_is_named() {
        let problem = status(&mut Command::new("no-such-program-here")).expect_err("nothing to start");
        assert!(problem.starts_with("cannot start no-such-program-here: "), "{problem}");
    }
}
