//! Steps of cases about what a parent gives its child when it starts it, where the suite plays the child.

use crate::cases::seen::{must_end, state, status_text, text};
use crate::event::{Status, shown};
use crate::outcome::{Outcome, Stop};
use crate::stage::stated::Parent;
use crate::stage::{Run, Stage};
use crate::subject::handover::{Descriptor, Hello, Order};

/// What the child was given, once its parent has started it.
pub(super) async fn handed(stage: &Stage, how: Parent) -> Result<(Run, Hello), Stop> {
    let run = stage.stated_parent(how).await?;
    let expected = || format!("a {} that is started", run.child());
    let hello = run.first_child().await.ok_or_else(|| Stop::failure(expected(), state(&run)))?;
    // That is all that it is there for.
    run.drop_ends(0);
    run.order(0, &Order::Exit(0))?;
    Ok((run, hello))
}

/// Nothing is open in the child but standard input and outputs, and its own two ends.
pub(super) fn nothing_but(run: &Run, hello: &Hello, [one, other]: [i32; 2]) -> Outcome {
    let is_own = |number: i32| (0..=2).contains(&number) || number == one || number == other;
    let others: Vec<_> = hello.descriptors.iter().filter(|one| !is_own(one.number)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let words = |one: &&Descriptor| {
        let end = hello.descriptors.iter().find(|own| is_own(own.number) && own.identity == one.identity);
        let of = end.map_or_else(String::new, |own| format!(", an end of what is {} as well", own.number));
        format!("{} ({:?}{of})", one.number, one.kind)
    };
    let seen = others.iter().map(words).collect::<Vec<_>>().join(", ");
    Err(Stop::failure(format!("nothing is open in the {} but 0 to 2, {one} and {other}", run.child()), seen))
}

/// A parent whose child is not there names it and fails.
pub(super) async fn missing_is_named(stage: &Stage, name: &str) -> Outcome {
    let run = stage.stated_parent(Parent { child: Some(format!("./{name}").into()), ..Parent::default() }).await?;
    let status = must_end(&run, run.child().parent(), &format!("its start, without a {}", run.child())).await?;
    run.outputs_closed().await;
    let said = run.record.look(|events| String::from_utf8_lossy(&shown(events, None)).into_owned());
    let expected = format!("words that name {name}, and an exit status that is not 0");
    if said.contains(name) && status.is_some() && status != Some(Status::Exited(0)) {
        return Ok(());
    }
    Err(Stop::failure(expected, format!("{}; {}", status_text(status), text(said.as_bytes()))))
}
