//! Steps of cases in which the suite plays the plugin of a host.

use super::sent;
use crate::cases::seen::{must_end, status_text, text};
use crate::chunk::Chunk;
use crate::event::{Event, Status, Who, shown};
use crate::outcome::{Outcome, Stop};
use crate::probe::plugin::Plugin;
use crate::stage::stated::Parent;
use crate::stage::{Run, Stage};

/// A host whose plugin the suite plays, and which has heard what that is.
pub(super) async fn played(stage: &Stage) -> Result<(Run, Plugin), Stop> {
    played_in(stage, Parent::played()).await
}

/// The same with a host that is started in another way.
pub(super) async fn played_in(stage: &Stage, how: Parent) -> Result<(Run, Plugin), Stop> {
    let run = stage.stated_parent(how).await?;
    let plugin = Plugin::join(stage, &run).await?;
    // Most ask what it is. One that does not is not waited for any longer.
    plugin.within(run.patience() / 20, |_, chunks| (!chunks.is_empty()).then_some(())).await;
    plugin.rests().await;
    Ok((run, plugin))
}

/// A line of the profile's form.
pub(super) fn line(form: &str, command: &str, text: &str) -> String {
    form.replace("{command}", command).replace("{text}", text)
}

/// Has the host ask its plugin.
pub(super) async fn type_call(stage: &Stage, run: &Run, command: &str, text: &str) -> Result<(), Stop> {
    Ok(run.line(&line(&stage.suite.profile.plugin.call, command, text)).await?)
}

/// The chunk of this command, which must come.
pub(super) async fn arrived(plugin: &Plugin, command: &str) -> Result<Chunk, Stop> {
    let come = plugin.until(|chunks| chunks.iter().find(|chunk| chunk.command == command.as_bytes()).cloned()).await;
    come.ok_or_else(|| Stop::failure(format!("a chunk with the command {command}, as it was typed"), sent(plugin)))
}

/// Has the host ask its plugin, and waits for the request, which must come.
pub(super) async fn call(stage: &Stage, plugin: &Plugin, command: &str) -> Result<Chunk, Stop> {
    type_call(stage, &plugin.run, command, &format!("text of {command}")).await?;
    arrived(plugin, command).await
}

/// These words are shown up to the end of a line. Another program in the terminal may have begun it.
pub(super) fn ends_a_line(events: &[Event], words: &str) -> bool {
    String::from_utf8_lossy(&shown(events, None))
        .split_inclusive('\n')
        .any(|line| line.trim_end().ends_with(words) && line.ends_with('\n'))
}

/// The line is shown, and nothing else in it.
pub(super) fn has_line(events: &[Event], line: &str) -> bool {
    String::from_utf8_lossy(&shown(events, None)).lines().any(|shown| shown.trim() == line)
}

/// The answer to what was asked is shown, which it must be.
pub(super) async fn must_show(stage: &Stage, plugin: &Plugin, command: &str, answer: &str) -> Result<(), Stop> {
    let expected = line(&stage.suite.profile.plugin.shows, command, answer);
    let shown = plugin.until_seen(|events, _| ends_a_line(events, &expected).then_some(())).await;
    shown.ok_or_else(|| Stop::failure(format!("a line `{expected}` is shown"), sent(plugin)))
}

/// A host comes to its end, has said something since, and fails.
pub(super) async fn fails(run: &Run, after: &str, before: usize) -> Outcome {
    let status = must_end(run, Who::Host, after).await?;
    run.outputs_closed().await;
    let said = run.record.look(|events| shown(events, None).split_off(before));
    if said.iter().any(u8::is_ascii_alphanumeric) && status != Some(Status::Exited(0)) {
        return Ok(());
    }
    let expected = format!("words, and an exit status that is not 0, after {after}");
    Err(Stop::failure(expected, format!("{}; {}", status_text(status), text(&said))))
}
