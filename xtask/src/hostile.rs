//! `cargo xtask hostile`: the programs in `fixtures/hostile` are judged, each beside a pair that conforms, and whatever they
//! left, got or changed is looked for. Every promise that the README makes about such programs is measured here.
//!
//! Each judging is a process of its own, to which whatever is orphaned below it comes: so that nothing is left is known
//! and not looked for. What a program is expected to do stands in the corpus, what is looked for in `traces`.

mod corpus;
mod job;
mod keys;
mod traces;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use clap::Args;

use crate::{conformance as suite, workspace};
use corpus::Program;
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
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match judged(options) {
        Ok(figures) => {
            print!("{}", figures.told());
            if figures.complaints == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("cargo xtask hostile: {problem}");
            ExitCode::from(3)
        }
    }
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

fn judged(options: &Options) -> Result<Figures, String> {
    let begun = Instant::now();
    suite::build(true)?;
    let built = suite::built_directory()?;
    let folder = built.parent().unwrap_or(&built).join("hostile");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(told)?;
    suite::copy_built(&suite::SUITE, &built, &folder)?;
    suite::copy_built(&suite::REFERENCE, &built, &folder)?;
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
    let figures = Mutex::new(Figures { programs: chosen.len(), slots: options.slots, ..Figures::default() });
    let again = Mutex::new(Vec::new());
    let work = |slot: u8| {
        while let Some(program) = { queue.lock().expect("not poisoned").next() } {
            let finding = in_own_process(&folder, slot, program, &neighbour);
            if finding.as_ref().is_ok_and(|finding| !finding.unsure.is_empty()) {
                again.lock().expect("not poisoned").push(program);
            }
            figures.lock().expect("not poisoned").add(program, finding);
        }
    };
    std::thread::scope(|scope| (0..options.slots).for_each(|slot| drop(scope.spawn(move || work(slot)))));
    let mut figures = figures.into_inner().expect("not poisoned");
    for program in again.into_inner().expect("not poisoned") {
        println!(
            "The machine was too slow for {}, so this is judged once more, alone, and only that counts:",
            program.name
        );
        let mut finding = in_own_process(&folder, 0, program, &neighbour);
        if let Ok(finding) = &mut finding {
            let unsure = std::mem::take(&mut finding.unsure);
            finding.complaints.extend(unsure);
        }
        figures.add(program, finding);
    }
    figures.seconds = begun.elapsed().as_secs_f64();
    Ok(figures)
}

fn in_own_process(folder: &Path, slot: u8, program: &Program, neighbour: &Report) -> Result<Finding, String> {
    let job = Job::new(folder, &folder.join(format!("slot-{slot}")), program, neighbour);
    let description = job.write()?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this);
    command.arg("hostile-job").arg(description).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{:?}: {}", output.status.code(), String::from_utf8_lossy(&output.stderr).trim()))
}

/// All that was measured.
#[derive(Default)]
struct Figures {
    programs: usize,
    slots: u8,
    runs: u64,
    complaints: u64,
    verdicts: Vec<u64>,
    overdue: Vec<u64>,
    emptied: Vec<u64>,
    memory_kib: u64,
    neighbours: u64,
    neighbours_alike: u64,
    seconds: f64,
}

impl Figures {
    fn add(&mut self, program: &Program, finding: Result<Finding, String>) {
        self.runs += 1;
        let finding = finding.unwrap_or_else(|problem| Finding { complaints: vec![problem], ..Finding::default() });
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
        self.complaints += finding.complaints.len() as u64;
        // One that a slow machine could not judge is counted when it is judged again.
        self.neighbours += u64::from(finding.neighbour_alike || finding.unsure.is_empty());
        self.neighbours_alike += u64::from(finding.neighbour_alike);
        self.memory_kib = self.memory_kib.max(finding.memory_kib);
        self.verdicts.extend(finding.verdicts_ms);
        self.overdue.extend(finding.overdue_ms);
        self.emptied.push(finding.emptied_ms);
    }

    fn told(&self) -> String {
        let (median, most) = median_and_most(&self.verdicts);
        let (median_late, most_late) = median_and_most(&self.overdue);
        let (median_end, most_end) = median_and_most(&self.emptied);
        format!(
            "{} programs, {} runs on {} slots in {:.0} s: {} complaints\n\
             the neighbour's verdicts: alike in {} of {} runs\n\
             verdicts: {} in {median} ms (median) to {most} ms; {} of them given up, {median_late} ms (median) to \
             {most_late} ms after their deadlines\n\
             a sandbox is empty {median_end} ms (median of each run's slowest) to {most_end} ms after it is ended\n\
             the judge's memory: {} KiB at most\n",
            self.programs,
            self.runs,
            self.slots,
            self.seconds,
            self.complaints,
            self.neighbours_alike,
            self.neighbours,
            self.verdicts.len(),
            self.overdue.len(),
            self.memory_kib,
        )
    }
}

fn median_and_most(values: &[u64]) -> (u64, u64) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    (sorted.get(sorted.len() / 2).copied().unwrap_or(0), sorted.last().copied().unwrap_or(0))
}
