//! From a recorded session to a dialect: which bytes are the messages, where they end, what they begin with.
//!
//! The session's lines are known, each with a word that can be found again in what is sent for it. Nothing
//! here runs anything: the same record gives the same dialect.

use super::payload::{self, Form};
use super::prints::learn_prints;
use super::replies::learn_replies;
use super::{Dialect, Inside, Symbol, cut, find};
use crate::event::{Event, What, Who, passed};

/// A line that was typed while learning.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its command.
    pub command: Command,
    /// A word of it that shows in its message, unless that is opaque.
    pub token: String,
}

/// The commands of the assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `setmeml`
    SetMemory,
    /// `setproc`
    SetProcessors,
    /// `doreq`
    Request,
    /// `exit`
    Exit,
}

/// The words that the target answered with while learning.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The answer's body.
    pub body: String,
    /// The answer's status.
    pub status: u16,
}

/// What was learned, and which message was sent for which line.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// The dialect.
    pub dialect: Dialect,
    /// The message of each line, without its end; `None` where none was found.
    pub messages: Vec<Option<Vec<u8>>>,
    /// Messages that belong to no line that was typed.
    pub others: Vec<Vec<u8>>,
    /// Those of them that were sent before any that belongs to a line.
    pub before: Vec<Vec<u8>>,
    /// Those of them that were sent between two that belong to lines.
    pub between: Vec<Vec<u8>>,
    /// Every line's word stands in the bytes, in the order of the lines: what was sent can be read.
    pub readable: bool,
    /// Bytes after the last message.
    pub rest: Vec<u8>,
    /// Every reply.
    pub replies: Vec<Vec<u8>>,
}

/// Learns from the whole record of a session in which `lines` were typed.
pub fn learn(events: &[Event], lines: &[Line], tokens: &Tokens) -> Learned {
    let mut learned = Learned { messages: vec![None; lines.len()], ..Learned::default() };
    let server = Who::Server(0);
    let mut reads = descriptors(events, server);
    // The stream with the most that can be told apart is the one with the messages.
    reads.sort_by_key(|fd| std::cmp::Reverse(passed(events, server, *fd).len()));
    for fd in reads {
        let stream = passed(events, server, fd);
        learned.readable |= stands_in_order(&stream, lines);
        if let Some(aligned) = align(&stream, lines) {
            learned.dialect.wiring.read = Some(fd);
            aligned.tell(&mut learned, lines);
            break;
        }
    }
    learn_replies(events, &mut learned);
    learned.dialect.prints = learn_prints(events, tokens);
    learned
}

fn stands_in_order(stream: &[u8], lines: &[Line]) -> bool {
    let words = lines.iter().filter(|l| l.command != Command::Exit).map(|l| l.token.as_bytes());
    words.into_iter().try_fold(stream, |rest, word| find(rest, word).map(|at| &rest[at + word.len()..])).is_some()
}

/// The descriptors through which anything passed to one side.
pub(super) fn descriptors(events: &[Event], side: Who) -> Vec<i32> {
    let mut all = Vec::new();
    for event in events {
        if let What::Passed { to, fd, .. } = event.what
            && to == side
            && !all.contains(&fd)
        {
            all.push(fd);
        }
    }
    all
}

/// A way to cut a stream so that its messages belong to the lines.
struct Aligned {
    end: Symbol,
    messages: Vec<Vec<u8>>,
    /// The message's number for each line.
    of_line: Vec<Option<usize>>,
    rest: Vec<u8>,
}

/// Whoever sends more than this in a session of a few lines sends something else, which would take much memory to look into.
const STREAM_BYTES_MAX: usize = 64 << 10;

/// Tries every end symbol that the stream suggests; the first that gives each line its message wins.
fn align(stream: &[u8], lines: &[Line]) -> Option<Aligned> {
    let stream = &stream[..stream.len().min(STREAM_BYTES_MAX)];
    let mut candidates: Vec<Vec<u8>> = [&b"#\r\n"[..], b"#\n", b"#", b"\r\n", b"\n", b"\0"].map(<[u8]>::to_vec).into();
    candidates.extend(stream.last().map(|last| vec![*last]));
    let tried: Vec<_> = candidates.into_iter().map(|end| try_end(stream, lines, Symbol(end))).collect();
    let score = |a: &Aligned| a.of_line.iter().flatten().count();
    let best = tried.iter().map(score).max()?;
    let enough = lines.iter().filter(|l| l.command != Command::Exit).count().div_ceil(2);
    tried.into_iter().find(|a| score(a) == best && best >= enough.max(1))
}

fn try_end(stream: &[u8], lines: &[Line], end: Symbol) -> Aligned {
    let (messages, rest) = cut(stream, &end);
    let typed: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].command != Command::Exit).collect();
    let mut of_line = vec![None; lines.len()];
    let tokens: Vec<_> = typed.iter().map(|&i| lines[i].token.as_bytes()).collect();
    for (line, message) in in_order(&tokens, &messages) {
        of_line[typed[line]] = Some(message);
    }
    // Words that cannot be found leave the order: as many messages as lines, and perhaps one before or after them,
    // each beginning as its command's others do and as no other command's.
    if typed.iter().any(|&i| of_line[i].is_none()) {
        let spare = messages.len().checked_sub(typed.len()).filter(|spare| *spare <= 2);
        let of_commands = |first: usize| {
            let op = |n: usize| messages[first + n].first();
            let command = |n: usize| lines[typed[n]].command;
            let consistent = |a: usize, b: usize| (command(a) == command(b)) == (op(a) == op(b));
            (0..typed.len()).all(|a| op(a).is_some() && (0..a).all(|b| consistent(a, b)))
        };
        if let Some(first) = spare.and_then(|spare| (0..=spare).find(|first| of_commands(*first))) {
            typed.iter().enumerate().for_each(|(n, &i)| of_line[i] = Some(first + n));
        }
    }
    // Two commands cannot be told apart if a cut leaves them the same beginning: then it is no cut.
    let op =
        |command| (0..lines.len()).filter(|&i| lines[i].command == command).find_map(|i| messages[of_line[i]?].first());
    let (memory, processors) = (op(Command::SetMemory), op(Command::SetProcessors));
    if memory.is_some_and(u8::is_ascii_whitespace) && memory == processors {
        of_line.fill(None);
    }
    Aligned { end, messages: messages.into_iter().map(<[u8]>::to_vec).collect(), of_line, rest: rest.to_vec() }
}

/// As many words as possible, each with the message that holds it, both in their order; of several ways the one that
/// takes the earliest messages.
fn in_order(tokens: &[&[u8]], messages: &[&[u8]]) -> Vec<(usize, usize)> {
    let holding = messages.iter().enumerate().map(|(n, m)| (n, tokens.iter().map(|token| holds(m, token)).collect()));
    let holding: Vec<(usize, Vec<bool>)> = holding.filter(|(_, held): &(_, Vec<bool>)| held.contains(&true)).collect();
    // The most pairs among the words from one on and the messages from one on.
    let mut most = vec![vec![0u16; holding.len() + 1]; tokens.len() + 1];
    for t in (0..tokens.len()).rev() {
        for m in (0..holding.len()).rev() {
            let pair = if holding[m].1[t] { 1 + most[t + 1][m + 1] } else { 0 };
            most[t][m] = pair.max(most[t + 1][m]).max(most[t][m + 1]);
        }
    }
    let (mut pairs, mut t, mut m) = (Vec::new(), 0, 0);
    while t < tokens.len() && m < holding.len() {
        if holding[m].1[t] && most[t][m] == 1 + most[t + 1][m + 1] {
            pairs.push((t, holding[m].0));
            (t, m) = (t + 1, m + 1);
        } else if most[t][m] == most[t + 1][m] {
            t += 1;
        } else {
            m += 1;
        }
    }
    pairs
}

/// The word stands in the message, not inside a longer number.
fn holds(message: &[u8], token: &[u8]) -> bool {
    (0..message.len()).any(|at| {
        message[at..].starts_with(token)
            && !(token[0].is_ascii_digit() && at > 1 && message[at - 1].is_ascii_digit())
            && !message.get(at + token.len()).is_some_and(u8::is_ascii_digit)
    })
}

impl Aligned {
    fn tell(self, learned: &mut Learned, lines: &[Line]) {
        let dialect = &mut learned.dialect;
        for (i, message) in self.of_line.iter().enumerate() {
            learned.messages[i] = message.map(|n| self.messages[n].clone());
        }
        let others = (0..self.messages.len()).filter(|n| !self.of_line.contains(&Some(*n)));
        learned.others = others.clone().map(|n| self.messages[n].clone()).collect();
        let (first, last) = (self.of_line.iter().flatten().min(), self.of_line.iter().flatten().max());
        let before = others.clone().filter(|n| Some(n) < first);
        learned.before = before.map(|n| self.messages[n].clone()).collect();
        let between = others.filter(|n| Some(n) > first && Some(n) < last);
        learned.between = between.map(|n| self.messages[n].clone()).collect();
        let op = |command: Command| {
            let mut of = (0..lines.len()).filter(|&i| lines[i].command == command);
            of.find_map(|i| Some(Symbol(vec![*learned.messages[i].as_ref()?.first()?])))
        };
        dialect.op.setmeml = op(Command::SetMemory);
        dialect.op.setproc = op(Command::SetProcessors);
        dialect.op.doreq = op(Command::Request);
        // What comes after the last line's message came for `exit`.
        let after = last.and_then(|last| self.messages.get(last + 1)).and_then(|m| m.first());
        dialect.op.exit = after.map(|op| Symbol(vec![*op]));
        let memory = lines.iter().position(|l| l.command == Command::SetMemory);
        if let Some(message) = memory.and_then(|i| learned.messages[i].as_ref()) {
            let token = &lines[memory.expect("found above")].token;
            let (form, name) = form(message.get(1..).unwrap_or_default(), token);
            dialect.payload = Some(form);
            dialect.value_name = name;
        }
        dialect.end = Some(self.end);
        learned.rest = self.rest;
    }
}

/// The form of a payload in which `token` was sent, and the name that it has there.
fn form(payload: &[u8], token: &str) -> (Form, Option<String>) {
    if let Some(object) = payload::object(payload) {
        let is = |value: &payload::Value| match value {
            payload::Value::Bare(word) => word == token,
            payload::Value::Text(text) => text == token.as_bytes(),
            payload::Value::Nested(_) => false,
        };
        let name = object.fields.iter().find(|(_, value)| is(value)).map(|(name, _)| name.clone());
        return (if object.quoted { Form::QuotedNames } else { Form::BareNames }, name);
    }
    (if holds(payload, token.as_bytes()) { Form::Text } else { Form::Opaque }, None)
}

/// How the characters between two known words were carried, where the stream holds them in one of the known ways.
pub fn inside(stream: &[u8], before: &str, symbol: &str, after: &str) -> Option<Inside> {
    let Some(at) = find(stream, before.as_bytes()).map(|at| at + before.len()) else {
        // Something was sent, and in it the words cannot be read.
        return (!stream.is_empty()).then_some(Inside::Encoded);
    };
    let length = find(&stream[at..], after.as_bytes())?;
    let between = String::from_utf8_lossy(&stream[at..at + length]).into_owned();
    Some(if between == symbol { Inside::Raw } else { Inside::Escaped(between) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Wiring;

    fn lines() -> Vec<Line> {
        let line = |command, token: &str| Line { command, token: token.to_owned() };
        vec![
            line(Command::SetMemory, "805306368"),
            line(Command::SetMemory, "1073741824"),
            line(Command::SetProcessors, "32"),
            line(Command::SetProcessors, "16"),
            line(Command::Request, "/a"),
            line(Command::Request, "/b"),
            line(Command::Exit, "exit"),
        ]
    }

    fn learned(to_server: &[u8], to_watchdog: &[u8]) -> Learned {
        let event = |to, fd, bytes: &[u8]| Event { at_us: 0, what: What::Passed { to, fd, bytes: bytes.to_vec() } };
        let events = [event(Who::Server(0), 3, to_server), event(Who::Watchdog, 4, to_watchdog)];
        learn(&events, &lines(), &Tokens { body: "body".into(), status: 203 })
    }

    fn symbol(text: &str) -> Option<Symbol> {
        Some(Symbol(text.as_bytes().to_vec()))
    }

    #[test]
    fn the_assignments_own_dialect() {
        let learned = learned(
            b"1{Value: 805306368}#1{Value: 1073741824}#2{Value: 32}#2{Value: 16}#3{URL: \"/a\"}#3{URL: \"/b\"}#",
            b"1{}#1{}#2{}#2{}#3{}#3{}#",
        );
        assert_eq!(learned.dialect.end, symbol("#"));
        assert_eq!(learned.dialect.op.setproc, symbol("2"));
        assert_eq!(learned.dialect.op.exit, None);
        assert_eq!(learned.dialect.payload, Some(Form::BareNames));
        assert_eq!(learned.dialect.value_name.as_deref(), Some("Value"));
        assert_eq!(learned.dialect.wiring, Wiring { read: Some(3), write: Some(4) });
        assert_eq!(learned.dialect.reply.same_op, Some(true));
        assert!(learned.others.is_empty());
    }

    #[test]
    fn another_end_a_message_for_exit_and_silence() {
        let learned = learned(b"M805306368\nM1073741824\nP32\nP16\nR/a\nR/b\nX\n", b"");
        assert_eq!(learned.dialect.end, symbol("\n"));
        assert_eq!(learned.dialect.op.exit, symbol("X"));
        assert_eq!(learned.dialect.payload, Some(Form::Text));
        assert_eq!(learned.dialect.wiring.write, None);
        assert_eq!(learned.others, [b"X"]);
    }

    #[test]
    fn messages_beside_those_of_the_lines() {
        let learned =
            learned(b"H{}#1{v:805306368}#1{v:1073741824}#p{}#2{v:32}#2{v:16}#3{u:\"/a\"}#3{u:\"/b\"}#X#", b"");
        assert_eq!(learned.others, [&b"H{}"[..], b"p{}", b"X"]);
        assert_eq!(learned.before, [b"H{}"]);
        assert_eq!(learned.between, [b"p{}"]);
        assert_eq!(learned.dialect.op.exit, symbol("X"));
    }

    #[test]
    fn a_first_greeting_moves_no_reply_to_another_line_whether_it_has_one_or_not() {
        for replies in [&b"H{}#1{a}#1{b}#2{c}#2{d}#3{e}#3{f}#X{}#"[..], b"1{a}#1{b}#2{c}#2{d}#3{e}#3{f}#"] {
            let learned =
                learned(b"H{}#1{v:805306368}#1{v:1073741824}#2{v:32}#2{v:16}#3{u:\"/a\"}#3{u:\"/b\"}#X#", replies);
            assert_eq!(learned.replies, [b"1{a}", b"1{b}", b"2{c}", b"2{d}", b"3{e}", b"3{f}"]);
            assert_eq!(learned.dialect.reply.same_op, Some(true));
        }
    }

    #[test]
    fn an_end_of_two_bytes_is_not_taken_for_a_blank_op() {
        let learned =
            learned(b"1{v:805306368}#\n1{v:1073741824}#\n2{v:32}#\n2{v:16}#\n3{u:\"/a\"}#\n3{u:\"/b\"}#\n", b"");
        assert_eq!(learned.dialect.end, symbol("#\n"));
        assert_eq!(learned.dialect.op.setmeml, symbol("1"));
    }

    #[test]
    fn an_opaque_payload_is_still_cut() {
        let learned = learned(b"1QUJD#1REVG#2R0hJ#2SktM#3TU5P#3UFFS#", b"");
        assert_eq!(learned.dialect.payload, Some(Form::Opaque));
        assert_eq!(learned.dialect.op.doreq, symbol("3"));
        assert!(learned.messages[..6].iter().all(Option::is_some));
    }

    #[test]
    fn settings_that_can_be_read_beside_requests_that_cannot() {
        let learned = learned(b"1805306368!11073741824!232!216!3QUJD!3REVG!", b"");
        assert_eq!(learned.dialect.end, symbol("!"));
        assert_eq!(learned.dialect.op.doreq, symbol("3"));
        assert!(learned.messages[..6].iter().all(Option::is_some));
        assert!(!learned.readable);
    }

    #[test]
    fn requests_that_can_be_read_beside_settings_that_cannot() {
        let learned = learned(b"h;m30000000;m40000000;p20;p10;r/a;r/b;x;", b"");
        assert_eq!(learned.dialect.op.setmeml, symbol("m"));
        assert_eq!(learned.dialect.op.exit, symbol("x"));
        assert_eq!(learned.others, [b"h", b"x"]);
    }

    #[test]
    fn bytes_without_messages_teach_nothing() {
        assert_eq!(learned(b"nothing of the kind", b"").dialect.end, None);
    }
}
