//! Limits of the process that a recorder runs into: file descriptors; and the relay's place in the scheduler.

/// Descriptors of one leg: RTP and RTCP.
const PER_LEG: u64 = 2;
/// Descriptors of one recording: its file and its lock.
const PER_RECORDING: u64 = 2;
/// Descriptors of everything else.
const RESERVE: u64 = 200;

/// Calls that so many descriptors allow: two legs and one recording each.
pub fn calls_by_descriptors(limit: u64) -> u64 {
    limit.saturating_sub(RESERVE) / (2 * PER_LEG + PER_RECORDING)
}

/// Descriptors that so many legs need, two for a call with its recording.
pub fn descriptors(max_legs: u32) -> u64 {
    RESERVE + u64::from(max_legs.div_ceil(2)) * (2 * PER_LEG + PER_RECORDING)
}

/// Raises the soft limit of file descriptors to the hard one; returns what holds then.
pub fn raise_descriptors() -> std::io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid pointer to a struct that the kernel fills in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        // SAFETY: a valid pointer to a struct that the kernel only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    Ok(limit.rlim_cur)
}

/// Raises the limit and warns when fewer calls fit than are configured.
pub fn check(max_legs: u32) {
    let wanted = u64::from(max_legs / 2);
    match raise_descriptors() {
        Ok(limit) if calls_by_descriptors(limit) < wanted => tracing::warn!(
            limit,
            calls = calls_by_descriptors(limit),
            configured = wanted,
            "the limit of file descriptors allows fewer calls than configured: raise the hard limit (LimitNOFILE)"
        ),
        Ok(limit) => tracing::debug!(limit, "file descriptors"),
        Err(error) => tracing::warn!(%error, "the limit of file descriptors cannot be read"),
    }
}

/// Priority of a thread that relays: packets are a matter of milliseconds, everything else can wait.
const RELAY_NICE: i32 = -15;

/// Puts the calling thread before others, where the system allows it (root, CAP_SYS_NICE, or LimitNICE).
pub fn favour_this_thread() {
    // SAFETY: no pointers. On Linux a process id of 0 means the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, RELAY_NICE) };
    if result != 0 {
        tracing::debug!("the relay runs with ordinary priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_with_its_recording_needs_six_descriptors() {
        assert_eq!(calls_by_descriptors(1024), 137);
        assert_eq!(calls_by_descriptors(100), 0);
        assert_eq!(descriptors(4_000), 12_200);
        assert_eq!(calls_by_descriptors(descriptors(4_000)), 2_000);
        assert!(raise_descriptors().unwrap() > 0);
    }
}
