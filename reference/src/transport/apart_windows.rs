//! Two that are to be on their way at once, each on a processor of its own. What they do there is not known here.

#![expect(unsafe_code, reason = "the calls that tell and choose a thread's processors are foreign")]

use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentThread, GetProcessAffinityMask, SetThreadAffinityMask,
};

/// Puts the calling thread on a processor that the other of the two, which is the first one or not, does not use: two that have to
/// wait for each other's processor are never on their way at once, and a busy system may leave it at that for long. Where the
/// system does not do as it is asked, it does as it likes.
pub(super) fn stay_apart(is_first: bool) {
    let (mut allowed, mut all) = (0_usize, 0_usize);
    // SAFETY: the handle is the constant for the calling process, and both masks are locals that outlive the call.
    if unsafe { GetProcessAffinityMask(GetCurrentProcess(), &raw mut allowed, &raw mut all) } == 0 {
        return;
    }
    let first = lowest(allowed);
    let second = lowest(allowed & !first);
    if second != 0 {
        // SAFETY: the handle is the constant for the calling thread, and the mask is a part of what the process may use.
        unsafe { SetThreadAffinityMask(GetCurrentThread(), if is_first { first } else { second }) };
    }
}

/// The lowest bit that is set, alone; none of none.
fn lowest(mask: usize) -> usize {
    mask & mask.wrapping_neg()
}
