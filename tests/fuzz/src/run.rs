//! The loop.

use crate::{coverage::Seen, mutate::mutate, targets::Target};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

/// Inputs that are kept beside those given; a new one takes the place of another then.
const MAX_CORPUS: usize = 4096;
/// After so many runs the memory is measured for the first time: tables and allocator are warm then.
const WARM: u64 = 20_000;

/// When to end.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// By the clock.
    pub time: Duration,
    /// By the number of inputs.
    pub runs: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Inputs fed.
    pub runs: u64,
    /// Inputs kept because they reached something new.
    pub kept: usize,
    /// How much memory they take, KiB.
    pub kept_kib: u64,
    /// Counters reached, and counters there are.
    pub reached: (usize, usize),
    /// Memory in use when warm, KiB.
    pub memory_warm: u64,
    /// Memory in use at the end, KiB.
    pub memory_end: u64,
    /// The longest that one input took.
    pub slowest: Duration,
}

/// An input that made a target panic.
#[derive(Clone, Debug)]
pub struct Crash {
    /// What was fed.
    pub input: Vec<u8>,
    /// Of the random source.
    pub seed: u64,
    /// After how many others.
    pub runs: u64,
}

impl Crash {
    /// Writes the input beside the program's temporary files; where.
    pub fn keep(&self, target: &str) -> std::io::Result<PathBuf> {
        let path = std::env::temp_dir().join(format!("fuzz-{target}-{}.bin", self.seed));
        std::fs::write(&path, &self.input)?;
        Ok(path)
    }
}

/// Feeds a target until the limit or a panic.
pub fn run(target: &Target, seed: u64, limit: Limit) -> Result<Report, Crash> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut seen = Seen::default();
    let mut corpus: Vec<Vec<u8>> = (target.inputs)();
    let given = corpus.len();
    let start = Instant::now();
    let mut report = Report::default();
    let mut next = 0;
    while report.runs < limit.runs && (!report.runs.is_multiple_of(64) || start.elapsed() < limit.time) {
        // Every input given is fed once as it is.
        let input = match corpus.get(next).filter(|_| next < given) {
            Some(input) => input.clone(),
            None => {
                let pick = |rng: &mut StdRng| rng.random_range(0..corpus.len());
                let (one, other) = (pick(&mut rng), pick(&mut rng));
                mutate(&corpus[one], &corpus[other], target.words, &mut rng)
            }
        };
        next += 1;
        seen.forget_since();
        let began = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| (target.feed)(&input))).is_err() {
            return Err(Crash { input, seed, runs: report.runs });
        }
        report.slowest = report.slowest.max(began.elapsed());
        report.runs += 1;
        if seen.take() {
            report.kept += 1;
            match corpus.len() < given + MAX_CORPUS {
                true => corpus.push(input),
                false => {
                    let at = rng.random_range(given..corpus.len());
                    corpus[at] = input;
                }
            }
        }
        if report.runs == WARM {
            report.memory_warm = resident_kib();
        }
    }
    report.reached = seen.reached();
    report.kept_kib = corpus[given..].iter().map(|input| input.capacity() as u64).sum::<u64>() / 1024;
    report.memory_end = resident_kib();
    Ok(report)
}

/// `VmRSS` of this process; 0 where the system does not say.
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
