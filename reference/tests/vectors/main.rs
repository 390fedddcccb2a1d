//! The codecs against the vectors that were written by hand, one file for each wire format.

use serde::de::DeserializeOwned;

mod chunk;
mod op_frame;
mod pipe_message;

/// All vectors of a format.
fn read<Vector: DeserializeOwned>(format: &str) -> Vec<Vector> {
    #[derive(serde::Deserialize)]
    struct Vectors<Vector> {
        vector: Vec<Vector>,
    }
    let path = format!("{}/../fixtures/vectors/{format}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the vectors");
    toml::from_str::<Vectors<Vector>>(&text).expect("vectors in TOML").vector
}

/// Bytes from hexadecimal digits, which blanks may part.
fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}
