//! The specification: every requirement, read from the TOML files in `conformance/spec`, one file an area.
//!
//! The files are compiled in. Reading them here fails only when a file breaks the rules that the tests hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::family::Family;

/// The areas of each family in the order of reports, each with its file. No two have the same name.
const AREAS: &[(Family, &[(&str, &str)])] = &[
    (
        Family::Watchdog,
        &[
            ("start", include_str!("../spec/start.toml")),
            ("command", include_str!("../spec/command.toml")),
            ("wire", include_str!("../spec/wire.toml")),
            ("descriptor", include_str!("../spec/descriptor.toml")),
            ("operation", include_str!("../spec/operation.toml")),
            ("request", include_str!("../spec/request.toml")),
            ("end", include_str!("../spec/end.toml")),
        ],
    ),
    (
        Family::Control,
        &[
            ("message", include_str!("../spec/message.toml")),
            ("lifetime", include_str!("../spec/lifetime.toml")),
            ("stop", include_str!("../spec/stop.toml")),
            ("supervise", include_str!("../spec/supervise.toml")),
        ],
    ),
    (
        Family::Plugin,
        &[
            ("plugin", include_str!("../spec/plugin.toml")),
            ("host", include_str!("../spec/host.toml")),
            ("connection", include_str!("../spec/connection.toml")),
        ],
    ),
    (
        Family::Sockets,
        &[
            ("listen", include_str!("../spec/listen.toml")),
            ("connect", include_str!("../spec/connect.toml")),
            ("datagram", include_str!("../spec/datagram.toml")),
            ("resend", include_str!("../spec/resend.toml")),
            ("peer", include_str!("../spec/peer.toml")),
        ],
    ),
];

/// One normative sentence.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Permanent: `area.name`.
    pub id: String,
    /// How binding it is.
    pub level: Level,
    /// Where it comes from.
    pub source: Source,
    /// The source's own words, where it is a document.
    #[serde(default)]
    pub quote: Option<String>,
    /// The sentence.
    pub sentence: String,
    /// Why it matters.
    pub rationale: String,
    /// Where it holds.
    #[serde(default = "everywhere")]
    pub platforms: Vec<Platform>,
    /// Requirements without which this one's point is not reached.
    #[serde(default)]
    pub after: Vec<String>,
    /// Why nobody outside can see whether it holds; then there is no case.
    #[serde(default)]
    pub untestable: Option<String>,
}

/// Words of a document that say something of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// The document, or the sentence of the assignment.
    pub source: Source,
    /// The words.
    pub quote: String,
    /// What they mean.
    pub meaning: String,
    /// Why nothing is asked of a pair here, where no requirement quotes it.
    #[serde(default)]
    pub beyond: Option<String>,
}

/// How binding a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A pair that does otherwise does not conform.
    Must,
    /// There may be reasons to do otherwise; the report warns.
    Should,
    /// Free.
    May,
}

/// Where a requirement comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// Sentence `D`n of the assignment.
    Assignment(u8),
    /// The notes on Go and processes.
    Notes,
    /// The description of a control pipe, in the comments of a program that has one.
    Control,
    /// The description of a plugin connection.
    Plugin,
    /// The chapter on sockets.
    Sockets,
    /// What this project fixes where the documents leave it open.
    House,
    /// A profile that states a dialect.
    Profile,
}

/// An operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Linux.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
}

impl Platform {
    /// The one that this suite was built for.
    pub const HERE: Platform = if cfg!(target_os = "linux") {
        Platform::Linux
    } else if cfg!(windows) {
        Platform::Windows
    } else {
        Platform::Macos
    };
}

fn everywhere() -> Vec<Platform> {
    vec![Platform::Linux, Platform::Macos, Platform::Windows]
}

impl Source {
    /// What the quoted words are taken from.
    pub fn document(&self) -> &'static str {
        match self {
            Source::Assignment(_) => "the assignment",
            Source::Notes => "the notes",
            Source::Control => "the control pipe's description",
            Source::Plugin => "the plugin connection's description",
            Source::Sockets => "the chapter on sockets",
            Source::House | Source::Profile => "this project",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
            Level::May => "MAY",
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Assignment(n) => write!(f, "D{n}"),
            Source::Notes => f.write_str("notes"),
            Source::Control => f.write_str("control"),
            Source::Plugin => f.write_str("plugin"),
            Source::Sockets => f.write_str("sockets"),
            Source::House => f.write_str("house"),
            Source::Profile => f.write_str("profile"),
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "notes" => Ok(Source::Notes),
            "control" => Ok(Source::Control),
            "plugin" => Ok(Source::Plugin),
            "sockets" => Ok(Source::Sockets),
            "house" => Ok(Source::House),
            "profile" => Ok(Source::Profile),
            _ => match text.strip_prefix('D').and_then(|n| n.parse().ok()) {
                Some(n @ 1..=14) => Ok(Source::Assignment(n)),
                _ => Err(format!("`{text}`: expected D1 to D14, notes, control, plugin, sockets, house or profile")),
            },
        }
    }
}

impl Requirement {
    /// The part of the id before the dot.
    pub fn area(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }

    /// The document's words that it comes from, as a person reads them: with their meaning.
    pub fn quotation(&self) -> Option<String> {
        let quote = self.quote.as_ref()?;
        let passage = passages().into_iter().find(|p| p.source == self.source && p.quote == *quote);
        let meaning = passage.map_or_else(String::new, |passage| format!(" ({})", passage.meaning));
        Some(format!("«{quote}»{meaning}"))
    }
}

/// What the documents say, in their order.
///
/// # Panics
/// As [`requirements`] does.
pub fn passages() -> Vec<Passage> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sources {
        passage: Vec<Passage>,
    }
    let sources: Result<Sources, _> = toml::from_str(include_str!("../spec/sources.toml"));
    sources.unwrap_or_else(|error| panic!("conformance/spec/sources.toml: {error}")).passage
}

/// Every requirement, family by family and area by area.
///
/// # Panics
/// As [`requirements_of`] does.
pub fn requirements() -> Vec<Requirement> {
    AREAS.iter().flat_map(|(family, _)| requirements_of(*family)).collect()
}

/// Every requirement of a family, area by area.
///
/// # Panics
/// When a file that was compiled in cannot be read as requirements; the tests hold that it can.
pub fn requirements_of(family: Family) -> Vec<Requirement> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Area {
        requirement: Vec<Requirement>,
    }
    let areas = AREAS.iter().filter(|(of, _)| *of == family).flat_map(|(_, areas)| *areas);
    let read = |(name, text): &(&str, &str)| {
        let area: Area = toml::from_str(text).unwrap_or_else(|error| panic!("conformance/spec/{name}.toml: {error}"));
        area.requirement
    };
    areas.flat_map(read).collect()
}
