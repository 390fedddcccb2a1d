//! Starting: options, arguments, environment, and what must not be started.

use std::ffi::OsString;

use super::steps::{hello, same, text};
use crate::dialect::find;
use crate::event::{Event, Stream, What, Who, children, shown};
use crate::outcome::{Outcome, Stop};
use crate::probe::lesson::VARIABLE;
use crate::record::Record;
use crate::stage::watchdog::{SARGS, SERVER, Watchdog};
use crate::stage::{Run, Stage};
use crate::subject::handover::Hello;

crate::cases::cases! {
    "start.server" => server,
    "start.path-as-it-is" => path_as_it_is,
    "start.arguments" => arguments,
    "start.arguments-literal" => arguments_literal,
    "start.without-arguments" => without_arguments,
    "start.environment" => environment,
    "start.environment-exact" => environment_exact,
    "start.session" => session,
    "start.environment-once" => environment_once,
    "start.not-twice" => not_twice,
    "start.program-name" => program_name,
    "start.once" => once,
    "start.sp-missing" => sp_missing,
    "start.sp-relative" => sp_relative,
    "start.sp-absent" => sp_absent,
    "start.sp-not-executable" => sp_not_executable,
    "start.help" => help,
    "start.version" => version,
    "start.option-forms" => option_forms,
    "start.arguments-split" => arguments_split,
    "start.arguments-quoted" => arguments_quoted,
}

/// The watchdog starts the program whose absolute path follows `-sp`, at the latest for its first command.
async fn server(stage: &Stage) -> Outcome {
    let lesson = &stage.lesson;
    match (&lesson.hello, &lesson.failed) {
        (Some(_), _) => Ok(()),
        (None, Some(Stop::Harness(error))) => Err(Stop::Harness(error.clone())),
        (None, failed) => Err(Stop::failure(
            "the program named by -sp is started, at the latest for the first command",
            match failed {
                Some(Stop::Missing(why)) => why.clone(),
                _ => format!("it never was; shown: {}", text(&shown(&lesson.record.events(), None))),
            },
        )),
    }
}

/// Starts a watchdog and waits until its server starts, with a first command for those that start it late.
async fn started(stage: &Stage, how: Watchdog) -> Result<Option<Run>, Stop> {
    let run = stage.start(how).await?;
    run.line(&format!("doreq GET {}/wake {{}}", run.url)).await?;
    let begun = run.until(|events| {
        let gone = crate::event::ended(events, Who::Watchdog).is_some();
        (gone || !children(events).is_empty()).then(|| !children(events).is_empty())
    });
    Ok(begun.await.unwrap_or(false).then_some(run))
}

/// The server's own view of how it was started.
async fn started_as(stage: &Stage, how: Watchdog, expected: &str) -> Result<Hello, Stop> {
    let Some(run) = started(stage, how).await? else {
        return Err(Stop::failure(expected, "the server was not started"));
    };
    super::steps::arrival(&run, "wake").await;
    run.hello(0).ok_or_else(|| Stop::Harness("a started server left no account".into()))
}

/// The path after `-sp` is used as it is, whatever characters it holds.
async fn path_as_it_is(stage: &Stage) -> Outcome {
    let how = Watchdog { below: Some("a folder, $HOME & 'quotes'"), ..Watchdog::default() };
    started_as(stage, how, "a path that holds blanks, a comma, quotes and a dollar sign is used as it is")
        .await
        .map(drop)
}

/// What `-sargs` holds reaches the server among its arguments, in its order; how it is split into arguments is free.
async fn arguments(stage: &Stage) -> Outcome {
    holds_in_order(hello(stage)?, SARGS)?;
    let more = "zeta=1, alpha=22, state=, test=4";
    let expected = format!("with -sargs \"{more}\", the server is started");
    holds_in_order(&started_as(stage, Watchdog::with_sargs(more), &expected).await?, more)
}

/// Each entry of such a list stands among the arguments, after the one before it.
fn holds_in_order(hello: &Hello, sargs: &str) -> Outcome {
    let argv = hello.argv.get(1..).unwrap_or_default().join(&b' ');
    let after = |rest: &[u8], entry: &str| find(rest, entry.as_bytes()).map(|at| rest[at + entry.len()..].to_vec());
    match sargs.split(", ").try_fold(argv.clone(), |rest, entry| after(&rest, entry)) {
        Some(_) => Ok(()),
        None => {
            let expected = format!("with -sargs \"{sargs}\", its entries in this order among the server's arguments");
            Err(Stop::failure(expected, text(&argv)))
        }
    }
}

/// No character of `-sargs` is interpreted as a shell would.
async fn arguments_literal(stage: &Stage) -> Outcome {
    let literal = "~/a=$HOME;$(id)*~&|>x, /dev/nul? /dev/nul[l], ${HOME}`id` #c";
    let expected = format!("with -sargs '{literal}', those very characters in the server's arguments");
    let hello = started_as(stage, Watchdog::with_sargs(literal), &expected).await?;
    // At which marks a list is split is free. These a shell would have replaced, or taken for something to do.
    let handed_on = |part: &str| hello.argv.iter().skip(1).any(|arg| find(arg, part.as_bytes()).is_some());
    let parts = ["~/a", "$HOME", "$(id)*~", ">x", "/dev/nul?", "/dev/nul[l]", "${HOME}", "`id`", "#c"];
    if parts.into_iter().all(handed_on) {
        Ok(())
    } else {
        Err(Stop::failure(expected, text(&hello.argv.get(1..).unwrap_or_default().join(&b' '))))
    }
}

/// The server is started when `-sargs` is left out.
async fn without_arguments(stage: &Stage) -> Outcome {
    let how = Watchdog { terminal: true, ..Watchdog::with(&["-sp", SERVER]) };
    started_as(stage, how, "the server is started when -sargs is left out").await.map(drop)
}

/// The variables of the watchdog's environment are in the server's.
async fn environment(stage: &Stage) -> Outcome {
    let entry = format!("{}={}", VARIABLE.0, VARIABLE.1);
    if hello(stage)?.env.iter().any(|e| e == entry.as_bytes()) {
        return Ok(());
    }
    let same_name = |e: &&Vec<u8>| e.starts_with(VARIABLE.0.as_bytes());
    let seen = hello(stage)?.env.iter().find(same_name);
    Err(Stop::failure(
        format!("`{entry}` of the watchdog's environment in the server's"),
        seen.map_or_else(|| "no such variable".to_owned(), |e| text(e)),
    ))
}

/// Inherited variables keep their values, whatever text these are: blanks, equals signs, line ends, quotes, none at all and
/// very much included; long names and small letters in them too.
async fn environment_exact(stage: &Stage) -> Outcome {
    let long = format!("CONFORMANCE_{}={}", "LONG_".repeat(20), "long ".repeat(2000));
    let entries = [
        "CONFORMANCE_BLANKS=  two  blanks ",
        "CONFORMANCE_EQUALS=a=b==c",
        "CONFORMANCE_EMPTY=",
        "CONFORMANCE_LINES=one\ntwo",
        "CONFORMANCE_QUOTES='\"$HOME`",
        "CONFORMANCE_WORDS=значение",
        "conformance_lower_2=case",
        &long,
    ];
    let how = Watchdog { env: entries.iter().map(OsString::from).collect(), ..Watchdog::default() };
    let hello = started_as(stage, how, "the server is started").await?;
    for entry in entries {
        if !hello.env.iter().any(|e| e == entry.as_bytes()) {
            let name = entry.split('=').next().unwrap_or_default();
            let seen = hello.env.iter().find(|e| e.starts_with(name.as_bytes()));
            return Err(Stop::failure(
                format!("the entry {} in the server's environment", text(entry.as_bytes())),
                seen.map_or_else(|| "no such variable".to_owned(), |e| text(e)),
            ));
        }
    }
    Ok(())
}

/// No variable reaches the server twice.
async fn environment_once(stage: &Stage) -> Outcome {
    let name = |entry: &[u8]| entry.split(|b| *b == b'=').next().unwrap_or_default().to_vec();
    let mut names: Vec<_> = hello(stage)?.env.iter().map(|entry| name(entry)).collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Stop::failure("no variable reaches the server twice", text(&pair[0]))),
    }
}

/// When the server cannot be executed, no second watchdog goes on in its place.
async fn not_twice(stage: &Stage) -> Outcome {
    // Its first line names an interpreter that is nowhere: it may be executed, and cannot be.
    let other = Some("#!/no/such/interpreter\n");
    let run = stage.start(Watchdog { other, ..Watchdog::with(&["-sp", &format!("{SERVER}-other")]) }).await?;
    run.line("setproc 1").await?;
    run.line("exit").await?;
    // The input stays open: a second watchdog would wait for the next line.
    super::steps::must_end(&run, Who::Watchdog, "a server that cannot be executed, and `exit`").await?;
    match run.left()?.first() {
        None => Ok(()),
        Some(left) => Err(Stop::failure(
            "no second watchdog goes on when the server cannot be executed",
            format!("`{}` is still running", left.command),
        )),
    }
}

/// One watchdog takes commands for its server until it is told to end.
async fn session(stage: &Stage) -> Outcome {
    let events = stage.lesson.record.events();
    let typed = |e: &Event, line: &[u8]| matches!(&e.what, What::Typed { bytes } if bytes == line);
    let exit = events.iter().position(|e| typed(e, b"exit\n")).unwrap_or(events.len());
    let early = events[..exit].iter().find(|e| matches!(e.what, What::Ended { who: Who::Watchdog, .. }));
    match early {
        None => Ok(()),
        Some(_) => Err(Stop::failure(
            "the watchdog stays for the next command",
            format!("it ended before `exit`; shown: {}", text(&shown(&events, None))),
        )),
    }
}

/// The server's first argument is its own name or path.
async fn program_name(stage: &Stage) -> Outcome {
    let name = hello(stage)?.argv.first().cloned().unwrap_or_default();
    let last = name.rsplit(|b| *b == b'/').next().unwrap_or_default();
    if last == b"server" {
        return Ok(());
    }
    Err(Stop::failure("the server's first argument is its name or path, `…/server`", text(&name)))
}

/// The server is started once in an undisturbed session.
async fn once(stage: &Stage) -> Outcome {
    let starts = stage.lesson.record.look(|events| children(events).len());
    same("starts of the server in an undisturbed session", 1, starts)
}

/// The watchdog must refuse to start anything: say why, exit with status 2.
async fn refuses(stage: &Stage, how: Watchdog, about: &str) -> Outcome {
    let run = stage.start(how).await?;
    // Whoever reads commands nevertheless comes to their end.
    run.close_input().await?;
    let status = super::steps::must_end(&run, Who::Watchdog, about).await?;
    super::steps::must_close(&run).await?;
    let (complaint, starts) = run.record.look(|events| (shown(events, Some(Stream::Stderr)), children(events).len()));
    if starts > 0 {
        return Err(Stop::failure(format!("nothing is started with {about}"), "a server was started"));
    }
    if complaint.trim_ascii().is_empty() {
        return Err(Stop::failure(format!("standard error says what is wrong with {about}"), "nothing"));
    }
    super::steps::exits_with(status, 2, about)
}

/// A watchdog without `-sp` says so on standard error, starts nothing and exits with status 2.
async fn sp_missing(stage: &Stage) -> Outcome {
    refuses(stage, Watchdog::with(&[]), "no -sp").await
}

/// A relative path after `-sp` is refused on standard error, nothing is started, and the status is 2.
async fn sp_relative(stage: &Stage) -> Outcome {
    // A stand-in of this name is there, in the working folder: starting it would show.
    refuses(stage, Watchdog::with(&["-sp", "server"]), "a relative path").await
}

/// A path where nothing is, is refused on standard error with status 2.
async fn sp_absent(stage: &Stage) -> Outcome {
    refuses(stage, Watchdog::with(&["-sp", "/nonexistent/server"]), "a path where nothing is").await
}

/// A file that is not executable is refused on standard error with status 2.
async fn sp_not_executable(stage: &Stage) -> Outcome {
    refuses(stage, Watchdog::with(&["-sp", "/etc/passwd"]), "a file that is not executable").await
}

/// The watchdog shows something on standard output and exits with status 0.
async fn tells(stage: &Stage, option: &str) -> Result<(Run, String), Stop> {
    let run = stage.start(Watchdog::with(&[option])).await?;
    run.close_input().await?;
    let status = super::steps::must_end(&run, Who::Watchdog, option).await?;
    super::steps::must_close(&run).await?;
    super::steps::exits_with(status, 0, option)?;
    let said = out(&run.record);
    Ok((run, said))
}

fn out(record: &Record) -> String {
    String::from_utf8_lossy(&record.look(|events| shown(events, Some(Stream::Stdout)))).into_owned()
}

/// `--help` explains `-sp` and `-sargs` on standard output and exits with status 0.
async fn help(stage: &Stage) -> Outcome {
    let (_, said) = tells(stage, "--help").await?;
    if said.contains("-sp") && said.contains("-sargs") {
        return Ok(());
    }
    Err(Stop::failure("--help explains -sp and -sargs on standard output", text(said.as_bytes())))
}

/// `--version` prints one line with a number and exits with status 0.
async fn version(stage: &Stage) -> Outcome {
    let (_, said) = tells(stage, "--version").await?;
    if said.trim().lines().count() == 1 && said.contains(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    Err(Stop::failure("--version prints one line with a number on standard output", text(said.as_bytes())))
}

/// `-sp=PATH` and `--sp PATH` mean the same as `-sp PATH`.
async fn option_forms(stage: &Stage) -> Outcome {
    let joined = format!("-sp={SERVER}");
    for args in [vec![joined.as_str()], vec!["--sp", SERVER]] {
        let how = Watchdog { terminal: true, ..Watchdog::with(&args) };
        if started(stage, how).await?.is_none() {
            return Err(Stop::failure(format!("the server is started with {}", args.join(" ")), "it was not"));
        }
    }
    Ok(())
}

fn argv_is(hello: &Hello, sargs: &str, expected: &[&str]) -> Outcome {
    let seen: Vec<String> = hello.argv.iter().skip(1).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
    // What the watchdog adds for itself, such as the numbers of its pipes, stands before or after the list.
    if seen.windows(expected.len()).any(|list| list == expected) {
        return Ok(());
    }
    Err(Stop::failure(format!("with -sargs {sargs:?}, the arguments {expected:?}"), format!("{seen:?}")))
}

/// `-sargs` is split at commas; blanks around an argument are dropped, and so are empty arguments.
async fn arguments_split(stage: &Stage) -> Outcome {
    argv_is(hello(stage)?, SARGS, &["state=c", "test=123"])?;
    let sargs = " , first,, second words\t,";
    let hello = started_as(stage, Watchdog::with_sargs(sargs), "the server is started").await?;
    argv_is(&hello, sargs, &["first", "second words"])
}

/// Quotes in `-sargs` keep commas and blanks inside an argument.
async fn arguments_quoted(stage: &Stage) -> Outcome {
    let sargs = r#" "a b" , 'c, d',, plain,"#;
    let hello = started_as(stage, Watchdog::with_sargs(sargs), "the server is started").await?;
    argv_is(&hello, sargs, &["a b", "c, d", "plain"])
}
