//! What runs a target's programs: nothing in between, an emulator that the kernel is told of in namespaces of its own, Wine with
//! a prefix of its own, or a command that somebody names.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::targets::{Runs, Target, on_path};
use super::wine::{self, Wine};

/// Tells the kernel, for what is below these namespaces alone, what runs programs of another kind, and becomes the rest.
const REGISTERED: &str = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && \
     printf %s \"$1\" > /proc/sys/fs/binfmt_misc/register && shift && exec \"$@\"";

/// What runs programs.
pub(super) enum Runner {
    Here,
    /// An emulator, and what the kernel is told of it.
    Emulated {
        version: String,
        told: String,
    },
    Wine(Wine),
    /// The words of a command.
    Named(Vec<String>),
}

impl Runner {
    /// What runs the programs of a target, of which the canary is one.
    pub(super) fn of(target: &Target, named: Option<Vec<String>>, canary: &Path) -> Result<Runner, String> {
        if let Some(words) = named {
            return Ok(Runner::Named(words));
        }
        match target.runs() {
            Runs::Here => Ok(Runner::Here),
            Runs::Nowhere => Err("nothing here runs its programs".into()),
            Runs::Emulated(emulator) => {
                let emulator = found(&[emulator])?;
                let mut header = [0; 20];
                let read = std::fs::File::open(canary).and_then(|mut file| file.read_exact(&mut header));
                read.map_err(|error| format!("{}: {error}", canary.display()))?;
                Ok(Runner::Emulated { version: version(&emulator), told: registration(&emulator, &header) })
            }
            Runs::Wine => Wine::with_prefix(found(&wine::NAMES)?, target.built().join("wine")).map(Runner::Wine),
        }
    }

    /// A program, to be given arguments.
    pub(super) fn command(&self, program: &Path) -> Command {
        match self {
            Runner::Here => Command::new(program),
            Runner::Emulated { told, .. } => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user", "--mount", "sh", "-c", REGISTERED, "sh", told]).arg(program);
                command
            }
            Runner::Wine(wine) => {
                let mut command = Command::new(&wine.program);
                wine.settle(command.arg(program));
                command
            }
            Runner::Named(words) => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).arg(program);
                command
            }
        }
    }

    /// Programs see another processor than the kernel does.
    pub(super) fn is_emulated(&self) -> bool {
        matches!(self, Runner::Emulated { .. })
    }

    /// A target's system, with what runs it here.
    pub(super) fn system(&self, of_target: &str) -> String {
        match self {
            Runner::Here => format!("{of_target}, {}", kernel()),
            Runner::Emulated { version, .. } => format!("{of_target} under {version} over {}", kernel()),
            Runner::Wine(wine) => format!("{of_target}'s calls under {} over {}", version(&wine.program), kernel()),
            Runner::Named(words) => format!("{of_target} by `{}`", words.join(" ")),
        }
    }

    /// The tests of what cannot happen there. One thread of Wine's server makes the connections of all its programs, and a request
    /// over the loopback is refused before it makes the next: two never cross.
    pub(super) fn cannot(&self) -> &'static [&'static str] {
        match self {
            Runner::Wine(_) => &["two_of_whom_neither_listens_meet"],
            Runner::Here | Runner::Emulated { .. } | Runner::Named(_) => &[],
        }
    }

    /// Lets cargo run what it builds for a target.
    pub(super) fn lend_to_cargo(&self, cargo: &mut Command, target: &Target) {
        let runner = target.setting("RUNNER");
        match self {
            Runner::Wine(wine) => wine.settle(cargo.env(runner, &wine.program)),
            Runner::Named(words) => _ = cargo.env(runner, words.join(" ")),
            Runner::Here | Runner::Emulated { .. } => {}
        }
    }
}

/// Where the first of these tools is that is anywhere.
fn found(tools: &[&str]) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = tools.iter().find_map(|tool| on_path(tool, &path));
    found.ok_or_else(|| format!("{} was not found", tools[0]))
}

/// The kernel that all of them share, and its version.
fn kernel() -> String {
    let (program, arguments) = if cfg!(windows) { ("cmd", "/c ver") } else { ("uname", "-sr") };
    let asked = Command::new(program).args(arguments.split(' ')).output();
    let said = asked.map(|output| output.stdout).unwrap_or_default();
    // Linux 6.18.7-some-build
    String::from_utf8_lossy(&said).trim().split('-').next().unwrap_or_default().to_owned()
}

/// What a `.cargo/config.toml` has as the runner of a target, as words: the workspace's own, then the user's.
pub(super) fn configured(triple: &str) -> Option<Vec<String>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let files = std::iter::once(crate::workspace().join(".cargo")).chain(home).map(|folder| folder.join("config.toml"));
    files.filter_map(|file| std::fs::read_to_string(file).ok()).find_map(|text| runner_in(&text, triple))
}

fn runner_in(config: &str, triple: &str) -> Option<Vec<String>> {
    let config: toml::Table = config.parse().ok()?;
    match config.get("target")?.get(triple)?.get("runner")? {
        toml::Value::String(words) => Some(words.split_whitespace().map(ToOwned::to_owned).collect()),
        toml::Value::Array(words) => words.iter().map(|word| word.as_str().map(ToOwned::to_owned)).collect(),
        _ => None,
    }
}

/// The first words with which a tool says what it is.
fn version(tool: &Path) -> String {
    let said = Command::new(tool).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or_default();
    // qemu-s390x version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)
    line.split(" (").next().unwrap_or_default().replace(" version", "")
}

/// What the kernel is told: programs whose header begins like this one's are the emulator's. Neither the system's mark (byte 7)
/// nor what kind of program it is (the lower byte of a number of two, 2 or 3) matters.
fn registration(emulator: &Path, header: &[u8; 20]) -> String {
    let mut mask = [0xff; 20];
    mask[7] = 0;
    let is_little = header[5] == 1;
    mask[if is_little { 16 } else { 17 }] = 0xfe;
    let masked = header.iter().zip(mask).map(|(byte, mask)| byte & mask);
    let written = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let (magic, mask) = (written(masked.collect()), written(mask.to_vec()));
    // F: the emulator is opened now, so that it is there wherever its programs have another root.
    format!(":emulated:M::{magic}:{mask}:{}:F", emulator.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_a_line_of_cargos_configuration() {
        for (line, expected) in [
            ("runner = 'ssh host'", Some(vec!["ssh", "host"])),
            ("runner = ['qemu', '-L', '/a b']", Some(vec!["qemu", "-L", "/a b"])),
            ("linker = 'cc'", None),
        ] {
            let config = format!("[target.s390x-unknown-linux-gnu]\n{line}\n");
            let words = runner_in(&config, "s390x-unknown-linux-gnu");
            assert_eq!(words, expected.map(|words| words.into_iter().map(ToOwned::to_owned).collect()), "{line}");
            assert_eq!(runner_in(&config, "i686-unknown-linux-musl"), None);
        }
    }

    #[test]
    fn the_kernel_is_told_of_programs_of_one_processor_of_either_kind() {
        let header = *b"\x7fELF\x02\x02\x01\x03\0\0\0\0\0\0\0\0\x00\x03\x00\x16";
        let told = registration(Path::new("/usr/bin/emulator"), &header);
        let zeros = "\\x00".repeat(8);
        let expected = format!(
            ":emulated:M::\\x7f\\x45\\x4c\\x46\\x02\\x02\\x01\\x00{zeros}\\x00\\x02\\x00\\x16:{}\\x00{}\\xff\\xfe\\xff\\xff:/usr/bin/emulator:F",
            "\\xff".repeat(7),
            "\\xff".repeat(8),
        );
        assert_eq!(told, expected);
    }
}
