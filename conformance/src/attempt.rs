//! One case: performed when it is its turn, once more and alone where the machine was too slow to tell, and judged; and what
//! is kept of it.
//!
//! What has to come before it is not known here, and what an outcome is worth is decided in `verdict`.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinError;

use crate::acts::Acts;
use crate::cases::Case;
use crate::event::What;
use crate::observe::strace;
use crate::outcome::{Outcome, Stop};
use crate::record::{Misfit, Record};
use crate::run::Judged;
use crate::slow::{ATTEMPTS, Slow};
use crate::spec::Requirement;
use crate::stage::Stage;
use crate::subject::remains::Remain;
use crate::suite::{Lesson, Suite};
use crate::timeline::timeline;
use crate::verdict::{Verdict, judge};

/// Performs a requirement's case, as often as it takes, and judges what came of it.
pub(crate) async fn attend(
    suite: Arc<Suite>,
    lesson: Arc<Lesson>,
    requirement: Requirement,
    graded: bool,
    case: &'static Case,
) -> Judged {
    let mut begun = Instant::now();
    let mut remains = Vec::new();
    let mut attempts = 0;
    let Attempt { stage, outcome, waited } = loop {
        attempts += 1;
        let asked = Instant::now();
        let mut turn = match attempts {
            1 => suite.turns.among().await,
            // Several pairs that never rest keep each other from the processors, and would all be excused by it.
            _ => suite.turns.alone().await,
        };
        // Whoever waits for his turn takes no time.
        begun += asked.elapsed();
        let (deadline, at_it) = (begun + suite.limits.time_max(), Instant::now());
        let attempting = attempt(&suite, &lesson, case, deadline);
        tokio::pin!(attempting);
        let (attempt, left) = match tokio::time::timeout(suite.patience / 10, &mut attempting).await {
            Ok(done) => done,
            Err(_) => {
                // What takes so long on a machine that is in time only waits: another case may run meanwhile.
                if suite.lateness.worst_since(at_it) < suite.patience / 200 {
                    turn.step_aside();
                }
                attempting.await
            }
        };
        drop(turn);
        remains.extend(left);
        let is_final = suite.past.is_some() || lesson.slow.is_some() || Instant::now() > deadline;
        if !is_tried_again(&attempt.outcome, attempts, is_final) {
            break attempt;
        }
    };
    let verdict = judge(requirement.level, graded, outcome);
    let acts = stage.acts();
    let evidence = if verdict.has_evidence() { evidence(&acts, &lesson) } else { Vec::new() };
    let traces = match (&suite.strace, &verdict) {
        (Some(strace), Verdict::Fail(_) | Verdict::Warn(_)) => {
            let _turn = suite.turns.among().await;
            let stage = Stage::new(suite.clone(), lesson, case.id).traced(strace.clone());
            traced(case, stage).await
        }
        _ => Vec::new(),
    };
    let traces = traces.iter().map(|trace| strace::shown(trace)).collect();
    let acts = if suite.keeps_records { acts } else { Acts::default() };
    Judged { requirement, graded, verdict, acts, evidence, remains, traces, took: begun.elapsed(), waited }
}

/// What was seen, session by session. A case without a session of its own judged the first one.
fn evidence(acts: &Acts, lesson: &Lesson) -> Vec<String> {
    match acts.records() {
        records if records.is_empty() => vec![lesson.record.read(timeline)],
        records => records.iter().map(|record| record.read(timeline)).collect(),
    }
}

/// Whether a case is performed again after so many attempts. One is final where it cannot come out otherwise: of a run
/// that is judged again the attempt that counted is kept, what was not learned in time is not there, and all attempts
/// together have their time.
fn is_tried_again(outcome: &Outcome, attempts: usize, is_final: bool) -> bool {
    matches!(outcome, Err(Stop::TooSlow(_))) && attempts < ATTEMPTS && !is_final
}

/// A case that came to its end.
struct Attempt {
    stage: Arc<Stage>,
    outcome: Outcome,
    /// Something did not come before its deadline.
    waited: bool,
}

/// Performs a case in sessions of its own, which are over afterwards; and what still ran then. Up to the deadline it may go
/// on; after that, who did as he should has one patience more to come to his own end.
async fn attempt(
    suite: &Arc<Suite>,
    lesson: &Arc<Lesson>,
    case: &'static Case,
    deadline: Instant,
) -> (Attempt, Vec<Remain>) {
    let begun = Instant::now();
    let stage = Arc::new(Stage::new(suite.clone(), lesson.clone(), case.id));
    let mut outcome = perform(case, stage.clone(), deadline).await;
    if outcome.is_ok() {
        outcome = tokio::time::timeout(suite.patience, stage.settle()).await.unwrap_or(Ok(()));
    }
    let waited = stage.has_run_out();
    let is_behind = waited && matches!(outcome, Err(Stop::Failure { .. } | Stop::Missing(_)));
    // A case that was given up has had enough of any machine's time.
    let slow = if stage.given_up().is_some() { Slow::default() } else { stage.slow(begun, is_behind) };
    let (outcome, records, remains) = match stage.finish().await {
        Ok((records, remains)) => (outcome, records, remains),
        Err(stop) => (Err(stop), vec![], vec![]),
    };
    let why = slow.excuse(suite.patience).or_else(|| lesson.slow.clone());
    let outcome = excuse(blame(outcome, &records), why);
    (Attempt { stage, outcome, waited }, remains)
}

/// Runs a case once more for its system calls; what comes of it counts for nothing.
async fn traced(case: &'static Case, stage: Stage) -> Vec<Vec<u8>> {
    let stage = Arc::new(stage);
    let _ = perform(case, stage.clone(), Instant::now() + stage.suite.limits.time_max()).await;
    stage.finish_traced().await.unwrap_or_default()
}

/// What did not hold under a tap that failed is the suite's own fault.
fn blame(outcome: Outcome, records: &[Arc<Record>]) -> Outcome {
    let failed = |what: &What| match what {
        What::TapFailed { error } => Some(error.clone()),
        _ => None,
    };
    let failure = records.iter().find_map(|r| r.read(|events| events.iter().find_map(|e| failed(&e.what))));
    match (outcome, failure) {
        (Err(Stop::Failure { .. } | Stop::Missing(_)), Some(error)) => {
            Err(Stop::Harness(format!("the tap failed: {error}")))
        }
        (outcome, _) => outcome,
    }
}

/// What did not come in time says nothing of the subject where the machine was too slow for it.
fn excuse(outcome: Outcome, why: Option<String>) -> Outcome {
    match (outcome, why) {
        (Err(Stop::Failure { expected: what, .. } | Stop::Missing(what)), Some(why)) => {
            Err(Stop::TooSlow(format!("to judge what has to come in time ({what}), since {why}")))
        }
        (outcome, _) => outcome,
    }
}

/// Why a task came to no end of its own.
pub(crate) fn cause(panic: JoinError) -> String {
    let words = panic.to_string();
    let misfit = panic.try_into_panic().ok().and_then(|payload| payload.downcast::<Misfit>().ok());
    match misfit {
        Some(misfit) => format!(
            "the bundle was kept by another suite, or changed since: {}; whatever kept it can replay it",
            misfit.0
        ),
        None => format!("it panicked: {words}"),
    }
}

/// Runs a case in a task of its own, so that its panic is a harness fault, and up to a deadline: a pair that is slow at
/// every step is no reason to stay for ever.
async fn perform(case: &'static Case, stage: Arc<Stage>, deadline: Instant) -> Outcome {
    if let Some(missing) = stage.given_up() {
        // Up to there it would take the same course, and then ask for more than there is.
        stage.recall();
        return Err(Stop::Missing(missing));
    }
    let mut task = tokio::spawn((case.run)(stage.clone()));
    match tokio::time::timeout_at(deadline.into(), &mut task).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Stop::Harness(cause(panic))),
        Err(_) => {
            // Nothing is begun any more by the time its sessions are ended.
            task.abort();
            let _ = task.await;
            // One step after the other came in time, and there were very many of them.
            Err(Stop::Missing(stage.give_up()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_the_machine_was_too_slow_a_case_is_performed_again_and_not_for_ever() {
        let slow = Err(Stop::TooSlow("for a reply".into()));
        assert!((1..ATTEMPTS).all(|attempts| is_tried_again(&slow, attempts, false)));
        assert!(!is_tried_again(&slow, ATTEMPTS, false));
        assert!(!is_tried_again(&slow, 1, true));
        for other in [Ok(()), Err(Stop::Missing("a reply".into())), Err(Stop::failure("a", "b"))] {
            assert!(!is_tried_again(&other, 1, false), "{other:?}");
        }
    }

    #[test]
    fn a_slow_machine_excuses_what_failed_and_nothing_else() {
        let why = || Some("it stood still".to_owned());
        for failed in [Err(Stop::failure("a", "b")), Err(Stop::Missing("a".into()))] {
            assert_eq!(excuse(failed.clone(), None), failed);
            assert!(
                matches!(excuse(failed, why()), Err(Stop::TooSlow(said)) if said.contains("(a), since it stood still"))
            );
        }
        assert_eq!(excuse(Ok(()), why()), Ok(()));
    }
}
