//! What runs a target's programs: nothing in between, an emulator that the kernel is told of in namespaces of its own, Wine with
//! a prefix of its own, or a command that somebody names.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::targets::{Runs, Target};

/// Where Wine is, by its names.
pub(super) const WINE: [&str; 3] = ["wine64", "wine", "/usr/lib/wine/wine64"];

/// Tells the kernel, for what is below these namespaces alone, what runs programs of another kind, and becomes the rest.
const REGISTERED: &str = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && \
     printf %s \"$1\" > /proc/sys/fs/binfmt_misc/register && shift && exec \"$@\"";

/// Rust's standard library wants this of a library that Wine 8 does not have.
const RANDOM: &str = "#include <windows.h>\nBOOLEAN NTAPI SystemFunction036(PVOID, ULONG);\n\
     __declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T bytes) { return SystemFunction036(to, (ULONG)bytes); }\n";

/// What runs programs.
pub(super) enum Runner {
    Here,
    /// An emulator, and what the kernel is told of it.
    Emulated {
        version: String,
        told: String,
    },
    /// Wine, and its prefix.
    Wine {
        wine: PathBuf,
        version: String,
        prefix: PathBuf,
    },
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
                let emulator = found(emulator)?;
                let mut header = [0; 20];
                let read = std::fs::File::open(canary).and_then(|mut file| file.read_exact(&mut header));
                read.map_err(|error| format!("{}: {error}", canary.display()))?;
                Ok(Runner::Emulated { version: version(&emulator), told: registration(&emulator, &header) })
            }
            Runs::Wine => {
                let wine = WINE.iter().find_map(|wine| found(wine).ok()).ok_or("wine64 was not found")?;
                let runner = Runner::Wine { version: version(&wine), wine, prefix: target.built().join("wine") };
                runner.make_prefix()?;
                Ok(runner)
            }
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
            Runner::Wine { wine, prefix, .. } => {
                let mut command = Command::new(wine);
                command.arg(program).envs(of_wine(prefix));
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
    #[cfg(unix)]
    pub(super) fn is_emulated(&self) -> bool {
        matches!(self, Runner::Emulated { .. })
    }

    /// A target's system, with what runs it here.
    pub(super) fn system(&self, of_target: &str) -> String {
        match self {
            Runner::Here => format!("{of_target}, {}", kernel()),
            Runner::Emulated { version, .. } => format!("{of_target} under {version} over {}", kernel()),
            Runner::Wine { version, .. } => format!("{of_target}'s calls under {version} over {}", kernel()),
            Runner::Named(words) => format!("{of_target} by `{}`", words.join(" ")),
        }
    }

    /// The tests of what cannot happen there. One thread of Wine's server makes the connections of all its programs, and a request
    /// over the loopback is refused before it makes the next: two never cross.
    pub(super) fn cannot(&self) -> &'static [&'static str] {
        match self {
            Runner::Wine { .. } => &["two_of_whom_neither_listens_meet"],
            Runner::Here | Runner::Emulated { .. } | Runner::Named(_) => &[],
        }
    }

    /// Lets cargo run what it builds for a target.
    pub(super) fn lend_to_cargo(&self, cargo: &mut Command, triple: &str) {
        let name = format!("CARGO_TARGET_{}_RUNNER", triple.to_uppercase().replace('-', "_"));
        match self {
            Runner::Wine { wine, prefix, .. } => _ = cargo.env(name, wine).envs(of_wine(prefix)),
            Runner::Named(words) => _ = cargo.env(name, words.join(" ")),
            Runner::Here | Runner::Emulated { .. } => {}
        }
    }

    /// A prefix for Wine in which what Rust needs is there.
    fn make_prefix(&self) -> Result<(), String> {
        let Runner::Wine { wine, prefix, .. } = self else { return Ok(()) };
        let told = |error: std::io::Error| format!("{}: {error}", prefix.display());
        let folder = prefix.join("drive_c/windows/system32");
        let library = folder.join("bcryptprimitives.dll");
        if library.is_file() {
            return Ok(());
        }
        std::fs::create_dir_all(prefix).map_err(told)?;
        let booted = Command::new(wine).args(["wineboot", "--init"]).envs(of_wine(prefix)).output().map_err(told)?;
        if !folder.is_dir() {
            return Err(format!("Wine made no prefix: {}", String::from_utf8_lossy(&booted.stderr).trim()));
        }
        let source = prefix.join("random.c");
        std::fs::write(&source, RANDOM).map_err(told)?;
        let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
        compiler.args(["-shared", "-O2", "-o"]).arg(&library).arg(&source).arg("-ladvapi32");
        match compiler.output().map_err(told)? {
            output if output.status.success() => Ok(()),
            output => Err(format!("bcryptprimitives.dll: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }
}

impl Drop for Runner {
    /// Wine's server would stay for a while.
    fn drop(&mut self) {
        if let Runner::Wine { wine, prefix, .. } = self {
            let server = wine.with_file_name("wineserver64");
            let server = if server.is_file() { server } else { wine.with_file_name("wineserver") };
            let _ = Command::new(server).arg("-k").envs(of_wine(prefix)).status();
        }
    }
}

fn of_wine(prefix: &Path) -> [(&'static str, PathBuf); 3] {
    let settings = "mscoree,mshtml,winemenubuilder.exe=";
    [("WINEPREFIX", prefix.to_owned()), ("WINEDEBUG", "-all".into()), ("WINEDLLOVERRIDES", settings.into())]
}

/// Where a tool is.
fn found(tool: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).map(|folder| folder.join(tool));
    all.chain([PathBuf::from(tool)])
        .find(|file| file.is_absolute() && file.is_file())
        .ok_or(format!("{tool} was not found"))
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
