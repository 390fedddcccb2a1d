//! The `conformance` program: parse, run, report, exit.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use conformance::baseline::Baseline;
use conformance::bundle::{self, Bundle};
use conformance::family::Family;
use conformance::interrupts::Interrupts;
use conformance::journal::Journal;
use conformance::observe::strace;
use conformance::profile::{Profile, matches};
use conformance::report::{json, review, text};
use conformance::run::{self, Judged, Options, Run};
use conformance::spec::{Requirement, requirements, requirements_of};
#[cfg(unix)]
use conformance::subject::lent;
use conformance::subject::limits::Limits;
use conformance::subject::place::RunFolder;
#[cfg(unix)]
use conformance::subject::sandbox;
use conformance::subject::tier::Tier;
use conformance::verdict::Answer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Judges a pair of programs that talk over pipes, sentence by sentence of a written specification.
///
/// Exit status: 0 conformant, 1 not conformant, 2 wrong usage, 3 the suite itself failed, 4 a graded
/// requirement could not be judged, 5 nothing ran, 130 interrupted. When several hold: 2, 5, 3, 1, 4, 0.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// What the pair speaks
    #[arg(long, value_name = "FAMILY", value_enum, default_value_t)]
    family: Family,
    /// A folder that holds `watchdog` and `server`, or the watchdog's path with the server beside it; in the family `control`
    /// a folder that holds `supervisor` and `service`, or the path of a service that is judged alone; in the family `plugin` a
    /// folder that holds `plugin-host` and `plugin`, or the path of a plugin that is judged alone
    #[arg(long, value_name = "PATH", required_unless_present_any = ["list", "explain", "compare"])]
    bin: Option<PathBuf>,
    /// The server, service or plugin, when it is not beside the other
    #[arg(long, visible_aliases = ["service", "plugin"], value_name = "PATH")]
    server: Option<PathBuf>,
    /// What is graded and stated (TOML); by default only what the documents state is graded and nothing else is stated
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Run only this requirement or area, and what it needs; may be given more than once
    #[arg(long, value_name = "ID|AREA")]
    only: Vec<String>,
    /// List all requirements of the family and exit
    #[arg(long)]
    list: bool,
    /// Explain a requirement and exit
    #[arg(long, value_name = "ID")]
    explain: Option<String>,
    /// Cases that run at a time [default: four for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Multiply every deadline, for slow machines
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    timeout_scale: f64,
    /// How far the programs are kept apart from everything else [default: as far as this machine allows]
    #[arg(long, value_name = "TIER", value_enum)]
    tier: Option<Tier>,
    /// Run nothing unless they are kept apart as far as this
    #[arg(long, value_name = "TIER", value_enum, conflicts_with = "tier")]
    require_tier: Option<Tier>,
    /// In tier A, hide a folder from the programs but for their own folders in it; may be given more than once
    #[arg(long, value_name = "FOLDER")]
    hide: Vec<PathBuf>,
    #[command(flatten, next_help_heading = "Limits of what the programs of a session may use, in tier A")]
    limits: Limits,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
    /// Keep what was learned as a profile
    #[arg(long, value_name = "FILE")]
    write_profile: Option<PathBuf>,
    /// Failures that are expected, each with a reason and a last day (TOML); one that no longer fits is a failure
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Run a case that failed once more under strace, and show the system calls of both programs
    #[arg(long)]
    strace: bool,
    /// Keep everything that was recorded in this new folder; `conformance replay` judges it again
    #[arg(long, value_name = "FOLDER")]
    bundle: Option<PathBuf>,
    /// Keep each verdict in this new file as soon as it is there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "review"])]
    journal: Option<PathBuf>,
    /// Go on with the run whose journal this is, and judge what it had not judged
    #[arg(long, requires = "journal")]
    resume: bool,
    /// Write a baseline that expects what fails now
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// End with the first graded MUST that does not hold
    #[arg(long, conflicts_with_all = ["bundle", "write_baseline", "review"])]
    fail_fast: bool,
    /// Hold the transcripts against the reference's; differences become pending snapshots under target/review
    #[arg(long)]
    review: bool,
    /// Compare the transcripts in a folder: the second half of a review
    #[arg(long, value_name = "FOLDER", hide = true)]
    compare: Option<PathBuf>,
    /// Show every requirement, and the evidence of advice too
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge what a bundle holds again, without the programs
    Replay {
        /// The folder that `--bundle` made
        bundle: PathBuf,
    },
}

const NO_STRACE: &str = "--strace: expected strace on the PATH; install it, or leave the option out";

/// How long is waited for what must happen, before `--timeout-scale`.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        list(cli.family);
        return ExitCode::SUCCESS;
    }
    if let Some(id) = &cli.explain {
        return explain(id);
    }
    if let Some(folder) = &cli.compare {
        return status_of(review::compare(folder));
    }
    match judge(&cli) {
        Ok(status) => status,
        Err((answer, problem)) => {
            eprintln!("conformance: {problem}");
            ExitCode::from(answer as u8)
        }
    }
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && (0.1..=100.0).contains(&factor) => Ok(factor),
        _ => Err("expected a number from 0.1 to 100".to_owned()),
    }
}

fn judge(cli: &Cli) -> Result<ExitCode, (Answer, String)> {
    let usage = |problem| (Answer::Usage, problem);
    if let Some(Command::Replay { bundle }) = &cli.command {
        let options = Bundle::read(bundle).map_err(usage)?.options();
        return perform(cli, options);
    }
    let bin = cli.bin.as_deref().ok_or_else(|| usage("--bin is missing".to_owned()))?;
    let pair = run::find_pair(cli.family, bin, cli.server.as_deref()).map_err(usage)?;
    if !cli.family.has_dialects() && (cli.review || cli.write_profile.is_some()) {
        let problem = "--review, --write-profile: expected a family in which pairs differ in how they speak";
        return Err(usage(problem.to_owned()));
    }
    let profile = cli.profile.as_deref().map_or_else(|| Ok(Profile::default()), Profile::read).map_err(usage)?;
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let mut options = Options {
        pair,
        profile,
        only: cli.only.clone(),
        jobs: cli.jobs.map_or(processors * 4, usize::from),
        patience: PATIENCE.mul_f64(cli.timeout_scale),
        tier: Tier::default(),
        hide: hidden(&cli.hide).map_err(usage)?,
        limits: cli.limits.scaled(cli.timeout_scale),
        fail_fast: cli.fail_fast,
        baseline: cli.baseline.as_deref().map_or_else(|| Ok(Baseline::default()), Baseline::read).map_err(usage)?,
        strace: if cli.strace { Some(strace::find().ok_or_else(|| usage(NO_STRACE.to_owned()))?) } else { None },
        past: None,
        keeps_records: false,
        journal: None,
    };
    run::check(&options).map_err(usage)?;
    // While there is but one thread.
    #[cfg(unix)]
    if cli.tier.is_none_or(|tier| tier == Tier::A)
        && let Err(error) = lent::join()
    {
        eprintln!("conformance: the users that /etc/subuid lends are not made use of: {error}");
    }
    #[cfg(unix)]
    let settled = cli.tier.is_none_or(|tier| tier == Tier::A).then(sandbox::settle).flatten();
    // Something is started to find it out, which wrong usage is no reason for.
    options.tier = tier(cli)?;
    #[cfg(unix)]
    let _settled = settled.filter(|_| options.tier == Tier::A);
    if let Some(path) = &cli.journal {
        let open = if cli.resume { Journal::resume } else { Journal::begin };
        options.journal = Some(Arc::new(open(path, &options).map_err(usage)?));
    }
    // What could not be kept in the end is better known before the run.
    for file in [&cli.json, &cli.write_profile, &cli.write_baseline].into_iter().flatten() {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        opened.map_err(|e| (Answer::HarnessFault, format!("{} could not be written: {e}", file.display())))?;
    }
    perform(cli, options)
}

/// The tier that is asked for, or else the strongest. Where that is none that keeps anybody apart, it is said why.
fn tier(cli: &Cli) -> Result<Tier, (Answer, String)> {
    if let Some(tier) = cli.tier {
        if tier != Tier::A && !cli.hide.is_empty() {
            return Err((Answer::Usage, format!("--hide: nothing can be hidden in tier {tier:?}; use --tier A")));
        }
        return Ok(tier);
    }
    let Err(error) = RunFolder::confined(&[], &[], cli.limits) else { return Ok(Tier::A) };
    if cli.require_tier == Some(Tier::A) || !cli.hide.is_empty() {
        return Err((Answer::HarnessFault, format!("tier A is not to be had here: {error}")));
    }
    let grouped = RunFolder::grouped();
    if let (Some(Tier::B), Err(error)) = (cli.require_tier, &grouped) {
        return Err((Answer::HarnessFault, format!("tier B is not to be had here: {error}")));
    }
    eprintln!("conformance: the programs are kept apart from nothing, since {error}");
    Ok(if grouped.is_ok() { Tier::B } else { Tier::C })
}

/// The folders to be hidden, where they really are.
fn hidden(folders: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let found = |folder: &PathBuf| {
        let path = folder.canonicalize().map_err(|e| format!("--hide {}: {e}", folder.display()))?;
        if path.is_dir() { Ok(path) } else { Err(format!("--hide {}: expected a folder", folder.display())) }
    };
    folders.iter().map(found).collect()
}

/// Runs it, with a progress line, until it is over or somebody wants it to end, and shows what came of it.
fn perform(cli: &Cli, mut options: Options) -> Result<ExitCode, (Answer, String)> {
    options.keeps_records = cli.bundle.is_some() || cli.review;
    if let Some(folder) = cli.bundle.as_ref().filter(|folder| folder.exists()) {
        return Err((Answer::Usage, format!("--bundle {}: expected a folder that is not there yet", folder.display())));
    }
    let bar = progress();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let fault = |problem: String| (Answer::HarnessFault, problem);
    let tell = |done: usize, total: usize, judged: &Judged| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(judged.requirement.id.clone());
    };
    let (interrupts, interrupted) = Interrupts::watch();
    // What is dropped with the runtime ends the subjects.
    let run = runtime.map_err(|e| fault(e.to_string()))?.block_on(async {
        let interrupted = async {
            if interrupted.await.is_err() {
                // Signals cannot be awaited here: nobody interrupts.
                std::future::pending::<()>().await;
            }
        };
        run::run(options, &tell, interrupted).await
    });
    bar.finish_and_clear();
    let before = || (Answer::Interrupted, "interrupted before any case began: nothing is said of the pair".to_owned());
    let run = run.map_err(fault)?.ok_or_else(before)?;
    let status = show(cli, &run);
    drop(interrupts);
    Ok(status)
}

/// A line that is redrawn, on a terminal; nothing in a log.
fn progress() -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style =
        ProgressStyle::with_template("{pos}/{len} {wide_bar} {elapsed} {msg:30}").expect("the template is valid");
    ProgressBar::with_draw_target(None, target).with_style(style)
}

fn show(cli: &Cli, run: &Run) -> ExitCode {
    let style = text::Style {
        all: cli.verbose,
        advice: cli.verbose,
        colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    print(&text::report(run, style, &repeat(cli)));
    if let Some(journal) = &cli.journal {
        let (again, journal) = (repeat(cli), journal.display());
        match &run.lesson.slow {
            Some(slow) => print(&format!("Nothing was kept in {journal}: too little was learned, since {slow}\n")),
            None if run.answer == Answer::Interrupted => {
                print(&format!("Go on with: {again} --journal {journal} --resume\n"));
            }
            None => {}
        }
    }
    let learned = Profile {
        name: "learned".to_owned(),
        // Without these it might have been another one.
        watchdog: run.options.profile.watchdog.clone(),
        dialect: Some(run.lesson.learned.dialect.clone()),
        ..Profile::default()
    };
    let profile = toml::to_string_pretty(&learned).expect("a profile has a TOML form");
    // Of a part nothing is made that stands for all: what was not judged neither passes nor is expected to fail.
    let is_whole = run.answer != Answer::Interrupted;
    if is_whole
        && cli.review
        && let Err(error) = hold_against_reference(run)
    {
        eprintln!("conformance: {error}");
        return ExitCode::from(Answer::HarnessFault as u8);
    }
    let baseline = Baseline::of(run.results.iter().map(|judged| (judged.requirement.id.as_str(), &judged.verdict)));
    let baseline = toml::to_string_pretty(&baseline).expect("a baseline has a TOML form");
    let baseline_file = cli.write_baseline.as_ref().filter(|_| is_whole);
    let files =
        [(cli.json.as_ref(), json::report(run)), (cli.write_profile.as_ref(), profile), (baseline_file, baseline)];
    for (file, content) in files {
        let Some(file) = file else { continue };
        if let Err(error) = std::fs::write(file, content) {
            eprintln!("conformance: {} could not be written: {error}", file.display());
            return ExitCode::from(Answer::HarnessFault as u8);
        }
    }
    if is_whole
        && let Some(folder) = &cli.bundle
        && let Err(error) = bundle::keep(run, folder)
    {
        eprintln!("conformance: {} could not be written: {error}", folder.display());
        return ExitCode::from(Answer::HarnessFault as u8);
    }
    ExitCode::from(run.answer as u8)
}

/// Leaves what differs from the reference as pending snapshots, and says how to look at them.
fn hold_against_reference(run: &Run) -> std::io::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package stands in the workspace");
    let mut compare = std::process::Command::new(std::env::current_exe()?);
    compare.arg("--compare");
    let review = review::review(run, workspace, compare)?;
    print(&format!("\n{} of {} transcripts differ from the reference's.\n", review.pending.len(), review.compared));
    if !review.pending.is_empty() {
        let folder = review.folder.strip_prefix(workspace).unwrap_or(&review.folder);
        print(&format!(
            "Look at them with: cargo insta review --manifest-path {}/Cargo.toml --include-ignored\n",
            folder.display()
        ));
    }
    Ok(())
}

fn status_of(done: std::io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::from(Answer::HarnessFault as u8)
        }
    }
}

/// The command line that judges this pair again, for whoever reads the report.
fn repeat(cli: &Cli) -> String {
    // As it was called: `cargo xtask conformance` says that it was.
    let mut words: Vec<_> = std::env::args().take(1).collect();
    if cli.family != Family::default() {
        words.push(format!("--family {}", cli.family));
    }
    for (option, path) in
        [("--bin", &cli.bin), ("--server", &cli.server), ("--profile", &cli.profile), ("--baseline", &cli.baseline)]
    {
        words.extend(path.iter().map(|path| format!("{option} {}", path.display())));
    }
    for (option, tier) in [("--tier", cli.tier), ("--require-tier", cli.require_tier)] {
        let tier = tier.and_then(|tier| tier.to_possible_value());
        words.extend(tier.map(|tier| format!("{option} {}", tier.get_name())));
    }
    words.join(" ")
}

fn list(family: Family) {
    let line = |r: Requirement| {
        format!("{:<28} {:<6} {:<7} {}\n", r.id, r.level.to_string(), r.source.to_string(), r.sentence)
    };
    print(&requirements_of(family).into_iter().map(line).collect::<String>());
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no error of ours.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn explain(id: &str) -> ExitCode {
    let all = requirements();
    let found: Vec<&Requirement> = all.iter().filter(|r| matches(r, id)).collect();
    if found.is_empty() {
        eprintln!("conformance: --explain {id}: expected a requirement's id or an area; --list shows them");
        return ExitCode::from(Answer::Usage as u8);
    }
    print(&found.into_iter().map(explanation).collect::<String>());
    ExitCode::SUCCESS
}

fn explanation(r: &Requirement) -> String {
    let mut lines = vec![format!("{}  {} {}", r.id, r.level, r.source), format!("  {}", r.sentence)];
    lines.extend(r.quotation().map(|quotation| format!("  {}: {quotation}", r.source.document())));
    lines.push(format!("  why: {}", r.rationale));
    lines.extend(r.untestable.as_ref().map(|reason| format!("  untestable: {reason}")));
    lines.extend((!r.after.is_empty()).then(|| format!("  needs: {}", r.after.join(", "))));
    lines.join("\n") + "\n\n"
}
