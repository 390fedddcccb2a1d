//! A run: learn, pair every requirement with its case, run them side by side, collect one [`Run`] value.
//!
//! What a verdict is, `verdict` decides; how a run is shown, the reports do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::acts::Acts;
use crate::attempt::{attend, cause};
use crate::baseline::{Baseline, Day};
use crate::bundle::Bundle;
use crate::cases;
use crate::family::Family;
use crate::journal::{Entry, Journal};
use crate::observe::lateness::Lateness;
use crate::observe::target::Target;
#[cfg(unix)]
use crate::probe::lesson;
use crate::profile::{Profile, matches};
use crate::spec::{Platform, Requirement, requirements_of};
use crate::subject::limits::Limits;
use crate::subject::place::RunFolder;
use crate::subject::remains::Remain;
use crate::subject::tier::Tier;
use crate::suite::{Lesson, Pair, Suite};
use crate::turns::Turns;
use crate::verdict::{Answer, Verdict, answer};

/// What is to be run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The programs.
    pub pair: Pair,
    /// What is graded and stated.
    pub profile: Profile,
    /// Only these requirements or areas, if any are named.
    pub only: Vec<String>,
    /// How many cases run at a time.
    pub jobs: usize,
    /// How long is waited for what must happen.
    pub patience: Duration,
    /// How far the programs are kept apart from everything else.
    pub tier: Tier,
    /// Folders in which they see nothing but what is their own, in tier A.
    pub hide: Vec<PathBuf>,
    /// What they may use, in tier A, and say.
    pub limits: Limits,
    /// Whether the first graded MUST that does not hold ends the run.
    pub fail_fast: bool,
    /// The failures that are expected.
    pub baseline: Baseline,
    /// The tracer under which a case that failed runs once more, for its system calls.
    pub strace: Option<PathBuf>,
    /// A run that is judged again instead.
    pub past: Option<Bundle>,
    /// Whether everything that was recorded is there when the run is over, which may be much.
    pub keeps_records: bool,
    /// Where each verdict is kept as soon as it is there, and those that are not to be judged again.
    pub journal: Option<Arc<Journal>>,
}

/// Everything that came of a run.
pub struct Run {
    /// What was run.
    pub options: Options,
    /// What was learned first.
    pub lesson: Arc<Lesson>,
    /// One for each selected requirement, in the specification's order; fewer when a failure ended the run.
    pub results: Vec<Judged>,
    /// How many were selected and not judged.
    pub not_judged: usize,
    /// The answer.
    pub answer: Answer,
    /// How long learning took.
    pub learning: Duration,
    /// The target's address.
    pub target: String,
    /// When it began.
    pub begun: Instant,
    /// The day on which it was, for what is expected up to some day.
    pub day: Day,
    /// How late the suite itself was at worst.
    pub late: Duration,
    /// How long the slowest end of a session took, until nobody was left in its sandbox; nothing but in tier A.
    pub slowest_end: Duration,
    /// What of its tier the machine did not give.
    pub lapses: Vec<String>,
    /// How long all of it took.
    pub total: Duration,
}

/// A requirement and what became of it.
pub struct Judged {
    /// The requirement.
    pub requirement: Requirement,
    /// It counts for the exit status.
    pub graded: bool,
    /// What became of it.
    pub verdict: Verdict,
    /// What was done for it, and seen, if records are kept.
    pub acts: Acts,
    /// What was seen in each session, as a text, of what does not hold.
    pub evidence: Vec<String>,
    /// What still ran when its case was over and had to be killed.
    pub remains: Vec<Remain>,
    /// The last system calls of each session when it ran once more, traced.
    pub traces: Vec<Vec<String>>,
    /// How long its case took.
    pub took: Duration,
    /// Something was waited for that did not come before its deadline.
    pub waited: bool,
}

impl Judged {
    /// Judged without its case.
    fn without_a_case(requirement: Requirement, graded: bool, verdict: Verdict) -> Self {
        Judged {
            requirement,
            graded,
            verdict,
            acts: Acts::default(),
            evidence: Vec::new(),
            remains: Vec::new(),
            traces: Vec::new(),
            took: Duration::ZERO,
            waited: false,
        }
    }

    /// Judged by the run that this one goes on with.
    fn kept(requirement: Requirement, graded: bool, kept: Entry) -> Self {
        Judged {
            took: kept.took(),
            waited: kept.waited,
            remains: kept.remains,
            evidence: kept.evidence,
            traces: kept.traces,
            ..Judged::without_a_case(requirement, graded, kept.verdict)
        }
    }
}

/// Why a run could not begin, or not go on.
pub type Refusal = String;

/// Tells how far a run is, when each requirement is judged.
pub type Progress<'a> = &'a (dyn Fn(usize, usize, &Judged) + Send + Sync);

/// Finds the programs: a folder that holds both, or the parent's path with the child beside it or named. Where a child may be
/// judged alone, a folder may hold just that, and a path with no other beside it is the child's.
pub fn find_pair(family: Family, bin: &Path, child: Option<&Path>) -> Result<Pair, Refusal> {
    let absolute = |path: PathBuf| {
        let found = whole(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        if !found.is_file() || !may_be_executed(&found) {
            return Err(format!("{}: expected an executable file (chmod +x?)", found.display()));
        }
        Ok(found)
    };
    let [parent_name, child_name] = family.file_names();
    let may_be_alone = family.is_judged_without_a_parent();
    let (parent, child) = match (child, bin.is_dir()) {
        (Some(child), true) => (Some(bin.join(&parent_name)), child.to_owned()),
        (Some(child), false) => (Some(bin.to_owned()), child.to_owned()),
        (None, true) => {
            (Some(bin.join(&parent_name)).filter(|parent| !may_be_alone || parent.exists()), bin.join(&child_name))
        }
        (None, false) if may_be_alone => (None, bin.to_owned()),
        (None, false) => (Some(bin.to_owned()), bin.parent().unwrap_or(bin).join(&child_name)),
    };
    let parent = parent.filter(|_| Family::PARENTS_ARE_JUDGED);
    Ok(Pair {
        family,
        parent: parent.map(absolute).transpose().map_err(|e| format!("no {parent_name}: {e}"))?,
        child: absolute(child).map_err(|e| format!("no {child_name}: {e}; name it with --{child_name}"))?,
    })
}

/// Where a file really is.
#[cfg(unix)]
fn whole(path: &Path) -> std::io::Result<PathBuf> {
    path.canonicalize()
}

/// Where a file is, in the form in which programs take it.
#[cfg(windows)]
fn whole(path: &Path) -> std::io::Result<PathBuf> {
    path.metadata().and_then(|_| std::path::absolute(path))
}

#[cfg(unix)]
fn may_be_executed(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// Only its attempt tells.
#[cfg(windows)]
fn may_be_executed(_: &Path) -> bool {
    true
}

/// Runs all of it, or up to when it is interrupted. Before any case began nothing comes of it then.
pub async fn run(
    options: Options,
    progress: Progress<'_>,
    interrupted: impl Future<Output = ()>,
) -> Result<Option<Run>, Refusal> {
    tokio::pin!(interrupted);
    let begun = Instant::now();
    let selected = select(&options)?;
    let programs: Vec<_> = options.pair.programs().map(|(_, path)| path).collect();
    let folder = match options.tier {
        // Nothing is started in a run that is judged again.
        Tier::A if options.past.is_none() => RunFolder::confined(&programs, &options.hide, options.limits),
        Tier::B if options.past.is_none() => RunFolder::grouped(),
        _ => RunFolder::new(),
    };
    let folder = folder.map_err(|e| e.to_string())?;
    let suite = Arc::new(Suite {
        pair: options.pair.clone(),
        profile: options.profile.clone(),
        target: match &options.past {
            Some(past) => Target::past(past.target().to_owned()),
            None => {
                let bound = folder.sandbox.bound().map_err(|e| e.to_string())?;
                Target::start(bound).await.map_err(|e| e.to_string())?
            }
        },
        folder,
        patience: options.patience,
        limits: options.limits,
        lateness: Lateness::watch(),
        keeps_records: options.keeps_records,
        strace: options.strace.clone(),
        past: options.past.clone(),
        replaying: Mutex::default(),
        turns: Turns::new(options.jobs),
    });
    let learning_suite = suite.clone();
    let mut learning = JoinSet::new();
    learning.spawn(async move {
        match learning_suite.pair.family.has_dialects() {
            #[cfg(unix)]
            true => lesson::learn(&learning_suite).await,
            _ => Lesson::default(),
        }
    });
    let lesson = tokio::select! {
        lesson = learning.join_next() => lesson.expect("it was begun"),
        () = &mut interrupted => return Ok(None),
    };
    let mut lesson = lesson.map_err(|panic| format!("the first session: {}", cause(panic)))?;
    if !options.keeps_records {
        lesson.acts = Acts::default();
    }
    if let Some(journal) = &options.journal {
        journal.learned(&lesson.dialect, lesson.slow.as_deref())?;
    }
    let lesson = Arc::new(lesson);
    let learning = begun.elapsed();
    let lapses = options.past.as_ref().map_or_else(|| suite.folder.sandbox.lapses(), |past| past.lapses().to_vec());
    let day = options.past.as_ref().map_or_else(Day::today, Bundle::day);
    let cases = cases_of(&suite, &lesson, &options, day, &selected, progress, interrupted);
    let (mut done, is_interrupted) = cases.await?;
    let order: Vec<_> = selected.iter().map(|r| r.id.clone()).collect();
    let results: Vec<_> = order.iter().filter_map(|id| done.remove(id)).collect();
    let of_results =
        answer(results.iter().map(|judged| (&judged.verdict, judged.graded && !is_excused(&results, &judged.verdict))));
    let answer = if is_interrupted { Answer::Interrupted } else { of_results };
    let late = suite.lateness.worst_since(begun);
    Ok(Some(Run {
        options,
        lesson,
        not_judged: order.len() - results.len(),
        results,
        answer,
        learning,
        target: suite.target.uri().to_owned(),
        begun,
        day,
        late,
        slowest_end: suite.folder.sandbox.slowest_end(),
        lapses,
        total: begun.elapsed(),
    }))
}

/// What is not reached because of a failure that is expected is excused with it.
fn is_excused(results: &[Judged], verdict: &Verdict) -> bool {
    let Verdict::Blocked { by } = verdict else { return false };
    let blocker = results.iter().find(|judged| judged.requirement.id == *by).map(|judged| &judged.verdict);
    blocker.is_some_and(|blocker| matches!(blocker, Verdict::Expected { .. }) || is_excused(results, blocker))
}

/// Whether what is asked for exists, before anything is started.
pub fn check(options: &Options) -> Result<(), Refusal> {
    select(options).map(drop)
}

fn select(options: &Options) -> Result<Vec<Requirement>, Refusal> {
    let family = options.pair.family;
    if !Family::PARENTS_ARE_JUDGED && !family.is_judged_everywhere() {
        let [control, plugin] = [Family::Control, Family::Plugin];
        return Err(format!(
            "--family {family}: nothing of it is judged on this system, but of {control} and {plugin}"
        ));
    }
    let all = requirements_of(family);
    for only in &options.only {
        if !all.iter().any(|r| matches(r, only)) {
            return Err(format!("--only {only}: expected a requirement's id or an area; --list shows them"));
        }
    }
    let named = |r: &Requirement| options.only.is_empty() || options.only.iter().any(|o| matches(r, o));
    // What a named requirement needs comes along, so that a failure there is not blamed on it.
    let mut chosen: Vec<String> = all.iter().filter(|r| named(r)).map(|r| r.id.clone()).collect();
    let mut at = 0;
    while at < chosen.len() {
        let needs = all.iter().find(|r| r.id == chosen[at]).map(|r| r.after.clone()).unwrap_or_default();
        for need in needs {
            if !chosen.contains(&need) {
                chosen.push(need);
            }
        }
        at += 1;
    }
    Ok(all.into_iter().filter(|r| chosen.contains(&r.id) && options.profile.selects(r)).collect())
}

/// Runs the cases, each as soon as what it needs has been judged: all of them, or up to the failure that ends the run, or
/// until it is interrupted, which is said as well.
async fn cases_of(
    suite: &Arc<Suite>,
    lesson: &Arc<Lesson>,
    options: &Options,
    day: Day,
    selected: &[Requirement],
    progress: Progress<'_>,
    mut interrupted: Pin<&mut impl Future<Output = ()>>,
) -> Result<(HashMap<String, Judged>, bool), Refusal> {
    let mut done: HashMap<String, Judged> = HashMap::new();
    let mut running = JoinSet::new();
    let mut waiting = selected.to_vec();
    while done.len() < selected.len() {
        let is_judged = |id: &String| done.contains_key(id) || !selected.iter().any(|s| s.id == *id);
        let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|r| r.after.iter().all(is_judged));
        waiting = later;
        for requirement in ready {
            let graded = options.profile.grades(&requirement);
            let kept = options.journal.as_ref().and_then(|journal| journal.kept(&requirement.id));
            if let Some(kept) = kept.cloned() {
                running.spawn(async move { Judged::kept(requirement, graded, kept) });
                continue;
            }
            let settled = settled(&requirement, &done, &options.pair);
            running.spawn(one(suite.clone(), lesson.clone(), requirement, graded, settled));
        }
        let judged = tokio::select! {
            judged = running.join_next() => judged,
            () = &mut interrupted => return Ok((done, true)),
        };
        let judged = judged.expect("no requirement comes after itself; the tests hold that");
        let mut judged = judged.expect("a case's panic is caught where it runs");
        if let Some(journal) = &options.journal
            && lesson.slow.is_none()
            && journal.kept(&judged.requirement.id).is_none()
        {
            journal.keep(&judged).await.map_err(|error| format!("the journal: {error}"))?;
        }
        judged.verdict = options.baseline.apply(&judged.requirement.id, judged.verdict, day);
        progress(done.len() + 1, selected.len(), &judged);
        let ends_it = options.fail_fast && matches!(judged.verdict, Verdict::Fail(_));
        done.insert(judged.requirement.id.clone(), judged);
        if ends_it {
            break;
        }
    }
    Ok((done, false))
}

/// Judges one requirement.
async fn one(
    suite: Arc<Suite>,
    lesson: Arc<Lesson>,
    requirement: Requirement,
    graded: bool,
    settled: Option<Verdict>,
) -> Judged {
    if let Some(verdict) = settled {
        return Judged::without_a_case(requirement, graded, verdict);
    }
    let Some(case) = cases::of(&requirement.id) else {
        // The tests hold that each has one where parents are judged.
        let reason = suite.pair.no_parent();
        return Judged::without_a_case(requirement, graded, Verdict::NotApplicable { reason });
    };
    attend(suite, lesson, requirement, graded, case).await
}

/// The verdict on a requirement whose case need not run.
fn settled(requirement: &Requirement, done: &HashMap<String, Judged>, pair: &Pair) -> Option<Verdict> {
    if let Some(reason) = &requirement.untestable {
        return Some(Verdict::Untestable { reason: reason.clone() });
    }
    if !requirement.platforms.contains(&Platform::HERE) {
        return Some(Verdict::NotApplicable { reason: "not on this operating system".to_owned() });
    }
    let before = || requirement.after.iter().filter_map(|id| Some((id, &done.get(id)?.verdict)));
    // Where there is no parent at all, nothing else keeps it from being judged.
    let no_parent = Verdict::NotApplicable { reason: pair.no_parent() };
    if before().any(|(_, verdict)| *verdict == no_parent) {
        return Some(no_parent);
    }
    before().find_map(|(id, verdict)| verdict.keeps_from(id))
}
