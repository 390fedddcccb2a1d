//! A dialect is learned, or not, from whatever passed through two pipes and was shown: the first byte of each piece of
//! the input says where it went.
#![no_main]

use conformance::dialect::Dialect;
use conformance::dialect::learn::{self, Command, Line, Tokens};
use conformance::event::{Event, Stream, What, Who};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pieces = bytes.split(|byte| *byte == 0xff).filter(|piece| !piece.is_empty());
    let events: Vec<_> = pieces.enumerate().map(|(at, piece)| {
        let bytes = piece[1..].to_vec();
        let what = match piece[0] % 5 {
            0 => What::Passed { to: Who::Server(0), fd: 3, bytes },
            1 => What::Passed { to: Who::Watchdog, fd: 4, bytes },
            2 => What::Passed { to: Who::Watchdog, fd: 2, bytes },
            3 => What::Typed { bytes },
            _ => What::Shown { stream: Stream::Terminal, bytes },
        };
        Event { at_us: at as u64, what }
    }).collect();
    let line = |command, token: &str| Line { command, token: token.to_owned() };
    let lines = [
        line(Command::SetMemory, "805306368"),
        line(Command::SetProcessors, "32"),
        line(Command::SetProcessors, "16"),
        line(Command::Request, "learn-post"),
        line(Command::Exit, "exit"),
    ];
    let tokens = Tokens { body: "answer".into(), status: 203 };
    let learned = learn::learn(&events, &lines, &tokens);
    let text = toml::to_string(&learned.dialect).expect("a dialect has a TOML form");
    assert_eq!(toml::from_str::<Dialect>(&text).expect("which can be read"), learned.dialect);
});
