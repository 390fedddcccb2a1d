//! The targets, and what each needs to be built: a table, and how cargo is called with it.
//!
//! What runs their programs is known in `runner`.

use std::collections::BTreeSet;
use std::env::consts::{ARCH, OS};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use conformance::family::Family;

use super::wine;
use crate::{steps, workspace};

/// What runs a target's programs on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// The machine itself.
    Here,
    /// This emulator of another processor, over this machine's kernel.
    Emulated(&'static str),
    /// Wine, over this machine's kernel.
    Wine,
    /// Nothing.
    Nowhere,
}

/// What builds a target's programs beside Rust, where they are not the machine's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tools {
    /// A compiler for the C that is among the dependencies, and Rust's own linker.
    Compiler(&'static str),
    /// One that links as well.
    Linker(&'static str),
    /// Zig, which knows how to link for systems whose libraries are not here.
    Zig,
}

/// A target.
pub(super) struct Target {
    pub(super) triple: &'static str,
    /// What it is, for readers.
    pub(super) system: &'static str,
    /// The operating system, as Rust names it.
    os: &'static str,
    /// The processor, likewise.
    arch: &'static str,
    /// Of which end the first byte of a number is.
    order: &'static str,
    /// Of a pointer.
    bits: u32,
    /// What runs programs for this processor on another one.
    emulator: Option<&'static str>,
    tools: Tools,
    rust_flags: &'static str,
    /// What `apt-get` installs for it.
    packages: &'static [&'static str],
}

/// Static, so that no loader and no library of the target has to be there.
const STATIC: &str = "-C target-feature=+crt-static";

/// What most targets have in common.
const LINUX: Target = Target {
    triple: "",
    system: "",
    os: "linux",
    arch: "",
    order: "little",
    bits: 64,
    emulator: None,
    tools: Tools::Linker("cc"),
    rust_flags: STATIC,
    packages: &[],
};

/// All of them; those of the machine most have come first.
pub(super) const ALL: &[Target] = &[
    Target {
        triple: "x86_64-unknown-linux-gnu",
        system: "Linux/x86_64",
        arch: "x86_64",
        emulator: Some("qemu-x86_64-static"),
        tools: Tools::Linker("x86_64-linux-gnu-gcc"),
        rust_flags: "",
        packages: &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross", "qemu-user-static"],
        ..LINUX
    },
    Target {
        triple: "x86_64-unknown-linux-musl",
        system: "Linux/x86_64 with musl",
        arch: "x86_64",
        tools: Tools::Compiler("musl-gcc"),
        packages: &["musl-tools"],
        ..LINUX
    },
    Target {
        triple: "i686-unknown-linux-musl",
        system: "Linux/i686 with musl",
        arch: "x86",
        bits: 32,
        emulator: Some("qemu-i386-static"),
        tools: Tools::Compiler("i686-linux-gnu-gcc"),
        packages: &["gcc-i686-linux-gnu", "libc6-dev-i386-cross"],
        ..LINUX
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        system: "Linux/aarch64",
        arch: "aarch64",
        emulator: Some("qemu-aarch64-static"),
        tools: Tools::Linker("aarch64-linux-gnu-gcc"),
        packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user-static"],
        ..LINUX
    },
    Target {
        triple: "s390x-unknown-linux-gnu",
        system: "Linux/s390x",
        arch: "s390x",
        order: "big",
        emulator: Some("qemu-s390x-static"),
        tools: Tools::Linker("s390x-linux-gnu-gcc"),
        packages: &["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross", "qemu-user-static"],
        ..LINUX
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        system: "Linux/armv7",
        arch: "arm",
        bits: 32,
        emulator: Some("qemu-arm-static"),
        tools: Tools::Linker("arm-linux-gnueabihf-gcc"),
        packages: &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross", "qemu-user-static"],
        ..LINUX
    },
    Target {
        triple: "riscv64gc-unknown-linux-gnu",
        system: "Linux/riscv64",
        arch: "riscv64",
        emulator: Some("qemu-riscv64-static"),
        tools: Tools::Linker("riscv64-linux-gnu-gcc"),
        packages: &["gcc-riscv64-linux-gnu", "libc6-dev-riscv64-cross", "qemu-user-static"],
        ..LINUX
    },
    Target {
        triple: "powerpc64-unknown-linux-gnu",
        system: "Linux/powerpc64",
        arch: "powerpc64",
        order: "big",
        emulator: Some("qemu-ppc64-static"),
        tools: Tools::Linker("powerpc64-linux-gnu-gcc"),
        packages: &["gcc-powerpc64-linux-gnu", "libc6-dev-ppc64-cross", "qemu-user-static"],
        ..LINUX
    },
    Target {
        triple: "x86_64-pc-windows-gnu",
        system: "Windows/x86_64",
        os: "windows",
        arch: "x86_64",
        tools: Tools::Compiler("x86_64-w64-mingw32-gcc"),
        rust_flags: "",
        packages: &["gcc-mingw-w64-x86-64", "wine64"],
        ..LINUX
    },
    Target { triple: "x86_64-apple-darwin", system: "macOS/x86_64", os: "macos", arch: "x86_64", ..BY_ZIG },
    Target { triple: "aarch64-apple-darwin", system: "macOS/aarch64", os: "macos", arch: "aarch64", ..BY_ZIG },
    Target { triple: "x86_64-unknown-freebsd", system: "FreeBSD/x86_64", os: "freebsd", arch: "x86_64", ..BY_ZIG },
];

/// What the systems have in common whose libraries no package here has.
const BY_ZIG: Target = Target { tools: Tools::Zig, rust_flags: "", packages: &["python3-venv"], ..LINUX };

/// The target of this triple.
pub(super) fn named(triple: &str) -> Result<&'static Target, String> {
    ALL.iter().find(|target| target.triple == triple).ok_or_else(|| {
        let known = ALL.iter().map(|target| target.triple).collect::<Vec<_>>().join(", ");
        format!("{triple} is no target here; expected one of {known}")
    })
}

/// Where Zig is put, out of the way of whatever else is there in Python.
fn zigs_folder() -> PathBuf {
    workspace().join("target/zig")
}

/// Installs what these targets need, or prints how.
pub(super) fn set_up(targets: &[&Target], prints: bool) -> Result<(), String> {
    let zig = zigs_folder().display().to_string();
    for line in installing(targets, &zig, is_root()) {
        println!("{}", line.join(" "));
        if !prints && !steps::status(Command::new(&line[0]).args(&line[1..]))?.success() {
            return Err(format!("`{}` failed, see above", line.join(" ")));
        }
    }
    Ok(())
}

/// The commands that install what these targets need on a Debian machine.
fn installing(targets: &[&Target], zig: &str, is_root: bool) -> Vec<Vec<String>> {
    let others: Vec<_> = targets.iter().filter(|target| !target.is_this_machines()).collect();
    let packages: BTreeSet<_> = others.iter().flat_map(|target| target.packages).copied().collect();
    let mut lines =
        vec![[vec!["rustup", "target", "add"], targets.iter().map(|target| target.triple).collect()].concat()];
    if !packages.is_empty() {
        let sudo = if is_root { &[][..] } else { &["sudo"] };
        for words in [&["apt-get", "update"][..], &["apt-get", "install", "--yes", "--no-install-recommends"]] {
            lines.push([sudo, words].concat());
        }
        lines.last_mut().expect("just put there").extend(packages);
    }
    let pip = format!("{zig}/bin/pip");
    if others.iter().any(|target| target.tools == Tools::Zig) {
        lines.push(vec!["python3", "-m", "venv", zig]);
        lines.push(vec![&pip, "install", "ziglang", "cargo-zigbuild"]);
    }
    lines.iter().map(|line| line.iter().map(ToString::to_string).collect()).collect()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

impl Target {
    /// What its canary says.
    pub(super) fn says(&self) -> String {
        format!("{} {} {}-endian {}-bit", self.os, self.arch, self.order, self.bits)
    }

    /// Something of this family is judged by the suite there. It drives pairs by pty, pipes and signals as two systems have them, and
    /// so does the library by which it has a pty; on Windows it judges children alone, of families in which that can be.
    pub(super) fn judges(&self, family: Family) -> bool {
        match self.os {
            "linux" | "macos" => true,
            "windows" => family.is_judged_everywhere(),
            _ => false,
        }
    }

    /// The suite is there.
    pub(super) fn has_suite(&self) -> bool {
        Family::value_variants().iter().any(|family| self.judges(*family))
    }

    /// The suite judges all of every family there.
    pub(super) fn has_whole_suite(&self) -> bool {
        Family::value_variants().iter().all(|family| self.judges(*family))
    }

    /// What a program is called there, as a file.
    pub(super) fn file_of(&self, program: &str) -> String {
        format!("{program}{}", if self.os == "windows" { ".exe" } else { "" })
    }

    /// What runs its programs.
    pub(super) fn runs(&self) -> Runs {
        // A processor of 64 bits runs programs for its elder too.
        let is_its_processor = self.arch == ARCH || (self.arch, ARCH) == ("x86", "x86_64");
        match (self.os, OS) {
            (its, here) if its == here && is_its_processor => Runs::Here,
            ("linux", "linux") => self.emulator.map_or(Runs::Nowhere, Runs::Emulated),
            ("windows", "linux") => Runs::Wine,
            _ => Runs::Nowhere,
        }
    }

    /// Whatever builds anything here builds for it too.
    fn is_this_machines(&self) -> bool {
        self.runs() == Runs::Here && (OS != "linux" || self.triple == format!("{ARCH}-unknown-linux-gnu"))
    }

    /// The names of the tools that are not on this search path, and of the target itself where its standard library is not
    /// there. What runs its programs is no matter where somebody has named it.
    pub(super) fn missing(&self, path: &OsStr, has_runner: bool) -> Vec<String> {
        let path = if self.tools == Tools::Zig { with_zig(path) } else { path.to_owned() };
        let is_there = |tool: &str| on_path(tool, &path).is_some();
        let runner = match self.runs() {
            _ if has_runner => None,
            Runs::Emulated(emulator) => Some(emulator),
            Runs::Wine => Some(*wine::NAMES.iter().find(|wine| is_there(wine)).unwrap_or(&wine::NAMES[0])),
            Runs::Here | Runs::Nowhere => None,
        };
        let builder = match self.tools {
            _ if self.is_this_machines() => None,
            Tools::Compiler(tool) | Tools::Linker(tool) => Some(tool),
            Tools::Zig => Some("cargo-zigbuild"),
        };
        let tools = builder.into_iter().chain(runner);
        let mut missing: Vec<_> = tools.filter(|tool| !is_there(tool)).map(ToOwned::to_owned).collect();
        if !self.has_std() {
            missing.push(format!("Rust's standard library for {}", self.triple));
        }
        missing
    }

    fn has_std(&self) -> bool {
        let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", self.triple]).output();
        asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir())
    }

    /// Where its programs are, once they are built.
    pub(super) fn built(&self) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        workspace().join(target).join(self.triple).join("debug")
    }

    /// `cargo build` for it.
    pub(super) fn cargo_build(&self) -> Command {
        let is_by_zig = self.tools == Tools::Zig && !self.is_this_machines();
        self.with_tools(steps::cargo([if is_by_zig { "zigbuild" } else { "build" }, "--quiet"]))
    }

    /// `cargo test` for it, of what these words choose.
    pub(super) fn cargo_test(&self, of: &[&str]) -> Command {
        let mut cargo = steps::cargo(["test", "--quiet", "--no-fail-fast"]);
        cargo.args(of);
        self.with_tools(cargo)
    }

    fn with_tools(&self, mut cargo: Command) -> Command {
        cargo.current_dir(workspace()).args(["--target", self.triple]);
        // What is built for a run or two is not worth more.
        cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        if self.is_this_machines() {
            return cargo;
        }
        if let Tools::Compiler(tool) | Tools::Linker(tool) = self.tools {
            cargo.env(format!("CC_{}", self.triple.replace('-', "_")), tool);
        }
        if let Tools::Linker(tool) = self.tools {
            cargo.env(self.setting("LINKER"), tool);
        }
        if self.tools == Tools::Zig {
            cargo.env("PATH", with_zig(&std::env::var_os("PATH").unwrap_or_default()));
        }
        cargo.env(self.setting("RUSTFLAGS"), self.rust_flags);
        cargo
    }

    /// The name under which cargo is told of something for this target alone.
    pub(super) fn setting(&self, what: &str) -> String {
        format!("CARGO_TARGET_{}_{what}", self.triple.to_uppercase().replace('-', "_"))
    }

    /// Builds the canary, and says where it is.
    pub(super) fn canary(&self) -> Result<PathBuf, String> {
        let folder = self.built();
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let program = folder.join(self.file_of("canary"));
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "--crate-name", "canary", "--target", self.triple]);
        if !self.is_this_machines() {
            rustc.args(self.rust_flags.split_whitespace());
            if let Tools::Linker(tool) = self.tools {
                rustc.args(["-C", &format!("linker={tool}")]);
            }
        }
        rustc.arg(workspace().join("xtask/src/matrix/canary.rs")).arg("-o").arg(&program);
        match steps::status(&mut rustc)?.success() {
            true => Ok(program),
            false => Err("a program of a few lines was not built, see above".into()),
        }
    }
}

/// Where a tool is, if it is on this search path.
pub(super) fn on_path(tool: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(tool)).find(|file| file.is_file())
}

/// Where tools are looked for: where Zig was put, with a Python of its own, and as ever.
fn with_zig(path: &OsStr) -> OsString {
    let folders = std::iter::once(zigs_folder().join("bin")).chain(std::env::split_paths(path));
    std::env::join_paths(folders).unwrap_or(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_whose_tool_is_not_there_says_which() {
        let target = named("s390x-unknown-linux-gnu").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let missing = || target.missing(folder.path().as_os_str(), false);
        assert!(missing().iter().any(|tool| tool == "qemu-s390x-static"), "{:?}", missing());
        for tool in ["qemu-s390x-static", "s390x-linux-gnu-gcc"] {
            assert!(missing().iter().any(|missing| missing == tool));
            std::fs::write(folder.path().join(tool), "").unwrap();
            assert!(!missing().iter().any(|missing| missing == tool));
        }
        assert!(target.missing(OsStr::new(""), true).iter().any(|tool| tool == "s390x-linux-gnu-gcc"));
    }

    #[test]
    fn no_target_is_there_twice_and_each_is_what_its_name_says() {
        for (at, target) in ALL.iter().enumerate() {
            assert!(!ALL[..at].iter().any(|before| before.triple == target.triple), "{}", target.triple);
            let system = if target.os == "macos" { "darwin" } else { target.os };
            assert!(target.triple.contains(system), "{}", target.triple);
            assert!(target.arch == "x86" || target.triple.starts_with(target.arch), "{}", target.triple);
        }
        assert!(named("pdp11").is_err());
    }

    #[test]
    fn what_is_installed_is_what_is_asked_for_and_once() {
        let targets = ["s390x-unknown-linux-gnu", "powerpc64-unknown-linux-gnu", "x86_64-unknown-freebsd"];
        let targets: Vec<_> = targets.iter().map(|triple| named(triple).unwrap()).collect();
        let lines: Vec<_> = installing(&targets, "zig", false).iter().map(|line| line.join(" ")).collect();
        assert!(
            lines[0].starts_with("rustup target add ") && lines[0].ends_with(" x86_64-unknown-freebsd"),
            "{lines:?}"
        );
        assert_eq!(lines[1], "sudo apt-get update");
        for once in ["python3-venv", "qemu-user-static"] {
            assert_eq!(lines[2].matches(once).count(), 1, "{lines:?}");
        }
        assert!(lines[3..].iter().any(|line| line == "zig/bin/pip install ziglang cargo-zigbuild"), "{lines:?}");
        assert!(!installing(&targets, "zig", true).concat().contains(&"sudo".to_owned()));
    }
}
