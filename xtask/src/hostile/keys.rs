//! A key in this process's session keyring, for a program that is not to have it.

#![expect(unsafe_code, reason = "add_key has no safe call")]

use std::io;

/// Begins a session keyring of this process's own and puts a key with this content into it.
pub(super) fn plant(content: &[u8]) -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    const SESSION_KEYRING: libc::c_long = -3;
    // SAFETY: no name is given; the strings are C strings, and the content is read to its length.
    let planted = unsafe {
        if libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let (kind, name) = (c"user", c"hostile-secret");
        libc::syscall(libc::SYS_add_key, kind.as_ptr(), name.as_ptr(), content.as_ptr(), content.len(), SESSION_KEYRING)
    };
    if planted < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
