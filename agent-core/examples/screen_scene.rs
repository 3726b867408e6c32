//! Draws on an X display what agents look at, so that recordings of it can be measured and checked.
//!
//! `screen_scene SCENE [--seconds N] [--display NAME]`
//!
//! - `idle`: a still desktop with two windows.
//! - `office`: typing all the time, scrolling now and then, another window every eight seconds.
//! - `motion`: something moves over the whole screen, 15 times a second.
//! - `clock`: the readable clock of `hindsight_agent_core::scene` on top of `office`, drawn every 10 ms.

mod scene;

use anyhow::Context as _;
use clap::Parser;
use std::time::Instant;

#[derive(Parser)]
struct Arguments {
    /// What to draw.
    scene: scene::Kind,
    /// For how long; without it until killed.
    #[arg(long)]
    seconds: Option<f64>,
    /// Which display; without it the environment's.
    #[arg(long)]
    display: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut stage = scene::Stage::open(arguments.display.as_deref()).context("opening the display")?;
    let mut scene = arguments.scene.start(&mut stage)?;
    let started = Instant::now();
    loop {
        let elapsed = started.elapsed();
        if arguments.seconds.is_some_and(|seconds| elapsed.as_secs_f64() >= seconds) {
            return Ok(());
        }
        let next = scene::play(scene.as_mut(), &mut stage, elapsed)?;
        std::thread::sleep(next.saturating_sub(started.elapsed()));
    }
}
