//! The messages between watchdog and server: `<op byte><payload>#`.
//!
//! | op  | request                                             | reply                                       |
//! |-----|-----------------------------------------------------|---------------------------------------------|
//! | `1` | `1{Value: 123000}#` memory limit in bytes           | `1{Value: 123000}#`                         |
//! | `2` | `2{Value: 32}#` processors                          | `2{Value: 2}#` those in use now             |
//! | `3` | `3{Method: "GET", URL: "http://…", Body: "…"}#`     | `3{Status: 200, Reason: "OK", Body: "…"}#`  |
//!
//! A failure of any of them is `<same op>{Error: "…"}#`. A request without a body has no `Body`; a body that is not
//! UTF-8 is carried as `Body64` in base64 (with padding). Each request gets one reply, in the order of the requests.
//! This file knows messages one at a time; [`super::delimited`] cuts them out of a stream.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::malformed::Malformed;
use super::payload::{Fields, Value, put_integer, put_text, write_integer};

/// Ends each message.
pub const END_SYMBOL: u8 = b'#';

/// The largest request, without its end symbol. A line of 1 MiB fits even if every byte of it must be escaped.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The largest body of an HTTP response that is carried, whatever the memory limit is.
pub const RESPONSE_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The largest reply, without its end symbol: a response body of which every byte must be escaped, which takes six, and
/// more than enough for the rest.
pub const REPLY_BYTES_MAX: usize = 7 * RESPONSE_BODY_BYTES_MAX;

/// The memory limits that can be set, in bytes.
pub const MEMORY_LIMIT_RANGE: std::ops::RangeInclusive<i64> = 1..=i64::MAX;

/// The numbers of processors that can be asked for.
pub const PROCESSORS_RANGE: std::ops::RangeInclusive<i64> = 1..=65_535;

/// What a message is about: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op(pub u8);

impl Op {
    /// Sets the memory limit.
    pub const MEMORY_LIMIT: Op = Op(b'1');
    /// Sets the number of processors.
    pub const PROCESSORS: Op = Op(b'2');
    /// Makes an HTTP request.
    pub const HTTP: Op = Op(b'3');
    /// Answers a message that is empty, and so has no op byte that could be repeated.
    pub const NONE: Op = Op(b'0');
}

/// What a watchdog asks of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Buffer no request or response body that is larger than this.
    MemoryLimit {
        /// The limit.
        bytes: i64,
    },
    /// Work on this many processors, with this many worker threads.
    Processors {
        /// The number.
        count: i64,
    },
    /// Make this HTTP request. It is boxed to keep the many small requests small.
    Http(Box<HttpRequest>),
}

/// An HTTP request, as a person typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method, in the letter case in which it was given.
    pub method: String,
    /// An absolute `http` or `https` URL.
    pub url: String,
    /// The body, byte for byte; `None` if there is none.
    pub body: Option<Vec<u8>>,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A setting, as it is in force now.
    Value(i64),
    /// The response to an HTTP request. It is boxed to keep the many small replies small.
    Http(Box<HttpResponse>),
    /// Why it could not be done: one sentence.
    Error(String),
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The words for the status code, empty for a code that has none.
    pub reason: Cow<'static, str>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// Parts a message, as it lies before its end symbol, into op byte and payload.
pub fn split(message: &[u8]) -> Result<(Op, &[u8]), Malformed> {
    match message.split_first() {
        Some((&op, payload)) => Ok((Op(op), payload)),
        None => Err(Malformed::Empty),
    }
}

impl Request {
    /// The op byte of this request.
    pub fn op(&self) -> Op {
        match self {
            Request::MemoryLimit { .. } => Op::MEMORY_LIMIT,
            Request::Processors { .. } => Op::PROCESSORS,
            Request::Http(_) => Op::HTTP,
        }
    }

    /// Reads a request.
    pub fn decode(op: Op, payload: &[u8]) -> Result<Request, Malformed> {
        match op {
            Op::MEMORY_LIMIT => setting(payload, MEMORY_LIMIT_RANGE).map(|bytes| Request::MemoryLimit { bytes }),
            Op::PROCESSORS => setting(payload, PROCESSORS_RANGE).map(|count| Request::Processors { count }),
            Op::HTTP => HttpRequest::decode(payload).map(|request| Request::Http(Box::new(request))),
            unknown => Err(Malformed::UnknownOp(unknown)),
        }
    }

    /// Appends the request to `out`, with its end symbol.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::MemoryLimit { bytes: value } | Request::Processors { count: value } => {
                put_value_message(out, self.op(), *value);
            }
            Request::Http(request) => {
                out.push(Op::HTTP.0);
                out.extend_from_slice(b"{Method: ");
                put_text(out, &request.method);
                out.extend_from_slice(b", URL: ");
                put_text(out, &request.url);
                if let Some(body) = &request.body {
                    put_body(out, body);
                }
                out.extend_from_slice(&[b'}', END_SYMBOL]);
            }
        }
    }
}

impl HttpRequest {
    fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let (mut method, mut url) = (None, None);
        let mut body = BodyField::default();
        let mut fields = Fields::new(payload);
        while let Some((key, value)) = fields.next_field()? {
            match &*key {
                "Method" => set_once("Method", &mut method, text("Method", value)?)?,
                "URL" => set_once("URL", &mut url, text("URL", value)?)?,
                _ => body.read(&key, value)?,
            }
        }
        Ok(Self {
            method: method.ok_or(Malformed::Missing("Method"))?.into_owned(),
            url: url.ok_or(Malformed::Missing("URL"))?.into_owned(),
            body: body.finish()?,
        })
    }
}

impl Reply {
    /// Reads the reply to a request with this op byte.
    pub fn decode(op: Op, payload: &[u8]) -> Result<Reply, Malformed> {
        if let Some(value) = plain_value(payload).filter(|_| op != Op::HTTP) {
            return Ok(Reply::Value(value));
        }
        let (mut value, mut status, mut reason, mut error) = (None, None, None, None);
        let mut body = BodyField::default();
        let mut fields = Fields::new(payload);
        while let Some((key, field)) = fields.next_field()? {
            match &*key {
                "Value" => set_once("Value", &mut value, integer("Value", field)?)?,
                "Status" => set_once("Status", &mut status, integer("Status", field)?)?,
                "Reason" => set_once("Reason", &mut reason, text("Reason", field)?)?,
                "Error" => set_once("Error", &mut error, text("Error", field)?)?,
                _ => body.read(&key, field)?,
            }
        }
        if let Some(error) = error {
            return Ok(Reply::Error(error.into_owned()));
        }
        if op != Op::HTTP {
            return value.map(Reply::Value).ok_or(Malformed::Missing("Value"));
        }
        let status = in_range("Status", status.ok_or(Malformed::Missing("Status"))?, 100..=999)?;
        Ok(Reply::Http(Box::new(HttpResponse {
            // The range above lies within 16 bits.
            status: status as u16,
            reason: Cow::Owned(reason.unwrap_or_default().into_owned()),
            body: body.finish()?.unwrap_or_default(),
        })))
    }

    /// Appends the reply to `out`, with the op byte of its request and the end symbol.
    pub fn encode(&self, op: Op, out: &mut Vec<u8>) {
        match self {
            Reply::Value(value) => put_value_message(out, op, *value),
            Reply::Http(response) => {
                out.push(op.0);
                out.extend_from_slice(b"{Status: ");
                put_integer(out, response.status.into());
                out.extend_from_slice(b", Reason: ");
                put_text(out, &response.reason);
                put_body(out, &response.body);
                out.extend_from_slice(&[b'}', END_SYMBOL]);
            }
            Reply::Error(error) => {
                out.push(op.0);
                out.extend_from_slice(b"{Error: ");
                put_text(out, error);
                out.extend_from_slice(&[b'}', END_SYMBOL]);
            }
        }
    }
}

/// The two ways in which a body can be carried.
#[derive(Default)]
struct BodyField {
    text: Option<Vec<u8>>,
    base64: Option<Vec<u8>>,
}

impl BodyField {
    /// Takes the field if it is one of the two; any other field is none of ours and is skipped.
    fn read(&mut self, key: &str, value: Value<'_>) -> Result<(), Malformed> {
        match key {
            "Body" => set_once("Body", &mut self.text, text("Body", value)?.into_owned().into_bytes()),
            "Body64" => {
                let bytes = BASE64.decode(text("Body64", value)?.as_bytes()).map_err(|_| Malformed::Base64)?;
                set_once("Body64", &mut self.base64, bytes)
            }
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Option<Vec<u8>>, Malformed> {
        match (self.text, self.base64) {
            (Some(_), Some(_)) => Err(Malformed::TwoBodies),
            (text, base64) => Ok(text.or(base64)),
        }
    }
}

fn setting(payload: &[u8], range: std::ops::RangeInclusive<i64>) -> Result<i64, Malformed> {
    if let Some(value) = plain_value(payload) {
        return in_range("Value", value, range);
    }
    let mut setting = None;
    let mut fields = Fields::new(payload);
    while let Some((key, value)) = fields.next_field()? {
        if key == "Value" {
            set_once("Value", &mut setting, integer("Value", value)?)?;
        }
    }
    in_range("Value", setting.ok_or(Malformed::Missing("Value"))?, range)
}

/// A short cut for what [`put_value_message`] writes; whatever looks in any way different is left to the full reader.
fn plain_value(payload: &[u8]) -> Option<i64> {
    let digits = payload.strip_prefix(b"{Value: ")?.strip_suffix(b"}")?;
    if digits.len() > 18 || !matches!(digits, [b'1'..=b'9', ..]) {
        return None;
    }
    digits.iter().try_fold(0, |value, &digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn in_range(field: &'static str, found: i64, range: std::ops::RangeInclusive<i64>) -> Result<i64, Malformed> {
    let (min, max) = range.clone().into_inner();
    if range.contains(&found) { Ok(found) } else { Err(Malformed::Range { field, found, min, max }) }
}

fn integer(field: &'static str, value: Value<'_>) -> Result<i64, Malformed> {
    let found = match value {
        Value::Integer(value) => return Ok(value),
        Value::Text(_) => "a string",
        Value::Other(kind) => kind,
    };
    Err(Malformed::Kind { field, expected: "a whole number", found })
}

fn text<'a>(field: &'static str, value: Value<'a>) -> Result<Cow<'a, str>, Malformed> {
    let found = match value {
        Value::Text(text) => return Ok(text),
        Value::Integer(_) => "a number",
        Value::Other(kind) => kind,
    };
    Err(Malformed::Kind { field, expected: "a string", found })
}

fn set_once<T>(field: &'static str, slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed::Twice(field)),
    }
}

/// The whole message in one piece, since there are many of these: `1{Value: 123000}#`.
fn put_value_message(out: &mut Vec<u8>, Op(op): Op, value: i64) {
    const HEAD: &[u8; 8] = b"{Value: ";
    // Op, head, at most 20 digits, brace and end symbol take 31 bytes.
    let mut message = [0; 32];
    let end = message.len();
    message[end - 2..].copy_from_slice(&[b'}', END_SYMBOL]);
    let digits_from = write_integer(&mut message[..end - 2], value);
    let head_from = digits_from - HEAD.len();
    message[head_from..digits_from].copy_from_slice(HEAD);
    message[head_from - 1] = op;
    out.extend_from_slice(&message[head_from - 1..]);
}

fn put_body(out: &mut Vec<u8>, body: &[u8]) {
    match str::from_utf8(body) {
        Ok(text) => {
            out.extend_from_slice(b", Body: ");
            put_text(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b", Body64: \"");
            let at = out.len();
            out.resize(at + body.len().div_ceil(3) * 4, 0);
            let written = BASE64.encode_slice(body, &mut out[at..]);
            debug_assert_eq!(written, Ok(out.len() - at));
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(request: &Request) -> String {
        let mut out = Vec::new();
        request.encode(&mut out);
        String::from_utf8(out).expect("messages are text")
    }

    fn http(method: &str, body: Option<&[u8]>) -> Request {
        let url = "http://127.0.0.1:8080/a#b".into();
        Request::Http(Box::new(HttpRequest { method: method.into(), url, body: body.map(Vec::from) }))
    }

    #[test]
    fn the_example_of_the_assignment_is_written_to_the_letter() {
        assert_eq!(encoded(&Request::MemoryLimit { bytes: 1 }), "1{Value: 1}#");
    }

    #[test]
    fn requests_come_back_as_they_went() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let requests = [
            Request::MemoryLimit { bytes: i64::MAX },
            Request::Processors { count: 32 },
            http("GET", None),
            http("POST", Some(b"")),
            http("PUT", Some(b"{\"arg\": \"#\"}")),
            http("PURGE", Some(&every_byte)),
        ];
        for request in requests {
            let text = encoded(&request);
            let message = text.strip_suffix('#').expect("an end symbol");
            assert!(!message.contains('#'), "{message}");
            let (op, payload) = split(message.as_bytes()).expect("an op byte");
            assert_eq!(Request::decode(op, payload), Ok(request));
        }
    }

    #[test]
    fn replies_come_back_as_they_went() {
        let response = |reason: &'static str, body: &[u8]| {
            Reply::Http(Box::new(HttpResponse { status: 599, reason: reason.into(), body: body.into() }))
        };
        let replies = [
            (Op::MEMORY_LIMIT, Reply::Value(7)),
            (Op::PROCESSORS, Reply::Error("no \"#\" here".into())),
            (Op::HTTP, response("", b"")),
            (Op::HTTP, response("So So", b"\x00\xff#")),
        ];
        for (op, reply) in replies {
            let mut message = Vec::new();
            reply.encode(op, &mut message);
            assert_eq!(message.pop(), Some(END_SYMBOL));
            let (seen, payload) = split(&message).expect("an op byte");
            assert_eq!((seen, Reply::decode(op, payload)), (op, Ok(reply)));
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let messages: &[&[u8]] = &[
            b"",
            b"9{}",
            b"\xff{}",
            b"1",
            b"1{}",
            b"1{Value: \"1\"}",
            b"1{Value: true}",
            b"1{Value: 1, Value: 1}",
            b"1{Value: 0}",
            b"2{Value: 65536}",
            b"3{URL: \"http://h\"}",
            b"3{Method: \"GET\"}",
            b"3{Method: 1, URL: \"http://h\"}",
            b"3{Method: \"GET\", URL: \"http://h\", Body64: \"*\"}",
            b"3{Method: \"GET\", URL: \"http://h\", Body: \"\", Body64: \"\"}",
        ];
        let table: Vec<String> = messages
            .iter()
            .map(|message| {
                let error = split(message).and_then(|(op, payload)| Request::decode(op, payload));
                let error = error.expect_err("a faulty message").to_string();
                format!("{:<60} {error}", message.escape_ascii().to_string())
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
