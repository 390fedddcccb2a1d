//! Says what it runs on, once a child of its own has sent it that through an inherited pipe: a runner that cannot start a child,
//! or hands nothing on to it, is believed nothing.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

fn main() {
    let is_child = std::env::args().nth(1).as_deref() == Some("child");
    if is_child {
        let order = if 1_u16.to_ne_bytes() == [1, 0] { "little" } else { "big" };
        let bits = usize::BITS;
        print!("{} {} {order}-endian {bits}-bit", std::env::consts::OS, std::env::consts::ARCH);
        std::io::stdout().flush().expect("the pipe is open");
        return;
    }
    let this = std::env::current_exe().expect("a program has a path");
    let mut child = Command::new(this).arg("child").stdout(Stdio::piped()).spawn().expect("a child can be started");
    let mut said = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut said).expect("it says something");
    assert!(child.wait().expect("it ends").success());
    println!("{said}");
}
