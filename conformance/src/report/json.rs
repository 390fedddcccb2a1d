//! The report for programs. Its schema is versioned: `schema` grows when a field changes its meaning or goes;
//! new fields may come at any time. The README describes it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dialect::Dialect;
use crate::family::Family;
use crate::observe::process;
use crate::run::Run;
use crate::spec::{Level, Source};
use crate::subject::tier::Tier;
use crate::verdict::{Answer, Verdict};

/// The schema's version.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    family: Family,
    /// The path of each program that is judged, by what it is called.
    #[serde(flatten)]
    programs: BTreeMap<String, String>,
    system: &'static str,
    tier: Tier,
    /// What of it the machine did not give.
    lapses: &'a [String],
    profile: &'a str,
    answer: Answer,
    exit_status: u8,
    total_ms: u128,
    learning_ms: u128,
    late_ms: u128,
    /// How long the slowest end of a session took, until nobody was left in its sandbox.
    emptied_ms: u128,
    /// The most memory that the suite itself had in use.
    memory_kib: u64,
    /// How many requirements `--fail-fast` left out.
    not_judged: usize,
    /// What was learned, where there is something to learn.
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'a Dialect>,
    requirements: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    level: Level,
    source: Source,
    graded: bool,
    sentence: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
    took_ms: u128,
    /// Something did not come before its deadline.
    waited: bool,
    /// Processes that the suite had to end.
    left: Vec<String>,
    /// The evidence, one text a session; only for what does not hold.
    transcripts: &'a [String],
}

/// The whole run as JSON, with a line end.
///
/// # Panics
/// Never: every value here has a JSON form.
pub fn report(run: &Run) -> String {
    let entries = run.results.iter().map(|judged| Entry {
        id: &judged.requirement.id,
        level: judged.requirement.level,
        source: judged.requirement.source.clone(),
        graded: judged.graded,
        sentence: &judged.requirement.sentence,
        verdict: &judged.verdict,
        took_ms: judged.took.as_millis(),
        waited: judged.waited,
        left: judged.remains.iter().map(|r| r.command.clone()).collect(),
        transcripts: &judged.evidence,
    });
    let report = Report {
        schema: SCHEMA,
        family: run.options.pair.family,
        programs: run
            .options
            .pair
            .programs()
            .map(|(who, path)| (who.to_string(), path.display().to_string()))
            .collect(),
        system: std::env::consts::OS,
        tier: run.options.tier,
        lapses: &run.lapses,
        profile: &run.options.profile.name,
        answer: run.answer,
        exit_status: run.answer as u8,
        total_ms: run.total.as_millis(),
        learning_ms: run.learning.as_millis(),
        late_ms: run.late.as_millis(),
        emptied_ms: run.slowest_end.as_millis(),
        memory_kib: process::own_memory_kib(),
        not_judged: run.not_judged,
        dialect: run.options.pair.family.has_dialects().then_some(&run.lesson.dialect),
        requirements: entries.collect(),
    };
    serde_json::to_string_pretty(&report).expect("every value has a JSON form") + "\n"
}
