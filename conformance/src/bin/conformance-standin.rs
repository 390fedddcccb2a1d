//! The program that stands where another should be; see `conformance::subject::standin`.
#![cfg_attr(unix, no_main)]
#![cfg_attr(unix, expect(unsafe_code, reason = "a C main is how a program starts without Rust's own start-up"))]

#[cfg(unix)]
use std::ffi::{c_char, c_int};

/// The entry point that the C library calls.
///
/// # Safety
/// Only the C library may call it, with a null-terminated array of C strings.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(_argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: argv is what the C library gave.
    unsafe { conformance::subject::standin::main(argv) }
}

/// The suite starts it nowhere on this system.
#[cfg(windows)]
fn main() {}
