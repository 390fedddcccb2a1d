//! A server over streams, for many at once: each who connects has a thread and a service of its own, and waits for nobody else.
//!
//! It knows who is there, not what they ask for.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::complaints::complain;
use super::limits;
use super::run::{self, Alarm, Alarms};
use super::service::Setup;
use crate::stops::Stops;
use crate::transport::ends::{Incoming, Outgoing};

/// After a connection that could not be taken, the next one is tried so much later: what is missing then is mostly memory.
const REST: Duration = Duration::from_millis(100);

/// What the thread of a client may use for its calls. A thousand of the usual size would be 2 GiB, which not everybody may have.
const STACK_BYTES: usize = 256 << 10;

enum Happened {
    Came(Incoming, Outgoing),
    Gone(u64),
    Stop,
}

/// Serves everybody whom `accept` brings, until a signal comes and all of them are done. It is called on a thread of its own,
/// and only while there is room for another.
pub fn run(
    setup: &Setup,
    stops: Stops,
    accept: impl Fn() -> io::Result<(Incoming, Outgoing)> + Send + 'static,
) -> io::Result<()> {
    let (sender, happened) = channel();
    let (permit, permits) = channel();
    for _ in 0..limits::clients_max() {
        let _ = permit.send(());
    }
    let stop = sender.clone();
    stops.forward(move || drop(stop.send(Happened::Stop)))?;
    let comers = sender.clone();
    thread::Builder::new().spawn(move || take_in(&permits, &accept, &comers))?;
    let mut clients: HashMap<u64, Alarm> = HashMap::new();
    let (mut number, mut stopping) = (0, false);
    for news in &happened {
        match news {
            // Whoever comes now finds the connection closed.
            Happened::Came(..) if stopping => {}
            Happened::Came(incoming, outgoing) => {
                number += 1;
                let room = Room(permit.clone());
                match serve(setup, number, incoming, outgoing, &sender, room) {
                    Ok(alarm) => drop(clients.insert(number, alarm)),
                    Err(error) => {
                        complain(format_args!("server: client {number} cannot be served: {error}"));
                    }
                }
            }
            Happened::Gone(number) => drop(clients.remove(&number)),
            Happened::Stop => {
                stopping = true;
                clients.values().for_each(Alarm::ring);
            }
        }
        if stopping && clients.is_empty() {
            break;
        }
    }
    Ok(())
}

fn take_in(permits: &Receiver<()>, accept: &impl Fn() -> io::Result<(Incoming, Outgoing)>, comers: &Sender<Happened>) {
    for () in permits {
        let (incoming, outgoing) = loop {
            match accept() {
                Ok(ends) => break ends,
                // Whoever was gone before it was accepted is no news.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    complain(format_args!("server: a connection could not be taken: {error}"));
                    thread::sleep(REST);
                }
            }
        };
        if comers.send(Happened::Came(incoming, outgoing)).is_err() {
            return;
        }
    }
}

/// Serves one client on a thread, which tells when it is gone.
fn serve(
    setup: &Setup,
    number: u64,
    incoming: Incoming,
    outgoing: Outgoing,
    events: &Sender<Happened>,
    room: Room,
) -> io::Result<Alarm> {
    let (alarms, alarm) = Alarms::rung()?;
    let (setup, events) = (setup.clone(), events.clone());
    thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _gone = Gone { number, events };
        if let Err(error) = run::run(&setup, alarms, incoming, outgoing, &format!("client {number}: "), room) {
            complain(format_args!("server: client {number}: the connection failed: {error}"));
        }
    })?;
    Ok(alarm)
}

/// The room that a client takes, with all that is under way for it, which may outlast it.
struct Room(Sender<()>);

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Tells that a client is gone, whatever became of its thread.
struct Gone {
    number: u64,
    events: Sender<Happened>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.events.send(Happened::Gone(self.number));
    }
}
