//! The plugin's program: reads its options, takes over its pipes, serves its host, and says how that ended.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use reference::plugin::command::parse_load;
use reference::plugin::options::{PluginOptions, order};
use reference::plugin::{Ended, Ends, Handlers, Limits, Peer, Request, Served, load};

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            say(&format!("error: {why}"));
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(run(PluginOptions::parse()));
    // Where pipes are read on threads of their own, one may wait for a host that says nothing more and lives.
    runtime.shutdown_background();
    status
}

async fn run(options: PluginOptions) -> ExitCode {
    let ends = match (options.reads, options.writes) {
        (Some(reads), Some(writes)) => Ends::inherited(reads, writes),
        _ => Ends::standard(),
    };
    let ends = match ends {
        Ok(ends) => ends,
        Err(why) => {
            say(&format!("error: {why}"));
            return ExitCode::from(2);
        }
    };
    let limits = Limits { handlers: options.handlers.into(), ..Limits::default() };
    let served = Served { order: order(options.described), limits, ping_within: options.ping_within() };
    match served.serve(ends, handlers(), connected).await {
        Ended::Stopped => ExitCode::SUCCESS,
        why => {
            say(&format!("error: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Whoever is connected to a host wants to know to which.
async fn connected(host: Peer) {
    match host.call("GetHost", "").await {
        Ok(name) => say(&format!("connected to {}", name.escape_ascii())),
        Err(why) => say(&format!("connected to a host that does not say what it is: {why}")),
    }
}

/// In one write, since the host may write to the same terminal. There is nobody to tell that it could not be said.
fn say(words: &str) {
    let _ = std::io::stderr().write_all(format!("plugin: {words}\n").as_bytes());
}

fn handlers() -> Handlers {
    Handlers::new()
        .metadata([("Cmd", "plugin"), ("Help", "echo, fail, wait, back, load, crash")])
        .on("echo", |request: Request| async { Ok::<_, String>(request.buffer) })
        .on("fail", |request: Request| async move { Err(text(&request.buffer)) })
        .on("wait", |request: Request| async move {
            let time = text(&request.buffer);
            let millis = time.parse().map_err(|_| format!("expected a number of milliseconds, found {time:?}"))?;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok::<_, String>(request.buffer)
        })
        .on("back", |request: Request| async move { request.peer.call("repeat", request.buffer).await })
        .on("load", |request: Request| async move {
            let load = parse_load(&text(&request.buffer))?;
            load::run(&request.peer, "repeat", load, || ()).await.map_err(|why| why.to_string())?;
            Ok::<_, String>(request.buffer)
        })
        .on("crash", |_| async { std::process::exit(3) as Result<_, String> })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
