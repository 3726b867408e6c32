//! `hindsight-fuzz SECONDS [TARGET …]`: feeds each target for so long and prints what came of it.
//! `hindsight-fuzz feed TARGET FILE`: feeds one input again.
#![allow(clippy::print_stdout, reason = "the report is what it is for")]

use hindsight_fuzz::{
    run::{Limit, run},
    targets::{TARGETS, Target, named},
};
use std::{process::ExitCode, time::Duration};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if let [_, feed, name, path] = &std::env::args().collect::<Vec<_>>()[..]
        && feed == "feed"
    {
        return again(name, path);
    }
    let Some(seconds) = arguments.next().and_then(|text| text.parse().ok()) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        println!("usage: hindsight-fuzz SECONDS [TARGET …]; targets: {}", names.join(", "));
        return ExitCode::from(2);
    };
    let names: Vec<String> = arguments.collect();
    let Some(chosen) = chosen(&names) else {
        println!("no such target among {names:?}");
        return ExitCode::from(2);
    };
    let limit = Limit { time: Duration::from_secs(seconds), runs: u64::MAX };
    for target in chosen {
        let seed = rand::random();
        match run(target, seed, limit) {
            Ok(report) => {
                let (reached, all) = report.reached;
                println!(
                    "{:10} {:>9} inputs, {:>5} kept, {reached} of {all} counters, {} KiB when warm, {} KiB at the end ({} of them kept inputs), slowest {:?}",
                    target.name,
                    report.runs,
                    report.kept,
                    report.memory_warm,
                    report.memory_end,
                    report.kept_kib,
                    report.slowest
                );
            }
            Err(crash) => {
                let kept = crash.keep(target.name);
                println!(
                    "{}: panic after {} inputs, seed {}; input: {kept:?}",
                    target.name, crash.runs, crash.seed
                );
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Feeds one file that made a target panic.
fn again(name: &str, path: &str) -> ExitCode {
    match (named(name), std::fs::read(path)) {
        (Some(target), Ok(input)) => {
            (target.feed)(&input);
            println!("{name} survived {} bytes", input.len());
            ExitCode::SUCCESS
        }
        (None, _) => {
            println!("no target {name}");
            ExitCode::from(2)
        }
        (_, Err(error)) => {
            println!("{path}: {error}");
            ExitCode::from(2)
        }
    }
}

fn chosen(names: &[String]) -> Option<Vec<&'static Target>> {
    if names.is_empty() {
        return Some(TARGETS.iter().collect());
    }
    names.iter().map(|name| named(name)).collect()
}
