//! A server at a path: whose that is, before, meanwhile and afterwards.

use super::{ends_badly_with, is_text, missing, reached, shown_after, started};
use crate::outcome::{Outcome, Stop};
use crate::probe::caller::Listening;
use crate::stage::Stage;
use crate::stage::addressed::{How, PATH};

crate::cases::cases! {
    "listen.stale" => stale,
    "listen.taken" => taken,
    "listen.foreign" => foreign,
    "listen.private" => private,
    "listen.removed" => removed,
}

/// Starts the server in a script, as `$!`, and waits until it shows that it listens.
const STARTED: &str =
    "mkfifo \"$folder/told\"\nexec 3<>\"$folder/told\"\n\"$server\" \"$@\" >&3 3>&- &\nread line <&3\n";

/// A server listens at a path that a killed one has left.
async fn stale(stage: &Stage) -> Outcome {
    for kind in stage.paths()? {
        let script = format!("{STARTED}kill -KILL $!\nwait $! 2>/dev/null\nexec 3>&-");
        let server = Listening::start_after(stage, kind, &script).await?;
        reached(stage, &server, 5).await?;
    }
    Ok(())
}

/// A server does not take a path at which another listens, and exits with a status that is not 0.
async fn taken(stage: &Stage) -> Outcome {
    for kind in stage.paths()? {
        // Another one is started when the first one is there.
        let script = format!(
            "( while ! [ -S \"$folder/{PATH}\" ]; do :; done; \"$server\" \"$@\" >\"$folder/said\" 2>&1; echo \"another: $?\" >&2 ) &"
        );
        let server = Listening::start_after(stage, kind, &script).await.map_err(missing)?;
        reached(stage, &server, 5).await.map_err(missing)?;
        let status = shown_after(&server.run, "another: ").await?;
        ends_badly_with(&status)?;
        reached(stage, &server, 6).await?;
    }
    Ok(())
}

/// What is no socket is left alone where a server is to listen, and it exits with a status that is not 0.
async fn foreign(stage: &Stage) -> Outcome {
    for kind in stage.paths()? {
        let script = format!(
            "echo letter >\"$folder/{PATH}\"\n\"$server\" \"$@\" >\"$folder/said\" 2>&1\n\
             echo \"another: $?\"\necho \"file: $(cat \"$folder/{PATH}\")\"\nexit 0"
        );
        let run = stage.server_at(kind, How { after: &script, ..How::default() }).await?;
        let status = shown_after(&run, "another: ").await?;
        is_text("the file", "letter", &shown_after(&run, "file: ").await?)?;
        ends_badly_with(&status)?;
    }
    Ok(())
}

/// The path of a server can be used by its owner alone.
async fn private(stage: &Stage) -> Outcome {
    for kind in stage.paths()? {
        let server = started(stage, kind).await?;
        let mode = server.run.record.answer("the mode of its path", || {
            server.path().and_then(|at| at.mode()).map_err(|error| error.to_string())
        });
        let mode = mode.map_err(|error: String| Stop::Missing(format!("its path: {error}")))?;
        if mode & 0o077 != 0 {
            return Err(Stop::failure("a path that only its owner can use", format!("mode {mode:04o}")));
        }
    }
    Ok(())
}

/// When a server has ended in order, its path is gone.
async fn removed(stage: &Stage) -> Outcome {
    for kind in stage.paths()? {
        let script = format!(
            "{STARTED}kill -ALRM $!\nwait $!\n\
             if [ -e \"$folder/{PATH}\" ]; then echo 'path: there'; else echo 'path: gone'; fi\nexit 0"
        );
        let run = stage.server_at(kind, How { after: &script, ..How::default() }).await?;
        is_text("the path", "gone", &shown_after(&run, "path: ").await?)?;
    }
    Ok(())
}
