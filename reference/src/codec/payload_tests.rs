//! The payload's reader and writer: what goes in comes out, and each fault is named.

use super::*;

fn read(payload: &[u8]) -> Result<Vec<Field<'_>>, Syntax> {
    let mut fields = Fields::new(payload);
    let mut seen = Vec::new();
    while let Some(field) = fields.next_field()? {
        seen.push(field);
    }
    Ok(seen)
}

#[test]
fn text_comes_back_as_it_went() {
    let every_ascii: String = (0..=127_u8).map(char::from).collect();
    for text in ["", "plain", "a#b\"c\\d", "Привет 😀", every_ascii.as_str()] {
        let mut payload = b"{Body: ".to_vec();
        put_text(&mut payload, text);
        payload.push(b'}');
        assert!(!payload.contains(&b'#'));
        assert_eq!(read(&payload), Ok(vec![("Body".into(), Value::Text(text.into()))]));
    }
}

#[test]
fn numbers_come_back_as_they_went() {
    for number in [0, 1, -1, 10, 123_000, i64::MAX, i64::MIN] {
        let mut payload = b"{Value: ".to_vec();
        put_integer(&mut payload, number);
        payload.push(b'}');
        assert_eq!(payload, format!("{{Value: {number}}}").into_bytes());
        assert_eq!(read(&payload), Ok(vec![("Value".into(), Value::Integer(number))]));
    }
}

#[test]
fn every_prefix_of_a_payload_is_refused_without_a_panic() {
    let payload = br#" { Value : -12 , "Body": "a\n\ud83d\ude00\u0023" , x: [1, {y: null}, true, 1.5e-3] } "#;
    assert!(read(payload).is_ok());
    for length in 0..payload.len() - 2 {
        assert!(read(&payload[..length]).is_err(), "{length}");
    }
}

#[test]
fn each_fault_is_named_with_its_place() {
    let faults: &[&[u8]] = &[
        b"",
        b"Value: 1",
        b"{Value 1}",
        b"{Value: }",
        b"{Value: 1,}",
        b"{Value: 1} x",
        b"{Value: 01}",
        b"{Value: 9223372036854775808}",
        b"{Value: -}",
        b"{Value: 1.}",
        b"{Value: \"a}",
        b"{Value: \"a\nb\"}",
        b"{Value: \"\\x\"}",
        b"{Value: \"\\u12g4\"}",
        b"{Value: \"\\ud83d\"}",
        b"{Value: \"\\ude00\"}",
        b"{Value: \"\xff\"}",
        b"{Value: tru}",
        b"{1: 1}",
    ];
    let table: Vec<String> = faults
        .iter()
        .map(|fault| {
            let error = read(fault).expect_err("a faulty payload");
            format!("{:<32} {error}", fault.escape_ascii().to_string())
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn nesting_has_a_limit() {
    let nested = |levels: usize| format!("{{x: {}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert!(read(nested(DEPTH_MAX + 1).as_bytes()).is_err());
    assert!(read(nested(100_000).as_bytes()).is_err());
}
