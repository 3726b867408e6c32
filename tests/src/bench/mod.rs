//! Benchmarks as ratios. Each prints `bench <name> ours=… peer=… ratio=… unit=… peer_name=…`.

pub mod record;
pub mod screen;
pub mod seal_file;
pub mod sip_setups;

use anyhow::{Context, Result, ensure};
use std::{process::Command, time::Duration};

pub const NAMES: &[&str] = &[
    "seal-file",
    "open-file",
    "record-cpu",
    "record-limit",
    "record-calls-per-core",
    "sip-setups",
    "screen-idle",
    "screen-office",
    "screen-motion",
    "screen-start",
    "desktop-memory",
];

pub async fn run(only: Option<&str>) -> Result<()> {
    for name in NAMES.iter().filter(|name| only.is_none_or(|only| only == **name)) {
        eprintln!("bench: {name} …");
        let line = match *name {
            "seal-file" => seal_file::bench(name, seal_file::Way::Seal),
            "open-file" => seal_file::bench(name, seal_file::Way::Open),
            "record-cpu" => record::bench("cpu"),
            "record-limit" => record::bench("limit"),
            "record-calls-per-core" => record::bench("capacity"),
            "sip-setups" => sip_setups::bench(name).await,
            "screen-idle" => screen::bench(name, "idle"),
            "screen-office" => screen::bench(name, "office"),
            "screen-motion" => screen::bench(name, "motion"),
            "screen-start" => screen::start(name),
            _ => screen::memory(name),
        };
        println!("{}", line.with_context(|| format!("bench {name}"))?);
    }
    Ok(())
}

/// One figure of ours and one of a peer's, as printed.
pub fn line(name: &str, ours: f64, peer: f64, unit: &str, peer_name: &str) -> String {
    format!(
        "bench {name} ours={ours:.4} peer={peer:.4} ratio={:.3} unit={unit} peer_name={peer_name}",
        ours / peer
    )
}

/// Runs a command to its end and tells the processor time that it took (user and system).
pub fn cpu_time(command: &mut Command) -> Result<Duration> {
    let child = command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?;
    let pid = libc::pid_t::try_from(child.id())?;
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage; the pid is our own child's, which nobody else waits for.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        ensure!(
            libc::wait4(pid, &mut status, 0, &mut usage) == pid,
            "waiting for {:?}",
            command.get_program()
        );
        usage
    };
    ensure!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{:?} failed", command.get_program());
    let seconds =
        |t: libc::timeval| Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64);
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
