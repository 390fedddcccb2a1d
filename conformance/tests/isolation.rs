//! Tier A from inside and from outside: what a confined program finds, what it cannot do, and that nobody of it stays.
//!
//! These tests drive sessions themselves; those that start the suite as a program are in `judging`.
#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use conformance::event::{Event, Status, Stream, What, Who, shown};
use conformance::record::Record;
use conformance::subject::handover::SOCKET;
use conformance::subject::limits::Limits;
use conformance::subject::place::RunFolder;
use conformance::subject::plan::{ChildPlan, Plan};
use conformance::subject::remains::Remain;
use conformance::subject::session::Session;
use rustix::io::FdFlags;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run in tier A, where the machine lets one.
fn tier_a() -> Option<RunFolder> {
    match RunFolder::confined(&[Path::new("/bin/sh")], &[], Limits::default()) {
        Ok(run) => Some(run),
        Err(error) => {
            // `cargo xtask test` leaves these tests out by their names where it finds no namespaces.
            assert!(std::env::var_os("CI").is_none(), "{error}: in CI tier A must be there");
            println!("{error}: not run");
            None
        }
    }
}

/// Sessions have users of their own.
fn has_users(run: &RunFolder) -> bool {
    !run.sandbox.lapses().iter().any(|lapse| lapse.contains("the suite's user"))
}

/// What came of a script that ran confined.
struct Outcome {
    said: String,
    complained: String,
    status: Option<Status>,
    /// What ran on after it.
    outlived: Vec<Remain>,
}

/// The same, in which a folder can be seen, wherever it is.
fn tier_a_with(folder: &Path) -> RunFolder {
    RunFolder::confined(&[Path::new("/bin/sh"), folder], &[], Limits::default()).unwrap()
}

fn plan(script: &str) -> Plan {
    Plan {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: Vec::new(),
        terminal: false,
        child: ChildPlan::Held(Vec::new()),
        extra: Vec::new(),
        deaf_to: Vec::new(),
        strace: None,
        who: Who::Watchdog,
    }
}

async fn started(run: &RunFolder, plan: Plan, record: Record) -> Session {
    let session = Session::start(Arc::new(record), run.session().unwrap(), plan, PATIENCE).await;
    session.unwrap_or_else(|error| panic!("{error:?}"))
}

async fn begun(run: &RunFolder, script: &str) -> Session {
    started(run, plan(script), Record::default()).await
}

async fn finished(session: &Session) -> Outcome {
    let status = session.ended(Who::Watchdog).await.expect("it ends");
    let outlived = session.finish().await.unwrap();
    let said =
        |stream| session.record.look(|events| String::from_utf8_lossy(&shown(events, Some(stream))).into_owned());
    Outcome { said: said(Stream::Stdout), complained: said(Stream::Stderr), status, outlived }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn confined(run: &RunFolder, script: &str) -> Outcome {
    block_on(async { finished(&begun(run, script).await).await })
}

fn says(run: &RunFolder, script: &str) -> String {
    let outcome = confined(run, script);
    assert_eq!(outcome.status, Some(Status::Exited(0)), "{script}: {}{}", outcome.said, outcome.complained);
    outcome.said
}

#[test]
fn a_program_is_never_process_1_and_so_a_default_sigalrm_ends_it() {
    let Some(run) = tier_a() else { return };
    let said = says(&run, "echo $$ $PPID");
    let (own, parent) = said.trim().split_once(' ').unwrap();
    assert_ne!(own, "1");
    assert_eq!(parent, "1", "as for whoever's parent has gone");
    assert_eq!(confined(&run, "kill -ALRM $$").status, Some(Status::Killed(libc::SIGALRM)));
}

#[test]
fn a_status_is_told_from_a_signal() {
    let Some(run) = tier_a() else { return };
    assert_eq!(confined(&run, "exit 142").status, Some(Status::Exited(142)));
    assert_eq!(confined(&run, "kill -SEGV $$").status, Some(Status::Killed(libc::SIGSEGV)));
}

#[test]
fn it_gives_way_to_the_suite_where_priorities_count_among_all_sessions() {
    let Some(run) = tier_a() else { return };
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let is_moved = groups.contains(&format!("/conf-{}-", std::process::id()));
    if !is_moved {
        println!("no control group with processors can be made: not run");
    }
    let own = rustix::process::getpriority_process(None).unwrap();
    let expected = if is_moved { own.max(10) } else { own };
    assert_eq!(says(&run, "nice").trim(), expected.to_string());
}

#[test]
fn each_session_has_a_share_of_the_processors_and_so_has_the_suite() {
    let Some(run) = tier_a() else { return };
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = groups.lines().find_map(|line| line.strip_suffix("/suite")) else {
        return println!("no control group with processors can be made: not run");
    };
    let its = || {
        let said = says(&run, "cat /proc/self/cgroup");
        let number = said.lines().find_map(|line| line.strip_prefix(own)?.strip_prefix('/')?.parse::<usize>().ok());
        number.unwrap_or_else(|| panic!("not in a group in {own}:\n{said}"))
    };
    assert_ne!(its(), its());
}

#[test]
fn only_its_own_processes_are_to_be_seen() {
    let Some(run) = tier_a() else { return };
    let seen = says(&run, "ls -d /proc/[0-9]*");
    assert!(seen.lines().count() <= 3, "{seen}");
    // Process 1 is there, and says nothing of itself; to who would be root, were it not for the sandbox, how many descriptors it has.
    let closed = says(&run, "cat /proc/1/environ 2>/dev/null || readlink /proc/1/fd/* 2>/dev/null || echo closed");
    assert_eq!(closed.trim(), "closed");
    if has_users(&run) || !rustix::process::geteuid().is_root() {
        assert_eq!(says(&run, "ls /proc/1/fd 2>/dev/null || echo closed").trim(), "closed");
    }
    let deaf =
        says(&run, "kill -KILL 1 2>/dev/null; kill -STOP 1 2>/dev/null; echo $?; kill -0 1 2>/dev/null; echo on");
    assert!(deaf.ends_with("on\n"));
}

#[test]
fn it_has_no_rights_and_can_get_none() {
    let Some(run) = tier_a() else { return };
    let status = says(&run, "cat /proc/self/status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    for rights in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(rights), "0000000000000000", "{rights}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("SigBlk:"), "0000000000000000");
    assert_eq!(field("SigIgn:"), "0000000000000000");
    assert_eq!(says(&run, "cat /proc/sys/user/max_user_namespaces").trim(), "0", "no namespaces in namespaces");
    assert!(!field("Uid:").starts_with('0'));
    let knows_everybody = std::fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295");
    if rustix::process::geteuid().is_root() && knows_everybody {
        assert!(has_users(&run), "{:?}", run.sandbox.lapses());
    }
    if has_users(&run) {
        assert_eq!(field("Groups:"), "");
    }
}

#[test]
fn two_sessions_at_a_time_are_two_users() {
    let Some(run) = tier_a() else { return };
    if !has_users(&run) {
        return;
    }
    let users = block_on(async {
        let sessions = [begun(&run, "id -u; read -r line").await, begun(&run, "id -u; read -r line").await];
        let mut users = Vec::new();
        for session in &sessions {
            session.line("on").await.unwrap();
            users.push(finished(session).await.said);
        }
        users
    });
    assert_ne!(users[0], users[1]);
}

/// All of this once more, by who is root in a namespace alone, as in a container that somebody else started.
#[test]
fn who_is_root_in_a_container_alone_keeps_programs_apart_as_well() {
    if tier_a().is_none() {
        return;
    }
    let mut again = std::process::Command::new("unshare");
    again.args(["--user", "--map-root-user"]).arg(std::env::current_exe().unwrap());
    // The second makes a device, which nobody may there.
    again.args(["--nocapture", "--skip", "who_is_root_in_a_container"]);
    again.args(["--skip", "a_device_that_is_open_to_all_is_closed_to_it"]);
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(" passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // Somebody who is not root has no control groups to begin with.
    let may_be_missing = |line: &str| {
        line.contains("perl not found") || line.contains("no control group") && !rustix::process::geteuid().is_root()
    };
    let is_whole = said.lines().filter(|line| line.contains("not run")).all(may_be_missing);
    assert!(is_whole, "{said}");
}

#[test]
fn its_terminal_is_its_own() {
    let Some(run) = tier_a() else { return };
    let own = "read -r pid name state parent group session terminal foreground rest < /proc/$$/stat; \
               [ $pid = $group ] && [ $pid = $session ] && [ $pid = $foreground ] && : > /dev/tty && echo leads";
    let shown = block_on(async {
        let session = started(&run, Plan { terminal: true, ..plan(own) }, Record::default()).await;
        finished(&session).await;
        session.record.look(|events| String::from_utf8_lossy(&shown(events, Some(Stream::Terminal))).into_owned())
    });
    assert_eq!(shown.trim(), "leads");
}

/// Who started the suite may have a keyring for its session, and what is asked of an init is nothing for its program.
#[test]
fn its_keys_are_its_own_and_it_does_not_die_with_its_parent() {
    let Some(run) = tier_a() else { return };
    if confined(&run, "command -v perl").status != Some(Status::Exited(0)) {
        assert!(std::env::var_os("CI").is_none(), "perl not found: in CI it must be there");
        println!("perl not found: not run");
        return;
    }
    let (keyctl, prctl) = (libc::SYS_keyctl, libc::SYS_prctl);
    let described = "syscall($ARGV[0], 6, -3, $text = \"\\0\" x 99, 99) > 0 and print $text =~ /^[^\\0]*/g, \"\\n\"";
    let asked = "syscall($ARGV[1], 2, $signal = \"\\1\" x 4, 0, 0, 0) == 0 and print unpack(\"i\", $signal)";
    let said = says(&run, &format!("id -u; perl -e '{described}; {asked}' {keyctl} {prctl}"));
    let lines: Vec<_> = said.lines().collect();
    let keyring: Vec<_> = lines[1].split(';').collect();
    assert_eq!((keyring[0], keyring[1], keyring[4]), ("keyring", lines[0], "_ses"), "{said}");
    assert_eq!(lines[2], "0", "the signal that it is to be sent then: {said}");
}

#[test]
fn whose_parent_ends_has_process_1_as_its_parent_as_outside_of_a_sandbox() {
    let Some(run) = tier_a() else { return };
    let orphan = "until grep -q \"^PPid:[[:space:]]*1$\" /proc/$$/status; do :; done; echo orphaned";
    block_on(async {
        let session = begun(&run, &format!("(sh -c '{orphan}' &); read -r line")).await;
        let is_orphaned = |events: &[Event]| (shown(events, Some(Stream::Stdout)) == b"orphaned\n").then_some(());
        session.until(is_orphaned).await.expect("its parent is process 1");
        session.finish().await.unwrap();
    });
}

#[test]
fn what_it_says_has_a_bound() {
    let Some(run) = tier_a() else { return };
    let kept = Limits::default().kept_bytes();
    let said = block_on(async {
        let session = started(&run, plan("exec yes"), Record::keeping(kept)).await;
        let is_flooded =
            |events: &[Event]| events.iter().any(|event| matches!(event.what, What::Flooded)).then_some(());
        session.until(is_flooded).await.expect("it says too much");
        // Nobody listens any more, however long it goes on.
        let is_full = session.asleep(session.pid, std::time::Instant::now() + PATIENCE).await;
        assert!(is_full, "it goes on");
        session.finish().await.unwrap();
        session.record.look(|events| shown(events, None).len())
    });
    // Each piece takes something beside its bytes, and there may be many.
    assert!(said < kept + (1 << 20), "{said} bytes are kept");
}

#[test]
fn it_can_write_where_it_is_and_nowhere_else() {
    let Some(run) = tier_a() else { return };
    let said = says(
        &run,
        "pwd; echo $HOME; echo kept > here && cat here; ls -A /tmp; echo x > /tmp/private && cat /tmp/private",
    );
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], lines[1]);
    // In /tmp there is nothing but the way to its own folder, if that is in there.
    let way = Path::new(lines[0]).strip_prefix("/tmp").ok().and_then(|below| below.iter().next()?.to_str());
    assert_eq!(lines[2..], ["kept"].into_iter().chain(way).chain(["x"]).collect::<Vec<_>>());
    assert!(!Path::new("/tmp/private").exists());
    let open = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::set_permissions(open.path(), PermissionsExt::from_mode(0o777)).unwrap();
    for place in ["/", "/etc", "/usr", "/var/lib", "/proc/sys/kernel", "/sys", open.path().to_str().unwrap()] {
        assert_ne!(confined(&run, &format!("echo x > {place}/conformance-was-here")).status, Some(Status::Exited(0)));
    }
    // Not that it is not there, or no place of its own, but that nobody can.
    let closed =
        confined(&tier_a_with(open.path()), &format!("echo x > {}/conformance-was-here", open.path().display()));
    assert!(closed.complained.contains("Read-only file system"), "{}", closed.complained);
    assert_eq!(open.path().read_dir().unwrap().count(), 0);
}

/// A mount that is to be read only does not guard devices.
#[test]
fn a_device_that_is_open_to_all_is_closed_to_it() {
    if tier_a().is_none() || !rustix::process::geteuid().is_root() {
        return;
    }
    // Not in a scratch folder: whatever can be seen there, it may change as far as mounts let it.
    let folder = tempfile::tempdir_in(std::env::home_dir().unwrap()).unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let device = folder.path().join("as-good-as-null");
    let (kind, number) = (rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    rustix::fs::mknodat(rustix::fs::CWD, &device, kind, 0o666.into(), number).unwrap();
    std::fs::set_permissions(&device, PermissionsExt::from_mode(0o666)).unwrap();
    let device = device.display();
    let run = tier_a_with(folder.path());
    assert_eq!(run.sandbox.lapses(), Vec::<String>::new());
    let said =
        says(&run, &format!("cat {device} && echo x > /dev/null && echo read; echo x > {device} || echo closed"));
    assert_eq!(said, "read\nclosed\n");
}

#[test]
fn what_it_writes_has_a_bound_and_is_gone_with_it() {
    let Some(run) = tier_a() else { return };
    let floods =
        says(&run, "for at in . /tmp; do head -c 100000000 /dev/zero > $at/flood || echo full; rm $at/flood; done");
    assert_eq!(floods, "full\nfull\n");
    let many = "touch $(seq 20000) 2>/dev/null || echo full";
    assert_eq!(says(&run, many), "full\n");
    // Deep, and closed to its owner.
    let deep = "pwd; path=$(printf 'f/%.0s' $(seq 1500)); mkdir -p $path && cd $path && chmod 0 . /tmp/.";
    let folder = says(&run, deep);
    assert_eq!(
        Path::new(folder.trim()).read_dir().unwrap().count(),
        2,
        "the socket, and what stands in the server's place"
    );
}

#[test]
fn memory_has_a_bound() {
    let Some(run) = tier_a() else { return };
    let outcome = confined(&run, "exec head -c 3G /dev/zero | tail -c 3G | wc -c");
    // It is given no more, or, where the bound on the session comes first, ended.
    let is_bounded = ["memory", "Killed"].iter().any(|word| outcome.complained.contains(word));
    assert!(outcome.said == "0\n" && is_bounded, "{}{}", outcome.said, outcome.complained);
}

#[test]
fn its_network_is_a_loopback_on_which_the_target_is() {
    let Some(run) = tier_a() else { return };
    let devices = says(&run, "cat /proc/net/dev");
    assert_eq!(devices.lines().skip(2).count(), 1, "{devices}");
    let outside = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_ne!(says(&run, "readlink /proc/self/ns/net").trim(), outside.to_str().unwrap());
}

/// Eight that each ask for less than one may have ask for more than that together. Whoever has it says so, and holds it until
/// each of them either has it or is gone.
#[test]
fn all_of_a_session_together_have_a_bound_on_their_memory() {
    if tier_a().is_none() {
        return;
    }
    let limits = Limits { max_memory: 128, ..Limits::default() };
    let run = RunFolder::confined(&[Path::new("/bin/sh")], &[], limits).unwrap();
    if let Some(lapse) = run.sandbox.lapses().iter().find(|lapse| lapse.contains("memory")) {
        return println!("{lapse}: not run");
    }
    let hogs = r#"
        pipe(HOLD, GO);
        for (1..8) {
            pipe(my $has, my $says);
            if (!fork) { close GO; my $held = "x" x (24 << 20); syswrite $says, "1"; sysread HOLD, $_, 1; exit }
            push @all, $has;
        }
        sysread $_, my $one, 1 for @all;
        close GO;
        wait, $? == 9 && $killed++ for @all;
        print "$killed killed\n""#;
    let said = says(&run, &format!("exec perl -e '{hogs}'"));
    let killed = said.trim().strip_suffix(" killed").and_then(|count| count.parse::<u8>().ok());
    assert!(killed.is_some_and(|killed| (1..8).contains(&killed)), "{said:?}");
}

#[test]
fn the_memory_and_the_queues_that_it_shares_are_its_own() {
    let Some(run) = tier_a() else { return };
    let outside = std::fs::read_link("/proc/self/ns/ipc").unwrap();
    block_on(async {
        let named = async || {
            let session = begun(&run, "readlink /proc/self/ns/ipc; read -r line").await;
            let line = |events: &[Event]| {
                let said = shown(events, Some(Stream::Stdout));
                said.ends_with(b"\n").then(|| String::from_utf8_lossy(&said).trim().to_owned())
            };
            let name = session.until(line).await.expect("it is named");
            (session, name)
        };
        // At the same time: the name of one that is gone may be another's.
        let [(first, one), (second, other)] = [named().await, named().await];
        assert!(one.starts_with("ipc:") && one != other && one != outside.to_str().unwrap());
        first.finish().await.unwrap();
        second.finish().await.unwrap();
    });
}

#[test]
fn it_has_no_descriptors_but_its_own() {
    let Some(run) = tier_a() else { return };
    // Another part of the same program may have opened one that is handed on.
    let _handed_on = std::fs::File::open("/").inspect(|file| _ = rustix::io::fcntl_setfd(file, FdFlags::empty()));
    // 3 is the folder that is listed.
    assert_eq!(says(&run, "exec ls /proc/self/fd").split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

#[test]
fn whoever_hides_is_seen_and_goes_with_the_rest() {
    let Some(run) = tier_a() else { return };
    // A session and a parent of its own, no environment, no descriptors, another folder.
    let hider = "cd /; (setsid env -i sh -c 'exec sleep 1007' </dev/null >/dev/null 2>&1 &)";
    // Whoever is just becoming a program has no command line for a moment.
    let hides = "until grep -qa '^sleep' /proc/[0-9]*/cmdline 2>/dev/null; do :; done";
    let outcome = confined(&run, &format!("{hider}; {hides}"));
    assert_eq!(outcome.outlived.len(), 1, "{:?}", outcome.outlived);
    assert!(outcome.outlived[0].command.contains("sleep 1007"));
    assert!(!Path::new(&format!("/proc/{}", outcome.outlived[0].pid)).exists());
}

/// Tier B.
#[test]
fn in_a_control_group_nobody_is_hidden() {
    let run = match RunFolder::grouped() {
        Ok(run) => run,
        Err(error) => return println!("{error}: not run"),
    };
    let hider = "cd /; (setsid env -i sh -c 'exec sleep 1009' </dev/null >/dev/null 2>&1 &)";
    let hides = "until grep -qa '^sleep.1009' /proc/[0-9]*/cmdline 2>/dev/null; do :; done";
    let outcome = confined(&run, &format!("{hider}; {hides}"));
    assert_eq!((outcome.status, outcome.outlived.len()), (Some(Status::Exited(0)), 1), "{:?}", outcome.outlived);
    assert!(outcome.outlived[0].command.contains("sleep 1009"));
    // Somebody else's child by now, who may not have asked yet how it ended.
    let command = std::fs::read(format!("/proc/{}/cmdline", outcome.outlived[0].pid)).unwrap_or_default();
    assert!(command.is_empty(), "{}", String::from_utf8_lossy(&command));
}

#[test]
fn of_a_hidden_folder_only_its_own_is_seen() {
    if tier_a().is_none() {
        return;
    }
    let all = tempfile::tempdir().unwrap();
    std::fs::set_permissions(all.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let [own, other] = ["own", "other"].map(|name| all.path().join(name));
    [&own, &other].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    std::fs::write(other.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("/bin/sh", own.join("watchdog")).unwrap();
    std::fs::write(own.join("part"), "part").unwrap();
    let all = all.path().canonicalize().unwrap();
    let run = RunFolder::confined(&[&all.join("own/watchdog")], std::slice::from_ref(&all), Limits::default()).unwrap();
    let seen =
        says(&run, &format!("cd {}; ls; cat own/part; touch x 2>&1 | grep -o 'Read-only file system'", all.display()));
    assert_eq!(seen, "own\npartRead-only file system\n");
}

/// Folders that `mktemp -d` makes are closed to other users, and what was handed in is often unpacked into one.
#[test]
fn of_a_folder_that_is_its_owners_alone_everything_open_is_seen() {
    if tier_a().is_none() {
        return;
    }
    let [own, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let inner = own.path().join("inner");
    let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, own.path().join(name)).unwrap();
    let secrets = other.path().join("secrets");
    for folder in [&inner, &own.path().join("parts"), &secrets] {
        std::fs::create_dir(folder).unwrap();
    }
    for (file, mode) in [("inner/watchdog", 0o755), ("parts/part", 0o644), ("private", 0o600)] {
        std::fs::write(own.path().join(file), "told\n").unwrap();
        std::fs::set_permissions(own.path().join(file), PermissionsExt::from_mode(mode)).unwrap();
    }
    std::fs::write(secrets.join("open"), "secret").unwrap();
    link(&secrets, "elsewhere");
    link(Path::new("parts/part"), "link");
    link(Path::new("nowhere"), "dangling");
    for folder in [&inner, own.path(), other.path()] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
    }
    let own = own.path().canonicalize().unwrap();
    let run = RunFolder::confined(&[&own.join("inner/watchdog")], &[], Limits::default()).unwrap();
    let seen = says(
        &run,
        &format!("cd {}; ls; cat inner/watchdog link; cat private elsewhere/open 2> /dev/null; true", own.display()),
    );
    let of_the_owner = if has_users(&run) { "" } else { "told\n" };
    assert_eq!(seen, format!("dangling\nelsewhere\ninner\nlink\nparts\nprivate\ntold\ntold\n{of_the_owner}"));
}

#[test]
fn limits_are_those_that_were_asked_for() {
    if tier_a().is_none() {
        return;
    }
    let asked = Limits {
        max_processes: 50,
        max_memory: 100,
        max_scratch: 3,
        max_files: 99,
        max_cpu: 77,
        max_output: 4,
        max_time: 200,
    };
    let run = RunFolder::confined(&[Path::new("/bin/sh")], &[], asked).unwrap();
    let said = says(&run, "cat /proc/self/limits");
    let most = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {said}"));
        let both: Vec<u64> = line.split_whitespace().take(2).map(|limit| limit.parse().unwrap()).collect();
        assert_eq!(both[0], both[1], "{name}");
        both[0]
    };
    let names = ["processes", "data size", "file size", "open files", "cpu time", "core file size"];
    assert_eq!(names.map(|name| most(&format!("Max {name}"))), [50, 100 << 20, 3 << 20, 99, 77, 0]);
    let full = confined(&run, "head -c 4M /dev/zero > x; wc -c < x");
    assert!(full.said.trim().parse::<u64>().unwrap() <= 3 << 20, "{}", full.said);
}

#[test]
fn whoever_is_found_at_no_look_is_known_to_be_there() {
    if tier_a().is_none() {
        return;
    }
    // Room enough for those that nobody has reaped yet, or there would be nobody in the end.
    let limits = Limits { max_processes: 1 << 20, ..Limits::default() };
    let run = RunFolder::confined(&[Path::new("/bin/sh")], &[], limits).unwrap();
    block_on(async {
        // None so fast that it fills all process numbers before a busy machine lets the init reap.
        let hopper = "hop() { i=0; while [ $i -lt 300 ]; do i=$((i + 1)); done; hop & exit; }; hop & exit";
        let session = begun(&run, hopper).await;
        session.ended(Who::Watchdog).await.expect("it ends");
        for _ in 0..50 {
            assert!(!session.left().unwrap().is_empty());
        }
        session.finish().await.unwrap();
    });
}

#[test]
fn whoever_poses_as_the_servers_stand_in_is_told_from_it() {
    let Some(run) = tier_a() else { return };
    block_on(async {
        let session = begun(&run, "read -r line").await;
        let _posing = std::os::unix::net::UnixStream::connect(session.folder.join(SOCKET)).unwrap();
        let posed = |events: &[Event]| events.iter().find(|event| matches!(event.what, What::Posed { .. })).map(drop);
        session.until(posed).await.expect("it is seen");
        session.line("on").await.unwrap();
        assert!(finished(&session).await.outlived.is_empty());
    });
}

#[test]
fn who_multiplies_faster_than_anybody_can_look_goes_with_the_rest() {
    let Some(run) = tier_a() else { return };
    let namespace = block_on(async {
        // Each of these starts another one and ends, so that a number is gone when it has been read.
        let hopper = "hop() { (hop &) ; exit; }; readlink /proc/self/ns/pid; (hop &); read -r line";
        let session = begun(&run, hopper).await;
        let named = |events: &[conformance::event::Event]| {
            let said = shown(events, Some(Stream::Stdout));
            said.ends_with(b"\n").then(|| String::from_utf8_lossy(&said).trim().to_owned())
        };
        let namespace = session.until(named).await.expect("it is named");
        session.finish().await.unwrap();
        namespace
    });
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of = |entry: std::fs::DirEntry| std::fs::read_link(entry.path().join("ns/pid")).ok();
    assert!(!processes.filter_map(of).any(|found| found.to_str() == Some(&namespace)));
}
