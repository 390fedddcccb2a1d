//! Two that are to be on their way at once, each on a processor of its own. What they do there is not known here.

/// Puts the calling thread on a processor that the other of the two, which is the first one or not, does not use: two that have to
/// wait for each other's processor are never on their way at once, and a busy system may leave it at that for long. Where the
/// system does not do as it is asked, it does as it likes.
#[cfg(target_os = "linux")]
pub(super) fn stay_apart(is_first: bool) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let this_thread = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this_thread) else { return };
    let mut processors = (0..CpuSet::count()).filter(|n| allowed.is_set(*n).unwrap_or_default());
    let (Some(first), Some(second)) = (processors.next(), processors.next()) else { return };
    let mut only = CpuSet::new();
    if only.set(if is_first { first } else { second }).is_ok() {
        let _ = sched_setaffinity(this_thread, &only);
    }
}

/// No other system has a call for it that binds.
#[cfg(not(target_os = "linux"))]
pub(super) fn stay_apart(_is_first: bool) {}
