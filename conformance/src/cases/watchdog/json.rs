//! What JSON has and what it does not, written as a pair writes its payloads: names quoted or bare.
//!
//! It knows forms, and nothing of who reads them.

use std::fmt::Write as _;

use crate::dialect::payload::{Form, Object, Value};
use crate::dialect::{Dialect, Symbol, find};
use crate::outcome::Stop;

/// Values of every kind, for names that nobody knows.
pub(super) const OTHERS: [&str; 15] = [
    "0",
    "-0",
    "-1.5e-3",
    "10E+2",
    "2.25",
    "true",
    "false",
    "null",
    "[]",
    "{ }",
    "[ 1 , [2, {\"a\": []}], \"]\" ]",
    "{\"a\": {\"b\": null}, \"c\": 1}",
    "\"\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\"",
    "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
];

/// What JSON does not have as a value.
pub(super) const NO_VALUES: [&[u8]; 24] = [
    b"",
    b"01",
    b"-",
    b"+1",
    b"1.",
    b".5",
    b"1e",
    b"1e+",
    b"1.e1",
    b"tru",
    b"nul",
    b"fals",
    b"[1,]",
    b"[1 2]",
    b"[1",
    b"[1}",
    b"{\"a\" 1}",
    b"{\"a\":1,}",
    b"{\"a\":1]",
    b"\"\\x41\"",
    b"\"\\u12g4\"",
    b"\"a\x01b\"",
    b"\"a\xffb\"",
    b"\"open",
];

/// Halves of a surrogate pair that stand alone, in strings.
pub(super) const HALVES: [&[u8]; 4] = [b"\"\\ud83d\"", b"\"\\ud83dx\"", b"\"\\ud83d\\u0041\"", b"\"\\ude00\""];

/// How a name is written by a pair.
pub(super) fn name(dialect: &Dialect, name: &str) -> Result<String, Stop> {
    match dialect.payload {
        Some(Form::BareNames) => Ok(name.to_owned()),
        Some(Form::QuotedNames) => Ok(format!("\"{name}\"")),
        _ => Err(Stop::NotApplicable("its payloads are no objects".into())),
    }
}

/// The first character of a name as an escape, and the name quoted.
pub(super) fn escaped_name(name: &str) -> String {
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    let mut units = String::new();
    for unit in first.encode_utf16() {
        let _ = write!(units, "\\u{unit:04x}");
    }
    format!("\"{units}{rest}\"")
}

/// Objects that all say `field: value` to whoever knows only this field.
pub(super) fn objects(dialect: &Dialect, field: &str, value: &str) -> Result<Vec<String>, Stop> {
    let key = name(dialect, field)?;
    let escaped = escaped_name(field);
    let mut all = vec![
        format!("{{{key}:{value}}}"),
        format!(" {{ \t{key} \t: {value} \t}} "),
        format!("\r\n{{\r\n{key}\r\n:\r\n{value}\r\n}}\r\n"),
        format!("{{{escaped}: {value}}}"),
    ];
    all.extend(OTHERS.map(|other| format!("{{\"other\": {other}, {key}: {value}, \"last\": {other}}}")));
    if dialect.payload == Some(Form::BareNames) {
        all.push(format!("{{_other: [{{A9z_: 1, b:{{}}}}], {key}: {value}, Z: 0}}"));
    }
    Ok(all)
}

/// Whether these bytes would end a message before its end.
pub(super) fn contains(end: &Option<Symbol>, payload: &[u8]) -> bool {
    end.as_ref().is_some_and(|end| find(payload, &end.0).is_some())
}

/// An object's text, with a literal in place of one field's value.
pub(super) fn written(dialect: &Dialect, object: &Object, at: usize, literal: &str) -> Result<String, Stop> {
    let mut fields = Vec::new();
    for (n, (field, value)) in object.fields.iter().enumerate() {
        let value = match value {
            _ if n == at => literal.to_owned(),
            Value::Text(text) => quoted(dialect, &String::from_utf8_lossy(text)),
            Value::Bare(word) => word.clone(),
            Value::Nested(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        fields.push(format!("{}: {value}", name(dialect, field)?));
    }
    Ok(format!("{{{}}}", fields.join(", ")))
}

/// A string of JSON in which the end symbol does not occur.
pub(super) fn quoted(dialect: &Dialect, text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let end = dialect.end.as_ref().map(|end| String::from_utf8_lossy(&end.0).into_owned()).unwrap_or_default();
    let mut units = String::new();
    for unit in end.encode_utf16() {
        let _ = write!(units, "\\u{unit:04x}");
    }
    if end.is_empty() { json } else { json.replace(&end, &units) }
}
