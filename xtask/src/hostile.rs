//! `cargo xtask hostile`: the programs in `fixtures/hostile` are judged, each beside a pair that conforms, and whatever they
//! left, got or changed is looked for. Every promise that the README makes about such programs is measured here.
//!
//! What was counted is kept in `fixtures/hostile/counted`, a slice for all contents that were judged, so that large numbers
//! can be reached in slices.
//!
//! Each judging is a process of its own, to which whatever is orphaned below it comes: so that nothing is left is known
//! and not looked for. What a program is expected to do stands in the corpus, what is looked for in `traces`.

mod corpus;
mod counted;
mod job;
mod keys;
mod traces;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use clap::Args;
use conformance::family::Family;

use crate::files::{read_json, replace};
use crate::{conformance as suite, contents, workspace};
use corpus::Program;
use counted::Counted;
use job::{Finding, Job, Report};

#[derive(Args)]
pub(crate) struct Options {
    /// Only programs whose name contains one of the words
    names: Vec<String>,
    /// How often each is judged
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// How many are judged at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    slots: u8,
    /// Count these runs alone, and keep nothing
    #[arg(long)]
    no_keep: bool,
    /// Judge nothing, but say what was counted so far
    #[arg(long, exclusive = true)]
    summary: bool,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let counted = if options.summary { summary() } else { judged(options) };
    match counted {
        Ok(counted) => {
            print!("{}", counted.told());
            if counted.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("cargo xtask hostile: {problem}");
            ExitCode::from(3)
        }
    }
}

/// All slices together.
fn summary() -> Result<Counted, String> {
    let now = contents()?;
    let mut all = Counted::default();
    for entry in std::fs::read_dir(kept()).into_iter().flatten().flatten() {
        let slice: Counted = read_json(&entry.path())?;
        if slice.contents == now {
            println!("{} runs are of the present contents {now}", slice.runs.values().sum::<u64>());
        }
        all.add_all(&slice);
    }
    Ok(all)
}

/// Where the repository keeps what was counted.
fn kept() -> PathBuf {
    workspace().join("fixtures/hostile/counted")
}

/// The name for all that what is counted depends on: of the command itself as well, which looks for what is left.
fn contents() -> Result<String, String> {
    let others = [":(glob)fixtures/hostile/*.*", "fixtures/pairs/python", "xtask/src/hostile.rs", "xtask/src/hostile"];
    contents::name(&workspace(), &[&contents::REFERENCE[..], &others].concat(), &[])
}

/// One judging, as a process of its own: see [`job`].
pub(crate) fn run_job(job: &Path) -> ExitCode {
    match Job::read(job).and_then(|job| job.perform()) {
        Ok(finding) => {
            println!("{}", serde_json::to_string(&finding).expect("a finding has a JSON form"));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn judged(options: &Options) -> Result<Counted, String> {
    let begun = Instant::now();
    let contents = contents()?;
    let file = kept().join(format!("{contents}.json"));
    // A repository keeps no empty folder.
    if !options.no_keep {
        let folder = kept();
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut counted = match options.no_keep || !file.exists() {
        true => Counted::nothing_of(&contents),
        false => read_json(&file)?,
    };
    suite::build(true)?;
    let built = suite::built_directory()?;
    let folder = built.parent().unwrap_or(&built).join("hostile");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(told)?;
    suite::copy_built(&suite::SUITE, &built, &folder)?;
    suite::copy_built(&Family::Watchdog.file_names(), &built, &folder)?;
    let all = corpus::read(&workspace().join("fixtures/hostile"))?;
    let is_chosen = |program: &&Program| {
        options.names.is_empty() || options.names.iter().any(|name| program.name.contains(name.as_str()))
    };
    let mut chosen: Vec<_> = all.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(format!("no program's name contains {}", options.names.join(" or ")));
    }
    // What the neighbour's verdicts are where it has no neighbour.
    let neighbour = job::neighbour(&folder, &folder.join("alone"))?;
    chosen.retain(|program| {
        let lapse = program.lapses_with.as_ref().and_then(|word| neighbour.lapses.iter().find(|l| l.contains(word)));
        lapse.inspect(|lapse| println!("{} is not judged: {lapse}", program.name)).is_none()
    });
    let queue = Mutex::new((0..options.runs).flat_map(|_| chosen.iter().copied()).collect::<Vec<_>>().into_iter());
    let (done, is_done) = mpsc::channel();
    let mut again = Vec::new();
    let mut count = |program: &Program, finding: Finding| {
        show(program, &finding);
        counted.add(&program.name, &finding);
        // After each run, so that a slice that is cut short is not lost.
        if options.no_keep { Ok(()) } else { replace(&file, &counted.text()) }
    };
    let judge = |slot: u8, done: mpsc::Sender<_>| {
        while let Some(program) = { queue.lock().expect("not poisoned").next() } {
            // Where what came of it cannot be kept, nothing further is judged.
            if done.send((program, in_own_process(&folder, slot, program, &neighbour))).is_err() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for slot in 0..options.slots {
            let (done, judge) = (done.clone(), &judge);
            scope.spawn(move || judge(slot, done));
        }
        drop(done);
        is_done.into_iter().try_for_each(|(program, finding)| {
            again.extend((!finding.unsure.is_empty()).then_some(program));
            count(program, finding)
        })
    })?;
    for program in again {
        println!(
            "The machine was too slow for {}, so this is judged once more, alone, and only that counts:",
            program.name
        );
        let mut finding = in_own_process(&folder, 0, program, &neighbour);
        let unsure = std::mem::take(&mut finding.unsure);
        finding.complaints.extend(unsure);
        count(program, finding)?;
    }
    println!("{:.0} s on {} slots", begun.elapsed().as_secs_f64(), options.slots);
    Ok(counted)
}

fn show(program: &Program, finding: &Finding) {
    let mark = match (finding.complaints.is_empty(), finding.unsure.is_empty()) {
        (true, true) => "ok",
        (true, false) => "unsure",
        (false, _) => "WRONG",
    };
    println!(
        "{mark:<6} {:>5.1} s  empty in {:>3} ms  {:<30} {}",
        finding.seconds, finding.emptied_ms, program.name, program.contained_by
    );
    for complaint in finding.complaints.iter().chain(&finding.unsure) {
        println!("       {}: {complaint}", program.name);
    }
}

/// What came of a judging; that nothing did is something to complain of as well.
fn in_own_process(folder: &Path, slot: u8, program: &Program, neighbour: &Report) -> Finding {
    let finding = try_in_own_process(folder, slot, program, neighbour);
    finding.unwrap_or_else(|problem| Finding { complaints: vec![problem], ..Finding::default() })
}

fn try_in_own_process(folder: &Path, slot: u8, program: &Program, neighbour: &Report) -> Result<Finding, String> {
    let job = Job::new(folder, &folder.join(format!("slot-{slot}")), program, neighbour);
    let description = job.write()?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this);
    command.arg("hostile-job").arg(description).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{:?}: {}", output.status.code(), String::from_utf8_lossy(&output.stderr).trim()))
}
