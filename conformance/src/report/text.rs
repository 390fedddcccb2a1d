//! The report for people: what was learned, a line for each requirement, each finding with its evidence,
//! where the time went, and the answer.

use std::fmt::Write as _;
use std::time::Duration;

use crate::dialect::payload::Form;
use crate::dialect::{Dialect, Inside, Symbol};
use crate::run::{Judged, Run};
use crate::verdict::{Answer, Finding, Verdict};

/// How a report is written.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Requirements that hold, or that nothing can be said of, have a line too.
    pub all: bool,
    /// Findings that count for nothing are shown with their evidence too.
    pub advice: bool,
    /// Colours.
    pub colour: bool,
}

/// The whole report. `repeat` is the command that ran the suite, without its `--only`.
pub fn report(run: &Run, style: Style, repeat: &str) -> String {
    let mut out = String::new();
    head(&mut out, run);
    if run.options.pair.family.has_dialects() {
        learned(&mut out, run);
    }
    table(&mut out, run, style);
    for judged in &run.results {
        finding(&mut out, judged, style, repeat);
    }
    summary(&mut out, run, style);
    out
}

fn head(out: &mut String, run: &Run) {
    for (who, path) in run.options.pair.programs() {
        let _ = writeln!(out, "{:<9} {}", who.to_string(), path.display());
    }
    let family = run.options.pair.family;
    let grades = run.options.profile.grades.iter().filter(|grade| grade.concerns(family));
    let grades: Vec<_> = grades.map(|grade| format!("{grade:?}").to_lowercase()).collect();
    let _ = writeln!(out, "profile   {} (grades: {})", run.options.profile.name, grades.join(", "));
    let _ = writeln!(out, "system    {}", std::env::consts::OS);
    let _ = writeln!(out, "tier      {}", run.options.tier);
    for lapse in &run.lapses {
        let _ = writeln!(out, "          but {lapse}");
    }
    let _ = writeln!(out);
}

/// What was learned of the dialect, in words.
fn learned(out: &mut String, run: &Run) {
    let _ = writeln!(out, "Learned from the first session");
    for (name, value) in describe(&run.lesson.dialect) {
        let _ = writeln!(out, "  {name:<12} {value}");
    }
    for (name, lines) in [("on success", &run.lesson.on_success), ("on failure", &run.lesson.on_failure)] {
        if let Some(first) = lines.first() {
            let _ = writeln!(out, "  {name:<12} `{}` is shown", Symbol(first.clone().into_bytes()));
        }
    }
    if let Some(message) = run.lesson.learned.messages.iter().flatten().next() {
        let message = Symbol(run.lesson.dialect.framed(message));
        let _ = writeln!(out, "  {:<12} `{}` is sent as `{message}`", "example", run.lesson.typed[0]);
    }
    let _ = writeln!(out);
}

fn describe(dialect: &Dialect) -> Vec<(&'static str, String)> {
    let unknown = || "not seen".to_owned();
    let symbol = |s: &Option<Symbol>| s.as_ref().map_or_else(|| "none".to_owned(), |s| format!("`{s}`"));
    let number = |n: Option<i32>| n.map_or_else(unknown, |n| n.to_string());
    let ops = &dialect.op;
    let mut all = vec![
        (
            "wiring",
            format!(
                "the server reads from {}, writes to {}",
                number(dialect.wiring.read),
                number(dialect.wiring.write)
            ),
        ),
        ("end symbol", dialect.end.as_ref().map_or_else(unknown, |end| format!("`{end}`"))),
        (
            "op bytes",
            format!(
                "setmeml {}, setproc {}, doreq {}, exit {}",
                symbol(&ops.setmeml),
                symbol(&ops.setproc),
                symbol(&ops.doreq),
                symbol(&ops.exit)
            ),
        ),
    ];
    let form = match dialect.payload {
        Some(Form::BareNames) => "an object with bare names".to_owned(),
        Some(Form::QuotedNames) => "an object with quoted names".to_owned(),
        Some(Form::Text) => "text".to_owned(),
        Some(Form::Opaque) => "opaque: replayed, not interpreted".to_owned(),
        None => unknown(),
    };
    all.push(("payload", form));
    if let Some(inside) = &dialect.end_inside {
        let how = match inside {
            Inside::Raw => "as it is".to_owned(),
            Inside::Escaped(text) => format!("as `{}`", text.escape_default().to_string().replace("\\\\", "\\")),
            Inside::Encoded => "encoded".to_owned(),
        };
        all.push(("in a body", format!("an end symbol is carried {how}")));
    }
    let replies = match (dialect.reply.each, dialect.reply.same_op) {
        (Some(true), Some(true)) => "one for each message, with its op byte",
        (Some(true), _) => "one for each message, without its op byte",
        (Some(false), _) => "not one for each message",
        (None, _) => "none seen",
    };
    all.push(("replies", replies.to_owned()));
    let prints = &dialect.prints;
    let words = [
        (prints.setting, "settings"),
        (prints.status, "statuses"),
        (prints.body, "bodies"),
        (prints.failure, "failures"),
    ];
    let shown: Vec<_> = words.iter().filter(|(shown, _)| *shown == Some(true)).map(|(_, word)| *word).collect();
    all.push(("shows", if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }));
    let prompt = prints.prompt.as_deref().filter(|p| !p.is_empty());
    all.push(("prompt", prompt.map_or_else(|| "none".to_owned(), |p| format!("`{p}`"))));
    all
}

fn table(out: &mut String, run: &Run, style: Style) {
    let mut area = "";
    for judged in &run.results {
        let quiet =
            matches!(judged.verdict, Verdict::Pass | Verdict::NotApplicable { .. } | Verdict::Untestable { .. });
        if quiet && !style.all {
            continue;
        }
        if judged.requirement.area() != area {
            area = judged.requirement.area();
            let _ = writeln!(out, "{area}");
        }
        let r = &judged.requirement;
        let verdict = painted(&judged.verdict, style);
        let _ = writeln!(
            out,
            "  {verdict} {:<28} {:<6} {:<7} {}",
            r.id,
            r.level.to_string(),
            r.source.to_string(),
            r.sentence
        );
        if let Some(why) = why(&judged.verdict) {
            let _ = writeln!(out, "                 {}", why.replace('\n', "\n                   "));
        }
    }
    let _ = writeln!(out);
}

fn why(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Blocked { by } => Some(format!("not reached, because {by} did not pass")),
        Verdict::Inconclusive { missing, .. } => Some(format!("not reached: {missing}")),
        Verdict::NotApplicable { reason }
        | Verdict::Untestable { reason }
        | Verdict::Stale { reason }
        | Verdict::Expected { reason, .. } => Some(reason.clone()),
        Verdict::HarnessFault { error } => Some(format!("the suite itself failed: {error}")),
        _ => None,
    }
}

fn painted(verdict: &Verdict, style: Style) -> String {
    let padded = format!("{:<14}", verdict.to_string());
    let colour = match verdict {
        _ if !style.colour => return padded,
        Verdict::Pass => "32",
        Verdict::Fail(_) | Verdict::HarnessFault { .. } | Verdict::Stale { .. } => "31;1",
        Verdict::Warn(_) | Verdict::Expected { .. } => "33",
        Verdict::Advice(_) => "36",
        _ => "2",
    };
    format!("\x1b[{colour}m{padded}\x1b[0m")
}

/// A finding with its evidence and the command that shows it again.
fn finding(out: &mut String, judged: &Judged, style: Style, repeat: &str) {
    let found = |Finding { expected, seen }: &Finding| format!("  expected  {expected}\n  seen      {seen}");
    let (told, evidence) = match &judged.verdict {
        Verdict::Fail(finding) | Verdict::Warn(finding) => (found(finding), true),
        Verdict::Advice(finding) => (found(finding), style.advice),
        // It makes the answer what it is, so it has to be possible to look into it, if it was performed.
        Verdict::Inconclusive { missing, .. } if judged.graded && !judged.evidence.is_empty() => {
            (format!("  missing   {missing}"), true)
        }
        _ => return,
    };
    let r = &judged.requirement;
    let _ = writeln!(
        out,
        "{} {} — {} ({}, {})",
        painted(&judged.verdict, style).trim_end(),
        r.id,
        r.sentence,
        r.level,
        r.source
    );
    if let Some(quotation) = r.quotation().filter(|_| evidence) {
        let _ = writeln!(out, "  {}  {quotation}", r.source.document());
    }
    let _ = writeln!(out, "{told}");
    if evidence {
        let _ = writeln!(out, "  why       {}", r.rationale);
        for line in judged.evidence.iter().flat_map(|seen| seen.lines()) {
            let _ = writeln!(out, "    {line}");
        }
        for trace in &judged.traces {
            let _ =
                writeln!(out, "  system calls of the same case, once more (each after so many seconds, by process):");
            for line in trace {
                let _ = writeln!(out, "    {line}");
            }
        }
        let _ = writeln!(out, "  again     {repeat} --only {}", r.id);
    }
    let _ = writeln!(out);
}

fn summary(out: &mut String, run: &Run, style: Style) {
    let remains: Vec<_> =
        run.results.iter().flat_map(|j| j.remains.iter().map(move |r| (&j.requirement.id, r))).collect();
    if !remains.is_empty() {
        let _ = writeln!(out, "Still running when their cases were over, and ended by the suite:");
        for (id, remain) in remains.iter().take(10) {
            let _ = writeln!(out, "  {id}: {}", Symbol(remain.command.clone().into_bytes()));
        }
        if remains.len() > 10 {
            let _ = writeln!(out, "  and {} more", remains.len() - 10);
        }
        let _ = writeln!(out);
    }
    let mut longest: Vec<_> = run.results.iter().filter(|j| j.took > Duration::ZERO).collect();
    longest.sort_by_key(|j| std::cmp::Reverse(j.took));
    let longest: Vec<_> = longest.iter().take(3).map(|j| format!("{} {}", j.requirement.id, seconds(j.took))).collect();
    let _ = writeln!(
        out,
        "{} in all: {} to learn, then {} cases, {} at a time; the longest: {}; the suite woke at most {} ms late",
        seconds(run.total),
        seconds(run.learning),
        run.results.iter().filter(|j| j.took > Duration::ZERO).count(),
        run.options.jobs,
        longest.join(", "),
        run.late.as_millis()
    );
    if run.not_judged > 0 {
        let by = if run.answer == Answer::Interrupted { "Somebody" } else { "The first failure" };
        let _ = writeln!(out, "{by} ended the run: {} requirements were not judged", run.not_judged);
    }
    let _ = writeln!(out, "{}", counts(&run.results));
    let open = |v: &Verdict| matches!(v, Verdict::Inconclusive { .. } | Verdict::Blocked { .. });
    let graded_open = run.results.iter().filter(|j| j.graded && open(&j.verdict)).count();
    let words = match run.answer {
        Answer::Conformant => "CONFORMANT".to_owned(),
        Answer::NotConformant => "NOT CONFORMANT".to_owned(),
        // Never a run's answer.
        Answer::Usage => String::new(),
        Answer::Interrupted => "INCOMPLETE: the run was interrupted, so nothing is said of the pair".to_owned(),
        Answer::HarnessFault => "HARNESS FAULT: the suite failed, so nothing is said of the pair".to_owned(),
        Answer::Inconclusive => format!("INCONCLUSIVE: {graded_open} graded requirements could not be judged"),
        Answer::NothingRan => "NOTHING RAN".to_owned(),
    };
    let colour = if run.answer == Answer::Conformant { "32;1" } else { "31;1" };
    let words = if style.colour { format!("\x1b[{colour}m{words}\x1b[0m") } else { words };
    let _ = writeln!(out, "{words} (exit status {})", run.answer as u8);
}

/// How many of each verdict, those that occur.
fn counts(results: &[Judged]) -> String {
    let mut names: Vec<(String, usize)> = Vec::new();
    for judged in results {
        let name = judged.verdict.to_string();
        match names.iter_mut().find(|(n, _)| *n == name) {
            Some((_, count)) => *count += 1,
            None => names.push((name, 1)),
        }
    }
    let list: Vec<_> = names.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!("{} requirements: {}", results.len(), list.join(", "))
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
