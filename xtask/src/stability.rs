//! `cargo xtask stability`: the same pair judged again and again, idle or beside busy threads; no verdict may change.
//!
//! What was counted is kept in `fixtures/stability`, a slice for each pair, tier, load and contents that were judged, so
//! that a large number can be reached in slices and outlasts them. What is said of all slices of a pair says how many
//! rounds are of the present contents. A slice with a changed verdict is mended, not kept. Cases that wait for a deadline
//! by design run in the first hundred rounds of a slice only. Different pairs may be judged at once.

mod counted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use conformance::family::Family;
use conformance::subject::tier::Tier;

use crate::files::{read_json, replace};
use crate::test::has_namespaces;
use crate::{conformance as suite, contents, workspace};
use counted::{Counted, Report};

/// A case that comes to a deadline and takes longer than this waits by design; beside busy threads everything takes
/// longer.
const SLOW: Duration = Duration::from_millis(900);

#[derive(Args)]
pub(crate) struct Options {
    /// How often the pair is judged
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Busy threads beside it, for each processor
    #[arg(long, default_value_t = 0)]
    load: usize,
    /// What the pair speaks
    #[arg(long, value_enum, default_value_t)]
    family: Family,
    /// The pair: the reference, or a folder that holds another; one named as in `fixtures/pairs` is that pair, built
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Its profile
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// The tier in which it is judged [default: A where namespaces can be made]
    #[arg(long)]
    tier: Option<Tier>,
    /// Count these runs alone, and keep nothing
    #[arg(long)]
    no_keep: bool,
    /// Judge nothing, but say what was counted so far, and how much of it of the present contents
    #[arg(long, exclusive = true)]
    summary: bool,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let told = if options.summary { summary() } else { judged(options) };
    told.unwrap_or_else(|problem| {
        eprintln!("cargo xtask stability: {problem}");
        ExitCode::from(3)
    })
}

fn judged(options: &Options) -> Result<ExitCode, String> {
    let counted = counted(options)?;
    for line in counted.flips().iter().chain(&counted.never_judged()) {
        println!("{line}");
    }
    println!("{}", counted::summary(&[&counted]));
    Ok(if counted.is_stable() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for all slices of a pair under a load.
fn summary() -> Result<ExitCode, String> {
    let mut slices: BTreeMap<String, Vec<Counted>> = BTreeMap::new();
    for entry in std::fs::read_dir(kept()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some((slice, _contents)) = name.strip_suffix(".json").and_then(|stem| stem.rsplit_once('.')) {
            slices.entry(slice.to_owned()).or_default().push(read_json(&entry.path())?);
        }
    }
    if slices.is_empty() {
        println!("nothing was counted yet");
    }
    for (name, slices) in slices {
        let pair = name.split_once('.').map_or(name.as_str(), |(pair, _)| pair);
        let now = Pair::known(pair).map(|pair| pair.contents()).transpose()?.unwrap_or_default();
        let of_now = slices.iter().find(|slice| slice.contents == now).map_or(0, |slice| slice.rounds);
        let all: Vec<_> = slices.iter().collect();
        println!("{name}: {}; {of_now} rounds are of the present contents {now}", counted::summary(&all));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is judged.
struct Pair {
    name: String,
    family: Family,
    /// The folder of its programs; none for the reference, which is built here.
    bin: Option<PathBuf>,
    profile: Option<PathBuf>,
    /// It stands in the repository, and what is counted of it too.
    is_ours: bool,
}

impl Pair {
    fn of(options: &Options) -> Result<Self, String> {
        let family = options.family;
        let Some(bin) = &options.bin else {
            let Some(profile) = &options.profile else { return Ok(Self::reference(family)) };
            let name = profile.file_stem().unwrap_or_default().to_string_lossy();
            let reference = Self::over(&name).filter(|pair| pair.family == family);
            return Ok(Self { profile: Some(profile.clone()), ..reference.unwrap_or_else(|| Self::reference(family)) });
        };
        let bin = bin.canonicalize().map_err(|error| format!("{}: {error}", bin.display()))?;
        let name = bin.file_name().map_or_else(|| "pair".into(), |name| name.to_string_lossy().into_owned());
        let is_ours = Self::known(&name).is_some_and(|pair| pair.bin.is_some() && pair.family == family);
        Ok(Self { name, family, bin: Some(bin), profile: options.profile.clone(), is_ours })
    }

    /// The reference's pair of a family, as it is judged without a profile of its own.
    fn reference(family: Family) -> Self {
        let name = match family {
            Family::Watchdog => "reference".to_owned(),
            other => format!("reference-{other}"),
        };
        Self { name, family, bin: None, profile: Some(suite::reference_profile()), is_ours: true }
    }

    /// The reference's pair over something else than pipes, which has a profile of this name.
    fn over(name: &str) -> Option<Self> {
        let profile = suite::profile(name);
        let is_there = name.starts_with("reference-") && profile.is_file();
        is_there.then(|| Self { name: name.into(), profile: Some(profile), ..Self::reference(Family::Watchdog) })
    }

    /// One of the repository's, as it is judged without a profile of its own; or one that is called after its profile.
    fn known(name: &str) -> Option<Self> {
        if let Some(over) = Self::over(name) {
            return Some(over);
        }
        let families = Family::value_variants();
        if let Some(reference) = families.iter().map(|family| Self::reference(*family)).find(|pair| pair.name == name) {
            return Some(reference);
        }
        let folder = workspace().join("fixtures/pairs").join(name);
        // Those of another family are called so.
        let family = families.iter().find(|family| name.ends_with(&format!("-{family}")));
        let family = family.copied().unwrap_or_default();
        let bin = Some(folder.clone());
        folder.is_dir().then(|| Self { name: name.into(), family, bin, profile: None, is_ours: true })
    }

    /// The name for everything that its verdicts depend on.
    fn contents(&self) -> Result<String, String> {
        let folder = format!("fixtures/pairs/{}", self.name);
        let names = self.family.file_names();
        let programs: Vec<_> = self.bin.iter().flat_map(|bin| names.each_ref().map(|name| bin.join(name))).collect();
        // Another's programs are known by what they hold; ours by their text, since each build is another file.
        let (sources, mut others): (&[&str], Vec<&Path>) = match (&self.bin, self.is_ours) {
            (None, _) => (&contents::REFERENCE, Vec::new()),
            (Some(_), true) => (&[&folder], Vec::new()),
            (Some(_), false) => (&[], programs.iter().map(PathBuf::as_path).collect()),
        };
        others.extend(self.profile.as_deref());
        contents::name(&workspace(), sources, &others)
    }
}

/// Where the repository keeps what was counted.
fn kept() -> PathBuf {
    workspace().join("fixtures/stability")
}

fn counted(options: &Options) -> Result<Counted, String> {
    let pair = Pair::of(options)?;
    let contents = pair.contents()?;
    suite::build(true)?;
    let built = suite::built_directory()?;
    let scratch = built.parent().unwrap_or(&built).join("stability");
    let tier = options.tier.unwrap_or(if has_namespaces() { Tier::A } else { Tier::C });
    let tier = tier.to_possible_value().expect("each tier has a name").get_name().to_owned();
    let name = match options.load {
        0 => format!("{}.{tier}.idle", pair.name),
        load => format!("{}.{tier}.load-{load}", pair.name),
    };
    let slice = Slice::prepare(scratch.join(&name), &built, &pair, tier)?;
    if pair.contents()? != contents {
        return Err("something was changed while it was built; begin again".into());
    }
    let folder = if pair.is_ours { kept() } else { scratch };
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = folder.join(format!("{name}.{contents}.json"));
    let mut counted = match options.no_keep || !file.exists() {
        true => Counted::nothing_of(&contents),
        false => read_json(&file)?,
    };
    let _load = Load::start(options.load * std::thread::available_parallelism().map_or(1, usize::from));
    let slow = SLOW * u32::try_from(options.load + 1).unwrap_or(u32::MAX);
    for round in 0..options.runs {
        let report = slice.judge(&counted.left_out())?;
        for changed in counted.add(&report, slow) {
            println!("round {}: {changed}", counted.rounds);
        }
        // After each round, so that a slice that is cut short is not lost.
        if !options.no_keep {
            replace(&file, &counted.text())?;
        }
        eprintln!("{} of {}: {} ms", round + 1, options.runs, report.total_ms);
    }
    Ok(counted)
}

/// A folder with copies of the programs that run, so that a build meanwhile does not put others in their place.
struct Slice {
    folder: PathBuf,
    bin: PathBuf,
    profile: toml::Table,
    family: Family,
    tier: String,
}

impl Slice {
    fn prepare(folder: PathBuf, built: &Path, pair: &Pair, tier: String) -> Result<Self, String> {
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        suite::copy_built(&suite::SUITE, built, &folder)?;
        if pair.bin.is_none() {
            suite::copy_built(&pair.family.file_names(), built, &folder)?;
        }
        let profile = match &pair.profile {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
            }
            None => toml::Table::new(),
        };
        let bin = pair.bin.clone().unwrap_or_else(|| folder.clone());
        Ok(Self { folder, bin, profile, family: pair.family, tier })
    }

    /// One round, without these requirements.
    fn judge(&self, left_out: &[&str]) -> Result<Report, String> {
        let [profile, json] = ["profile.toml", "report.json"].map(|name| self.folder.join(name));
        let mut stated = self.profile.clone();
        let skip = stated.entry("skip").or_insert_with(|| toml::Value::Array(Vec::new()));
        let skip = skip.as_array_mut().ok_or("the profile's `skip`: expected a list")?;
        skip.extend(left_out.iter().map(|id| toml::Value::from(*id)));
        std::fs::write(&profile, stated.to_string()).map_err(|error| format!("{}: {error}", profile.display()))?;
        let _ = std::fs::remove_file(&json);
        let mut suite = Command::new(self.folder.join("conformance"));
        suite.arg("--bin").arg(&self.bin).arg("--profile").arg(&profile).arg("--json").arg(&json);
        suite.args(["--family", &self.family.to_string(), "--tier", &self.tier]);
        let output = suite.stdin(Stdio::null()).output().map_err(|error| format!("the suite: {error}"))?;
        let report = std::fs::read(&json).map_err(|_| {
            format!("no report; status {:?}; {}", output.status.code(), String::from_utf8_lossy(&output.stderr))
        })?;
        serde_json::from_slice(&report).map_err(|error| format!("{}: {error}", json.display()))
    }
}

/// Threads that do nothing and take all the time there is, until it is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start(threads: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let over = over.clone();
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Option<Options> {
        Line::try_parse_from(["stability"].iter().chain(words)).ok().map(|line| line.options)
    }

    #[test]
    fn nothing_is_stable_in_no_runs() {
        assert!(options(&["--runs", "0"]).is_none());
        assert!(options(&["--runs", "1"]).is_some());
        assert!(options(&["--summary", "--runs", "1"]).is_none());
    }

    #[test]
    fn the_repositorys_pairs_are_told_from_those_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let pair = |name: &str| {
            let bin = folder.path().join(name);
            std::fs::create_dir(&bin).unwrap();
            for program in ["watchdog", "server"] {
                std::fs::write(bin.join(program), name).unwrap();
            }
            Pair::of(&options(&["--bin", bin.to_str().unwrap()]).unwrap()).unwrap()
        };
        assert!(Pair::of(&options(&[]).unwrap()).unwrap().is_ours);
        let profile = suite::profile("reference-tcp");
        let over = Pair::of(&options(&["--profile", profile.to_str().unwrap()]).unwrap()).unwrap();
        let known = Pair::known("reference-tcp").unwrap();
        assert_eq!((over.name.as_str(), known.contents().unwrap()), ("reference-tcp", over.contents().unwrap()));
        assert_ne!(known.contents().unwrap(), Pair::known("reference").unwrap().contents().unwrap());
        assert!(pair("c").is_ours && !pair("solution").is_ours && !pair("reference").is_ours);
        // What others keep is told apart by what it holds.
        let solution = pair("another");
        let before = solution.contents().unwrap();
        std::fs::write(folder.path().join("another/server"), "changed").unwrap();
        assert_ne!(solution.contents().unwrap(), before);
    }
}
