//! A profile: which requirements are graded, and a dialect that is stated rather than learned. A TOML file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::chunk::Order;
use crate::dialect::Dialect;
use crate::dialect::datagram::Form;
use crate::family::Family;
use crate::spec::{Requirement, Source, requirements};

/// What an instructor or an engineer fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, for reports; without one, its file's.
    #[serde(default)]
    pub name: String,
    /// The kinds of source whose requirements are graded; the others give advice.
    #[serde(default = "by_default")]
    pub grades: Vec<Grade>,
    /// Requirements, or areas, that are not run at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// What a watchdog is started with before all that it is started for, `-sp` and `-sargs` among it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watchdog: Vec<String>,
    /// What the models file fixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// How the programs of a control pipe are called.
    #[serde(default, skip_serializing_if = "Control::is_usual")]
    pub control: Control,
    /// How a host and its plugin are called, and what they can be asked for.
    #[serde(default, skip_serializing_if = "Plugin::is_usual")]
    pub plugin: Plugin,
    /// How a server and a client are called that meet at an address, and what they say to each other.
    #[serde(default, skip_serializing_if = "Sockets::is_usual")]
    pub sockets: Sockets,
}

/// How a supervisor and a service are called, and what the service's tasks are called. `{fd}` stands for a pipe's number; an
/// option may be several words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// What a supervisor is started with; `{service}` stands for the service's path. Arguments for the service follow.
    pub supervisor: Vec<String>,
    /// What a service is started with whatever it is started for.
    pub service: Vec<String>,
    /// What tells a service the number of the pipe whose end ends it.
    pub receive: String,
    /// What tells it the number of the pipe that it tells of itself through.
    pub send: String,
    /// What asks it for lifetime events.
    pub events: String,
    /// What it starts, in this order.
    pub tasks: Vec<Task>,
}

/// What a service starts and stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its number in lifetime events.
    pub id: u8,
    /// What it is.
    pub name: String,
}

impl Default for Control {
    /// As the program of the description has it.
    fn default() -> Self {
        let task = |id, name: &str| Task { id, name: name.to_owned() };
        Control {
            supervisor: vec!["{service}".to_owned()],
            service: Vec::new(),
            receive: "--piperx={fd}".to_owned(),
            send: "--pipetx={fd}".to_owned(),
            events: "--lifetimeevents".to_owned(),
            tasks: vec![task(0, "database"), task(1, "peer-to-peer server")],
        }
    }
}

impl Control {
    fn is_usual(&self) -> bool {
        *self == Control::default()
    }
}

/// How a host and its plugin are called, what is typed to the host, and what the two can be asked for. An empty command is one
/// that there is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plugin {
    /// What a host is started with; `{plugin}` stands for the plugin's path.
    pub host: Vec<String>,
    /// What a plugin is started with, before it is told the numbers of its pipes.
    pub plugin: Vec<String>,
    /// How it is told those: `{reads}` and `{writes}` stand for them.
    pub numbers: String,
    /// The order of a chunk's parts.
    pub order: Order,
    /// What a plugin answers with what it was sent.
    pub echo: String,
    /// What it answers with an error in the words that it was sent.
    pub fail: String,
    /// For what it asks its host for `repeat`, with what it was sent, and answers with the host's answer.
    pub back: String,
    /// What a host answers with what it was sent.
    pub repeat: String,
    /// The line with which a host is made to ask its plugin: `{command}` and `{text}` stand for what.
    pub call: String,
    /// The line with which it is made to tell its plugin something that is not answered.
    pub notify: String,
    /// The line in which it shows an answer: `{command}` and `{text}` stand for what was asked, and for the answer.
    pub shows: String,
}

impl Default for Plugin {
    /// As the programs of this project have it.
    fn default() -> Self {
        Plugin {
            host: vec!["{plugin}".to_owned()],
            plugin: Vec::new(),
            numbers: "{reads} {writes}".to_owned(),
            order: Order::default(),
            echo: "echo".to_owned(),
            fail: "fail".to_owned(),
            back: "back".to_owned(),
            repeat: "repeat".to_owned(),
            call: "call {command} {text}".to_owned(),
            notify: "notify {command} {text}".to_owned(),
            shows: "{command}: {text}".to_owned(),
        }
    }
}

impl Plugin {
    /// What is wrong with it, if anything is: what would make every program fail, whatever it does.
    fn problem(&self) -> Option<String> {
        let host = self.host.join(" ");
        let parts = [
            ("host", &host, "{plugin}"),
            ("numbers", &self.numbers, "{reads}"),
            ("numbers", &self.numbers, "{writes}"),
            ("call", &self.call, "{command}"),
            ("call", &self.call, "{text}"),
            ("notify", &self.notify, "{command}"),
            ("notify", &self.notify, "{text}"),
            ("shows", &self.shows, "{text}"),
        ];
        let lacks = lacking(&parts);
        let commands = [("echo", &self.echo), ("repeat", &self.repeat), ("fail", &self.fail), ("back", &self.back)];
        let is_command = |command: &str| command.bytes().all(|byte| byte > b' ');
        let wrong = commands.into_iter().find(|(_, command)| !is_command(command));
        let missing = commands[..2].iter().find(|(_, command)| command.is_empty());
        lacks
            .or_else(|| wrong.map(|(name, command)| format!("{name}: expected no blanks in it, found `{command}`")))
            .or_else(|| missing.map(|(name, _)| format!("{name}: expected a command, found none")))
    }

    fn is_usual(&self) -> bool {
        *self == Plugin::default()
    }
}

/// How a server that listens and a client that connects are called, how addresses are written, and what the two say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sockets {
    /// What a server is started with; `{address}` stands for where it is to listen.
    pub server: Vec<String>,
    /// What a client is started with; `{address}` stands for where it is to connect.
    pub client: Vec<String>,
    /// What a client is started with that is to wait for its connection for `{ms}` milliseconds at most. Empty where it cannot be
    /// told.
    pub client_that_waits: Vec<String>,
    /// What a server is started with that is to be at `{own}`, for a peer at `{other}` alone. Empty where there is no such.
    pub peer: Vec<String>,
    /// How a path is written as an address: `{path}` stands for it. Empty where there are no such.
    pub unix: String,
    /// How an internet address for streams is written: `{port}` stands for the port, behind the host. Empty where there are no
    /// such.
    pub tcp: String,
    /// How a path for datagrams is written. Empty where there are no such.
    pub unix_datagram: String,
    /// How an internet address for datagrams is written. Empty where there are no such.
    pub udp: String,
    /// What is in a datagram: the number of a request and of its answer, which are counted from 1, for `{number}`, a number
    /// that the asking side has chosen for itself, if there is one, for `{session}`, and the message for `{message}`. Whoever
    /// asks says with an empty message that it will ask no more, and gets one with the number 0; whoever answers says with
    /// one that it is at it.
    pub datagram: String,
    /// The line in which a server shows where it listens, once it does; `{address}` stands for that. It is told port 0.
    pub listening: String,
    /// A message that is answered at once; `{number}` stands for a number that its answer has too.
    pub request: String,
    /// Its answer.
    pub answer: String,
    /// What both end with, and nothing else has in it.
    pub end: String,
    /// A message that is answered when `{url}` is, with that one's body somewhere in the answer.
    pub slow: String,
    /// The line with which a client is made to send `request`.
    pub typed: String,
    /// What it shows for the answer.
    pub shows: String,
    /// A line that makes it send a request in which `{text}` is, however long that is. Empty where there is none.
    pub typed_long: String,
    /// The line with which it is made to leave.
    pub leave: String,
    /// Whether a client sends what is typed next before it has the answer to what was typed first, in datagrams.
    pub asks_ahead: bool,
    /// So long, in ms, a client asks at most that gets no answer in a datagram.
    pub gives_up_ms: u64,
}

impl Default for Sockets {
    /// As the programs of this project have it.
    fn default() -> Self {
        Sockets {
            server: vec!["--listen".to_owned(), "{address}".to_owned()],
            client: vec!["-connect".to_owned(), "{address}".to_owned()],
            client_that_waits: Vec::new(),
            peer: Vec::new(),
            unix: "unix:{path}".to_owned(),
            tcp: "tcp:127.0.0.1:{port}".to_owned(),
            unix_datagram: String::new(),
            udp: String::new(),
            datagram: "{session} {number} {message}".to_owned(),
            listening: "listening on {address}".to_owned(),
            request: "1{Value: {number}}#".to_owned(),
            answer: "1{Value: {number}}#".to_owned(),
            end: "#".to_owned(),
            slow: "3{Method: \"GET\", URL: \"{url}\"}#".to_owned(),
            typed: "setmeml {number}".to_owned(),
            shows: "memory limit: {number} bytes".to_owned(),
            typed_long: "doreq GET http://127.0.0.1/{text}".to_owned(),
            leave: "exit".to_owned(),
            asks_ahead: true,
            gives_up_ms: 30_000,
        }
    }
}

impl Sockets {
    /// What is wrong with it, if anything is: what would make every program fail, whatever it does.
    fn problem(&self) -> Option<String> {
        let (server, client) = (self.server.join(" "), self.client.join(" "));
        let (waits, peer) = (self.client_that_waits.join(" "), self.peer.join(" "));
        let parts = [
            ("server", &server, "{address}"),
            ("client", &client, "{address}"),
            ("client_that_waits", &waits, "{address}"),
            ("client_that_waits", &waits, "{ms}"),
            ("peer", &peer, "{own}"),
            ("peer", &peer, "{other}"),
            ("unix", &self.unix, "{path}"),
            ("tcp", &self.tcp, "{port}"),
            ("unix_datagram", &self.unix_datagram, "{path}"),
            ("udp", &self.udp, "{port}"),
            ("listening", &self.listening, "{address}"),
            ("request", &self.request, "{number}"),
            ("answer", &self.answer, "{number}"),
            ("slow", &self.slow, "{url}"),
            ("typed", &self.typed, "{number}"),
            ("shows", &self.shows, "{number}"),
            ("typed_long", &self.typed_long, "{text}"),
        ];
        let may_be_empty =
            |name: &str| !matches!(name, "server" | "client" | "listening" | "request" | "answer" | "typed" | "shows");
        let written = parts.into_iter().filter(|(name, form, _)| !(form.is_empty() && may_be_empty(name)));
        let lacks = lacking(&written.collect::<Vec<_>>());
        let ends = [("request", &self.request), ("answer", &self.answer), ("slow", &self.slow)];
        let is_message = |form: &str| form.ends_with(&self.end) && form.matches(&self.end).count() == 1;
        let endless = ends.into_iter().find(|(_, form)| !form.is_empty() && !is_message(form));
        lacks
            .or_else(|| self.datagram.parse::<Form>().err().map(|problem| format!("datagram: {problem}")))
            .or_else(|| self.end.is_empty().then(|| "end: expected what a message ends with, found nothing".to_owned()))
            .or_else(|| {
                endless.map(|(name, form)| {
                    format!("{name}: expected {} at its end and nowhere else, found `{form}`", self.end)
                })
            })
    }

    fn is_usual(&self) -> bool {
        *self == Sockets::default()
    }
}

/// The first form, by its name, that lacks the part that has to be in it, in words.
fn lacking(parts: &[(&str, &String, &str)]) -> Option<String> {
    let (name, form, part) = parts.iter().find(|(_, form, part)| !form.contains(part))?;
    Some(format!("{name}: expected {part} in it, found `{form}`"))
}

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// The assignment's own sentences.
    Assignment,
    /// The notes on Go and processes.
    Notes,
    /// The description of a control pipe.
    Control,
    /// The description of a plugin connection.
    Plugin,
    /// The chapter on sockets.
    Sockets,
    /// This project's rules.
    House,
}

impl Grade {
    /// Whether there is anything of this kind that a pair of the family is held to.
    pub fn concerns(self, family: Family) -> bool {
        match self {
            Grade::Assignment | Grade::Notes => family == Family::Watchdog,
            Grade::Control => family == Family::Control,
            Grade::Plugin => family == Family::Plugin,
            Grade::Sockets => family == Family::Sockets,
            Grade::House => true,
        }
    }
}

/// What a document states of its own family is graded.
fn by_default() -> Vec<Grade> {
    vec![Grade::Assignment, Grade::Control, Grade::Plugin, Grade::Sockets]
}

impl Default for Profile {
    /// Silence of the documents is freedom: only what they state is graded, and nothing else is stated.
    fn default() -> Self {
        Profile {
            name: "none".to_owned(),
            grades: by_default(),
            skip: Vec::new(),
            watchdog: Vec::new(),
            dialect: None,
            control: Control::default(),
            plugin: Plugin::default(),
            sockets: Sockets::default(),
        }
    }
}

impl Profile {
    /// Reads a file; the error names it and says what is wrong.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("profile {}: {e}", path.display()))?;
        let mut profile: Profile = toml::from_str(&text).map_err(|e| format!("profile {}: {e}", path.display()))?;
        if profile.name.is_empty() {
            profile.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        if let Some(problem) = profile.plugin.problem() {
            return Err(format!("profile {}: [plugin] {problem}", path.display()));
        }
        if let Some(problem) = profile.sockets.problem() {
            return Err(format!("profile {}: [sockets] {problem}", path.display()));
        }
        let all = requirements();
        // A typing error here would grade what was to be left out, and nobody would notice.
        match profile.skip.iter().find(|skip| !all.iter().any(|r| matches(r, skip))) {
            None => Ok(profile),
            Some(unknown) => {
                let file = path.display();
                Err(format!(
                    "profile {file}: skip `{unknown}`: expected a requirement's id or an area; --list shows them"
                ))
            }
        }
    }

    /// The requirement counts for the exit status.
    pub fn grades(&self, requirement: &Requirement) -> bool {
        match requirement.source {
            Source::Assignment(_) => self.grades.contains(&Grade::Assignment),
            Source::Notes => self.grades.contains(&Grade::Notes),
            Source::Control => self.grades.contains(&Grade::Control),
            Source::Plugin => self.grades.contains(&Grade::Plugin),
            Source::Sockets => self.grades.contains(&Grade::Sockets),
            Source::House => self.grades.contains(&Grade::House),
            // Who states a dialect wants to know when it is not spoken.
            Source::Profile => true,
        }
    }

    /// How the two of a family are started, if a profile states that.
    pub fn command_lines(&self, family: Family) -> Option<CommandLines<'_>> {
        let (parent, child_path, child) = match family {
            // Whoever meets at an address has that in place of the other's path.
            Family::Watchdog | Family::Sockets => return None,
            Family::Control => (&self.control.supervisor, "{service}", &self.control.service),
            Family::Plugin => (&self.plugin.host, "{plugin}", &self.plugin.plugin),
        };
        Some(CommandLines { parent, child_path, child })
    }

    /// The requirement is to be run.
    pub fn selects(&self, requirement: &Requirement) -> bool {
        !self.skip.iter().any(|s| matches(requirement, s))
    }
}

/// What a parent and its child are started with, whatever they are started for.
#[derive(Debug, Clone, Copy)]
pub struct CommandLines<'a> {
    /// The parent.
    pub parent: &'a [String],
    /// What stands there for the child's path.
    pub child_path: &'static str,
    /// The child.
    pub child: &'a [String],
}

/// Whether `what` is the requirement's id or its area.
pub fn matches(requirement: &Requirement, what: &str) -> bool {
    requirement.id == what || requirement.area() == what
}
