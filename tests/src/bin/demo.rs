//! `make demo`: a real call and its screen, recorded, sealed, uploaded, found, opened, replayed.
#![allow(clippy::print_stdout, reason = "what a demo prints is what it is for")]

use anyhow::{Context, Result, bail, ensure};
use hindsight_tests::{
    console::{Console, media},
    process::{built, free_port, run, run_with_input},
    scenario::{AGENT_DN, CUSTOMER_DN, SUPERVISOR_LOGIN, Scenario},
    site::Ports,
    speech::{self, Wave},
};
use std::{
    io::{IsTerminal, Write},
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

const CALL: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    let exit = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--exit" => true,
        _ => {
            eprintln!("usage: hindsight-demo [--exit]");
            return ExitCode::from(2);
        }
    };
    match demo(exit).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\n✗ {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what happened, a line each, with the time since the start.
struct Steps(Instant);

impl Steps {
    fn say(&self, text: &str) {
        println!("{:6.1} s  {text}", self.0.elapsed().as_secs_f64());
    }

    fn done(&self, text: &str) {
        self.say(&format!("✓ {text}"));
    }
}

async fn demo(exit: bool) -> Result<()> {
    let steps = Steps(Instant::now());
    let dir = std::env::current_dir()?.join("demo-data");
    if fresh(&dir)? {
        steps.say(&format!("removed the last demo's data in {}", dir.display()));
    }
    let own_display = std::env::var("DISPLAY").ok().filter(|display| !display.is_empty());
    match &own_display {
        Some(display) => steps.say(&format!(
            "about to record YOUR screen ({display}) into {}; `env -u DISPLAY make demo` takes a virtual one",
            dir.display()
        )),
        None => steps.say("no display here: a virtual one with moving content is recorded"),
    }
    steps.say("a new site: authority, recording key, two people, two phones");
    let mut scenario = Scenario::new(&dir, ports()?, "frame_rate = 5")?;
    scenario.site.start().await?;
    steps.done("the server runs with all roles");

    let (mut display, mut recorder) = match own_display {
        Some(display) => (None, scenario.recorder(&display, "x11").await?),
        None => {
            let (display, recorder) = scenario.desktop("office", (1280, 720), "x11").await?;
            (Some(display), recorder)
        }
    };
    steps.done("hindsight-recorder is enrolled and signed in as the agent Ann Weber");
    let (mut agent, mut customer) = scenario.phones("pcmu").await?;
    steps
        .done(&format!("two baresip phones are registered: {AGENT_DN} (agent) and {CUSTOMER_DN} (customer)"));

    scenario.call(&mut customer, &mut agent).await?;
    steps.done(&format!("{CUSTOMER_DN} calls {AGENT_DN}; answered; both speak"));
    speak().await?;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    steps.done("hung up");

    let console = Console::sign_in(&scenario.site, SUPERVISOR_LOGIN, &scenario.secrets.supervisor).await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    steps.done(
        "recorded and uploaded: voice and screen have arrived whole, and the search finds them by number",
    );
    let (voice, screen) = (media(&call, "voice"), media(&call, "screen"));
    for (what, files) in [("voice", &voice), ("screen", &screen)] {
        for file in files {
            let id = file["id"].as_str().context("id")?;
            verify(&scenario, id).with_context(|| format!("{what} {id}"))?;
        }
    }
    steps.done("sealed: signatures, hashes and every segment of both verified at rest");

    let file = voice.first().context("no voice")?;
    let wave = Wave::parse(&console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?)?;
    for (channel, who, played) in [(0, "agent", "agent.wav"), (1, "customer", "customer.wav")] {
        let coefficient = recognised(&wave, channel, &dir.join(played))?;
        ensure!(
            coefficient >= 0.95,
            "the {who}'s voice is not the one on its track: correlation {coefficient:.3}"
        );
        steps
            .done(&format!("unsealed: the {who}'s voice is on its own track (correlation {coefficient:.3})"));
    }
    let file = screen.first().context("no screen")?;
    let movie = console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?;
    let frames = decoded_frames(&movie)?;
    ensure!(frames >= 10, "only {frames} frames of the screen decode");
    steps.done(&format!("unsealed: {frames} frames of the screen decode ({} KB)", movie.len() / 1024));

    ensure!(recorder.is_running(), "the recorder ended early: {}", recorder.log_text());
    if let Some(display) = &mut display {
        ensure!(display.is_running(), "the display ended early");
    }
    println!("\nEverything holds.");
    if !exit {
        leave_up(&scenario, &dir).await?;
    }
    drop((agent, customer));
    recorder.terminate(Duration::from_secs(20)).await?;
    scenario.site.stop().await
}

/// Shows that a directory is a demo's, to be removed by the next one.
const MARKER: &str = ".hindsight-demo";

/// Makes the demo's directory, in place of the last demo's; whether there was one. What is not a demo's is never removed.
fn fresh(dir: &Path) -> Result<bool> {
    let is_there = dir.exists();
    if is_there {
        ensure!(
            dir.join(MARKER).is_file(),
            "{} is there and was not made by this demo (no {MARKER} in it): move it away, or remove it yourself",
            dir.display()
        );
        std::fs::remove_dir_all(dir)
            .with_context(|| format!("removing the last demo's {}", dir.display()))?;
    }
    std::fs::create_dir(dir).with_context(|| dir.display().to_string())?;
    std::fs::write(
        dir.join(MARKER),
        "made by hindsight-demo, which removes this directory when it starts\n",
    )?;
    Ok(is_there)
}

/// The product's own ports where they are free, so that the addresses look as they will in use.
fn ports() -> Result<Ports> {
    let mut ports = Ports::free()?;
    let or_free = |wanted: u16| match std::net::TcpListener::bind(("127.0.0.1", wanted)) {
        Ok(_) if std::net::UdpSocket::bind(("127.0.0.1", wanted)).is_ok() => Ok(wanted),
        _ => free_port(),
    };
    ports.https = or_free(8443)?;
    ports.crypto = or_free(8444)?;
    ports.sip = or_free(5060)?;
    ports.resource_manager = or_free(5070)?;
    ports.media_server = or_free(5080)?;
    Ok(ports)
}

async fn speak() -> Result<()> {
    let start = Instant::now();
    let terminal = std::io::stdout().is_terminal();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    while start.elapsed() < CALL {
        tick.tick().await;
        if !terminal {
            continue;
        }
        let share = start.elapsed().as_secs_f64() / CALL.as_secs_f64();
        let filled = (share.min(1.0) * 40.0) as usize;
        print!("\r          speaking [{}{}]", "#".repeat(filled), " ".repeat(40 - filled));
        std::io::stdout().flush()?;
    }
    if terminal {
        print!("\r{:64}\r", "");
    }
    Ok(())
}

fn verify(scenario: &Scenario, id: &str) -> Result<()> {
    run(scenario.site.server()?.args(["recording", "verify", id])).map(drop)
}

fn recognised(wave: &Wave, channel: usize, played: &Path) -> Result<f64> {
    let recorded = wave.channels.get(channel).context("a track is missing")?;
    let played = Wave::read(played)?;
    let spoken = played.channels.first().context("no speech")?;
    let length = spoken.len().min(recorded.len());
    Ok(speech::find(&spoken[..length], recorded).coefficient)
}

/// ffmpeg reads from a pipe: what was unsealed touches no disk.
fn decoded_frames(movie: &[u8]) -> Result<usize> {
    let mut probe = Command::new("ffprobe");
    probe.args([
        "-v",
        "error",
        "-count_frames",
        "-select_streams",
        "v:0",
        "-show_entries",
        "stream=nb_read_frames",
    ]);
    probe.args(["-of", "csv=p=0", "-i", "pipe:0"]);
    let printed = String::from_utf8(run_with_input(&mut probe, movie)?)?;
    printed.trim().trim_end_matches(',').parse().with_context(|| format!("ffprobe said {printed:?}"))
}

async fn leave_up(scenario: &Scenario, dir: &Path) -> Result<()> {
    println!("\n  console   {}/", scenario.site.url());
    println!("  sign in   {SUPERVISOR_LOGIN} / {}", scenario.secrets.supervisor);
    println!(
        "  trust     the browser warns once, for it does not know this site's authority: {}",
        dir.join("data/ca/ca.pem").display()
    );
    println!("  program   {}", built("hindsight-server")?.display());
    println!("\nPress Ctrl-C to end.");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done?,
        _ = terminate.recv() => {}
    }
    if !dir.is_dir() {
        bail!("the demo's data directory is gone");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_demos_own_directory_is_removed() -> Result<()> {
        let outer = tempfile::tempdir()?;
        let dir = outer.path().join("demo-data");
        assert!(!fresh(&dir)?);
        std::fs::write(dir.join("old"), "")?;
        assert!(fresh(&dir)? && !dir.join("old").exists());
        std::fs::remove_file(dir.join(MARKER))?;
        std::fs::write(dir.join("precious"), "")?;
        assert!(fresh(&dir).is_err() && dir.join("precious").exists());
        Ok(())
    }
}
