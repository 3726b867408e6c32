//! A pause by rule: a window that must not be recorded comes to the front in the middle of a call.

use crate::{
    fixture::Fixture,
    pause::{Window, silent, write_noise},
    screen::{HEIGHT, WIDTH, frames, unix_ms},
};
use anyhow::{Context, Result, ensure};
use hindsight_agent_core::scene::read_clock;
use hindsight_tests::{
    console::{Console, media},
    process::{Program, run_with_input},
    scenario::{AGENT_LOGIN, CUSTOMER_DN, talk},
};
use hindsight_wire::{
    Timestamp,
    agent::RecordingState,
    component::RecordingAction,
    local::{CaptureState, DesktopStatus, TrayState},
};
use serde_json::Value;
use std::{process::Command, time::Duration};

const RULE: &str = "window in front: title \"Card details\"";

/// Row 6, by rule: the window pauses both while it is in front, cannot be overruled, and is itself in no picture.
#[tokio::test]
async fn a_window_that_must_not_be_recorded_pauses_voice_and_screen_while_it_is_in_front() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 10\npause_while = [{ title = \"card details\" }]");
    write_noise(&f.dir().join("agent.wav"), 1)?;
    write_noise(&f.dir().join("customer.wav"), 2)?;
    f.scenario.site.start().await?;
    let (display, mut recorder) = f.scenario.desktop("clock", (WIDTH as u32, HEIGHT as u32), "x11").await?;
    let window = Window::open(&f.scenario).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let recorded = |status: &DesktopStatus| {
        status.capture == CaptureState::Recording
            && status.pause.is_none()
            && status.interactions.iter().any(|view| view.voice == RecordingState::Recording)
    };
    let interaction = window.until("voice and screens recorded", recorded).await?.interactions[0].id;
    talk(Duration::from_secs(3)).await;

    let opened = Timestamp::now();
    let mut xterm = Command::new("xterm");
    xterm.args(["-T", "Card details - Shop", "-bg", "#ff00ff", "-geometry", "30x8-20-20", "-e", "cat"]);
    let mut card = Program::spawn("xterm", xterm.env("DISPLAY", &display.name), &f.dir().join("xterm.log"))?;
    let paused = |status: &DesktopStatus| {
        status.tray == TrayState::Paused
            && status.capture == CaptureState::Paused
            && status.interactions.iter().any(|view| view.voice == RecordingState::Paused)
    };
    let pause = window.until("voice and screens paused", paused).await?.pause.context("why")?;
    let noticed = Timestamp::now();
    assert_eq!((pause.by.as_str(), pause.voice_not), ("rule", None));
    assert_eq!(pause.reason.to_lowercase(), RULE.to_lowercase());
    println!("both paused {} ms after the window was asked for", noticed.ms_since(opened));
    let overruled = window.recording(interaction, RecordingAction::Resume).await.expect_err("the rule holds");
    assert_eq!(overruled, "a window that must not be recorded is in front");
    talk(Duration::from_secs(4)).await;

    let closed = Timestamp::now();
    card.kill();
    window.until("voice and screens recorded again", recorded).await?;
    let resumed = Timestamp::now();
    println!("both recorded again {} ms after the window was closed", resumed.ms_since(closed));
    talk(Duration::from_secs(3)).await;
    customer.hang_up().await?;
    window.until("nothing more to record", |status| status.capture == CaptureState::Idle).await?;
    let console = f.console().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    recorder.terminate(Duration::from_secs(20)).await?;

    in_the_timeline(&call)?;
    let ms = |at: Timestamp| at.0 as f64 / 1000.0;
    let begin = unix_ms(&call["startTime"])?;
    for kind in ["voice", "screen"] {
        let files = media(&call, kind);
        ensure!(files.len() == 1, "{kind}: {} recordings; the pause began another", files.len());
        let pauses = files[0]["pauses"].as_array().context("pauses")?;
        ensure!(pauses.len() == 1, "{kind}: {pauses:?}");
        let reason = pauses[0]["reason"].as_str().context("reason")?;
        assert_eq!(reason.to_lowercase(), RULE.to_lowercase(), "{kind}");
        let at = begin + files[0]["offsetMs"].as_f64().context("offsetMs")?;
        let from = at + pauses[0]["fromMs"].as_f64().context("fromMs")?;
        let to = at + pauses[0]["toMs"].as_f64().context("toMs")?;
        println!(
            "{kind}: paused {:.0} ms after opening, until {:.0} ms after closing",
            from - ms(opened),
            to - ms(closed)
        );
        assert!(from > ms(opened) - 60.0 && from < ms(noticed) + 60.0, "{kind}");
        assert!(to > ms(closed) - 60.0 && to < ms(resumed) + 250.0, "{kind}");
    }
    silent(&console, &call).await?;
    not_seen(&console, &call, noticed, closed).await?;
    f.scenario.site.stop().await
}

/// Pause and resume, each once, with what asked for them.
fn in_the_timeline(call: &Value) -> Result<()> {
    let history = call["eventHistory"].as_array().context("eventHistory")?;
    let texts = |kind: &str| -> Vec<String> {
        let of_kind = history.iter().filter(|event| event["type"] == kind);
        of_kind.filter_map(|event| event["text"].as_str().map(str::to_lowercase)).collect()
    };
    let paused = format!("recording paused by {AGENT_LOGIN}: {RULE}").to_lowercase();
    assert_eq!(texts("recording-paused"), [paused]);
    assert_eq!(texts("recording-resumed"), [format!("recording resumed by {AGENT_LOGIN}")]);
    Ok(())
}

/// No picture shows the clock of the pause, and none a pixel of the window: it is masked before the pause begins.
async fn not_seen(console: &Console, call: &Value, noticed: Timestamp, closed: Timestamp) -> Result<()> {
    let file = *media(call, "screen").first().context("no screen")?;
    let movie = console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?;
    let (from, to) = (noticed.0 / 1000, closed.0 / 1000);
    let read = |(_, picture): &(f64, Vec<u8>)| read_clock(picture, WIDTH, from as u64).map(|ms| ms as i64);
    let seen: Vec<i64> = frames(&movie)?.iter().filter_map(read).collect();
    let (before, after) =
        (seen.iter().filter(|at| **at < from).count(), seen.iter().filter(|at| **at > to).count());
    println!("the clock was read {before} times before the pause and {after} times after it");
    assert!(before > 5 && after > 5, "{before} and {after}");
    let during: Vec<&i64> = seen.iter().filter(|at| (from + 50..to - 200).contains(*at)).collect();
    assert!(during.is_empty(), "pictures of the pause: {during:?}");
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-i", "pipe:0", "-vsync", "passthrough", "-f", "rawvideo"]);
    let pixels = run_with_input(decode.args(["-pix_fmt", "rgb24", "pipe:1"]), &movie)?;
    let magenta = |pixel: &&[u8]| pixel[0] > 0xA0 && pixel[1] < 0x60 && pixel[2] > 0xA0;
    assert_eq!(pixels.chunks_exact(3).filter(magenta).count(), 0, "pixels of the window");
    Ok(())
}
