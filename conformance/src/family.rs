//! The families of pairs: which protocol the two speak, and what they are called.
//!
//! What a family's pair is held to stands in the specification, and how it is driven on the stage.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::event::Who;

/// The protocol that a pair speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// A command line and its server, which talk in frames that are learned.
    #[default]
    Watchdog,
    /// A supervisor and its service, with a control pipe between them.
    Control,
    /// A host and its plugin, which ask each other whatever they like over two pipes.
    Plugin,
    /// A server and the clients that connect to it; neither starts the other.
    Sockets,
}

impl fmt::Display for Family {
    /// As it is asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no family is hidden").get_name())
    }
}

impl Family {
    /// The one that starts the other, or connects to it.
    pub fn parent(self) -> Who {
        match self {
            Family::Watchdog => Who::Watchdog,
            Family::Control => Who::Supervisor,
            Family::Plugin => Who::Host,
            Family::Sockets => Who::Client,
        }
    }

    /// The one that is started, or connected to.
    pub fn child(self) -> Who {
        self.parent().child(0)
    }

    /// What the files of the two are called, the parent's first.
    pub fn file_names(self) -> [String; 2] {
        let names = match self {
            // A program of the name `host` is another one on most systems.
            Family::Plugin => ["plugin-host".to_owned(), "plugin".to_owned()],
            // The assignment's two, without what goes between them there.
            Family::Sockets => ["watchdog".to_owned(), "server".to_owned()],
            _ => [self.parent(), self.child()].map(|who| who.to_string()),
        };
        names.map(|name| name + std::env::consts::EXE_SUFFIX)
    }

    /// The suite can do on this system what it takes to judge a parent: give it a terminal, and stand in the pipes to its child.
    pub const PARENTS_ARE_JUDGED: bool = cfg!(unix);

    /// A child of it can be judged where no parent can.
    pub fn is_judged_everywhere(self) -> bool {
        matches!(self, Family::Control | Family::Plugin)
    }

    /// How the two speak differs from pair to pair, and is learned.
    pub fn has_dialects(self) -> bool {
        self == Family::Watchdog
    }

    /// A child may be judged that has no parent of its own: whoever starts it, starts it alike.
    pub fn is_judged_without_a_parent(self) -> bool {
        self != Family::Watchdog
    }
}
