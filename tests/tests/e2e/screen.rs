//! Screens: every fragment decodes, and what is seen is when it was heard.

use crate::{call::wave_of, fixture::Fixture, network::Trace};
use anyhow::{Context, Result, ensure};
use hindsight_agent_core::scene::read_clock;
use hindsight_tests::{
    console::{Console, media},
    display::Display,
    process::{Program, run_with_input},
    recorder,
    scenario::{CUSTOMER_DN, talk},
};
use serde_json::Value;
use std::{f32::consts::TAU, path::Path, process::Command, time::Duration};

pub const WIDTH: usize = 800;
pub const HEIGHT: usize = 600;
/// The customer's speech in this test: a chirp every so many seconds, silence between.
const CHIRP_EVERY: usize = 2;
const CHIRP_SAMPLES: usize = 1600;

fn write_chirps(path: &Path) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for n in 0..8000 * 60 {
        let within = n % (8000 * CHIRP_EVERY);
        let t = within as f32 / 8000.0;
        let sample =
            if within < CHIRP_SAMPLES { (TAU * (400.0 * t + 4000.0 * t * t)).sin() * 0.5 } else { 0.0 };
        writer.write_sample((sample * 32767.0) as i16)?;
    }
    Ok(writer.finalize()?)
}

/// Presentation times in milliseconds and luma of each frame.
pub fn frames(movie: &[u8]) -> Result<Vec<(f64, Vec<u8>)>> {
    let mut probe = Command::new("ffprobe");
    probe.args([
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "frame=pts_time",
        "-of",
        "csv=p=0",
        "-i",
        "pipe:0",
    ]);
    let printed = String::from_utf8(run_with_input(&mut probe, movie)?)?;
    let times: Vec<f64> =
        printed.lines().filter_map(|line| line.trim().trim_end_matches(',').parse::<f64>().ok()).collect();
    let mut decode = Command::new("ffmpeg");
    decode.args([
        "-v",
        "error",
        "-i",
        "pipe:0",
        "-vsync",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "pipe:1",
    ]);
    let luma = run_with_input(&mut decode, movie)?;
    let pictures: Vec<Vec<u8>> = luma.chunks_exact(WIDTH * HEIGHT).map(<[u8]>::to_vec).collect();
    ensure!(times.len() == pictures.len(), "{} times and {} pictures", times.len(), pictures.len());
    Ok(times.into_iter().map(|t| t * 1000.0).zip(pictures).collect())
}

/// RFC 3339 to milliseconds since the epoch.
pub fn unix_ms(text: &Value) -> Result<f64> {
    let at: hindsight_wire::Timestamp = text.as_str().context("a time")?.parse()?;
    Ok(at.0 as f64 / 1000.0)
}

/// Row 3: the recorder's clock is 3 s wrong and drifts; after the join, what is seen and what is heard agree.
#[tokio::test]
async fn a_wrong_and_drifting_clock_is_put_right_by_the_join() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 10");
    f.scenario.site.start().await?;
    write_chirps(&f.dir().join("customer.wav"))?;
    let desktop = f.dir().join("desktop");
    std::fs::create_dir_all(&desktop)?;
    let mut display = Display::start(&desktop, WIDTH as u32, HEIGHT as u32).await?;
    display.show("clock", &desktop)?;
    // The program `faketime` would stand between, and the recorder outlive it; the linker knows where `$LIB` is.
    let preload = "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1";
    let wrong_clock: Vec<String> = ["env", preload, "FAKETIME=-3.0 x1.0005"].map(str::to_owned).into();
    let agent_desktop = f.scenario.agent(&display.name, "x11");
    let mut command = recorder::command(&f.scenario.site, &desktop, &agent_desktop, &wrong_clock)?;
    // Only the wall clock is false: the kernel's timers follow the monotonic clock, and a library cannot bend both.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut recorder = Program::spawn("hindsight-recorder", &mut command, &desktop.join("recorder.log"))?;
    recorder.wait_for_log("link is open", Duration::from_secs(20)).await?;
    let mut trace = Trace::start(f.dir(), &f.scenario.site.ports).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(15)).await;
    customer.hang_up().await?;
    let console = f.console().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    trace.stop().await?;

    let start = unix_ms(&call["startTime"])?;
    let file = *media(&call, "screen").first().context("no screen")?;
    let offset = file["offsetMs"].as_f64().context("offsetMs")?;
    let movie = console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?;
    let shown = frames(&movie)?;
    seeks_to_the_same_pictures(f.dir(), &movie, &shown)?;
    let (mut worst, mut read) = (0f64, 0);
    let mut clock_at = Vec::new();
    for (pts, picture) in &shown {
        let on_server = start + offset + pts;
        let Some(clock) = read_clock(picture, WIDTH, on_server as u64) else { continue };
        worst = worst.max((on_server - clock as f64).abs());
        clock_at.push((offset + pts, clock as f64));
        read += 1;
    }
    println!("{} frames, clock read on {read}, at most {worst:.0} ms from the server's time", shown.len());
    assert!(read >= 60, "only {read} of {} frames show the clock", shown.len());
    assert!(worst <= 250.0);

    // Chirps: heard at this place of the timeline; on the wire at this time; the screen there must show that time.
    let voice = *media(&call, "voice").first().context("no voice")?;
    let wave = wave_of(&console, voice).await?;
    let voice_offset = voice["offsetMs"].as_f64().context("offsetMs")?;
    let heard = chirps(&wave.channels[1]).into_iter().map(|sample| voice_offset + sample as f64 / 8.0);
    let spoken = chirps_on_the_wire(&trace)?;
    let mut compared = 0;
    for (heard, spoken) in heard.zip(spoken) {
        let Some((at, clock)) = clock_at.iter().rfind(|(at, _)| *at <= heard).copied() else { continue };
        let difference = (clock + (heard - at)) - spoken;
        println!("chirp at {heard:.0} ms of the call: screen and voice differ by {difference:.0} ms");
        assert!(difference.abs() <= 250.0);
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} chirps compared");
    recorder.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}

/// After a seek a player shows what it would have shown without one, and finds nothing out of order.
fn seeks_to_the_same_pictures(dir: &Path, movie: &[u8], shown: &[(f64, Vec<u8>)]) -> Result<()> {
    // A seek needs a file; it is the test's own copy of what the console was given.
    let path = dir.join("seek.mp4");
    std::fs::write(&path, movie)?;
    for second in [3.0, 12.0, 7.0] {
        let mut seek = Command::new("ffmpeg");
        seek.args(["-v", "warning", "-ss", &second.to_string(), "-i"]).arg(&path);
        seek.args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"]);
        let output = seek.output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !told.contains("out of order"), "seek to {second} s: {told}");
        // Times are rounded, so the first picture may be the one before or after; a wrongly decoded one is none of them.
        let mut near = shown.iter().filter(|(at, _)| (at - second * 1000.0).abs() < 250.0);
        ensure!(
            near.any(|(_, picture)| output.stdout == *picture),
            "a seek to {second} s shows another picture than playing"
        );
    }
    std::fs::remove_file(&path)?;
    Ok(())
}

/// Samples at which a sound begins after at least half a second of silence.
fn chirps(samples: &[f32]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut silent = 4000;
    for (n, sample) in samples.iter().enumerate() {
        if sample.abs() < 0.02 {
            silent += 1;
        } else {
            if silent >= 4000 {
                found.push(n);
            }
            silent = 0;
        }
    }
    found
}

/// Milliseconds since the epoch at which each chirp's first packet was sent by the customer.
fn chirps_on_the_wire(trace: &Trace) -> Result<Vec<f64>> {
    let packets = trace.voice_to_media_server()?;
    // µ-law silence is 0xff or 0x7f; a chirp moves most octets of its packet away from it.
    let loud = |payload: &[u8]| payload.iter().filter(|&&octet| octet & 0x7f < 0x70).count() > 20;
    let mut by_port: std::collections::BTreeMap<u16, Vec<&crate::network::Packet>> = Default::default();
    for packet in &packets {
        by_port.entry(packet.to_port).or_default().push(packet);
    }
    // The customer's leg is the one that is silent most of the time.
    let leg = by_port
        .into_values()
        .min_by_key(|leg| leg.iter().filter(|p| loud(&p.payload)).count())
        .context("no packets")?;
    let mut begun = Vec::new();
    let mut quiet = 25;
    for packet in leg {
        if !loud(&packet.payload) {
            quiet += 1;
        } else {
            if quiet >= 25 {
                begun.push(packet.at * 1000.0);
            }
            quiet = 0;
        }
    }
    Ok(begun)
}

/// Both backends; the whole recording decodes; a pause leaves no picture of what was shown in it.
#[tokio::test]
async fn both_backends_record_and_a_pause_shows_nothing() -> Result<()> {
    for backend in ["x11", "scrap"] {
        let mut f = Fixture::new("frame_rate = 10");
        f.scenario.site.start().await?;
        let (_display, mut recorder) =
            f.scenario.desktop("clock", (WIDTH as u32, HEIGHT as u32), backend).await?;
        let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
        f.scenario.call(&mut customer, &mut agent).await?;
        let console = f.console().await?;
        let call =
            console.wait_for(CUSTOMER_DN, Duration::from_secs(10), |call| call["state"] == "active").await?;
        let id = call["id"].as_str().context("id")?.to_owned();
        talk(Duration::from_secs(3)).await;
        console.control(&id, "pause", "card data").await?;
        talk(Duration::from_secs(3)).await;
        console.control(&id, "resume", "card data taken").await?;
        talk(Duration::from_secs(3)).await;
        customer.hang_up().await?;
        let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
        let shown = seen_times(&console, &call).await?;
        let voice = *media(&call, "voice").first().context("no voice")?;
        let pause = &voice["pauses"][0];
        let begin = unix_ms(&call["startTime"])? + voice["offsetMs"].as_f64().context("offsetMs")?;
        let (from, to) = (
            begin + pause["fromMs"].as_f64().context("from")?,
            begin + pause["toMs"].as_f64().context("to")?,
        );
        // A picture shows what was last drawn, so the first one after the pause may show its last moment.
        let last_before = shown.iter().filter(|at| **at < (from + to) / 2.0).fold(f64::MIN, |a, b| a.max(*b));
        let first_after =
            shown.iter().filter(|at| **at >= (from + to) / 2.0).fold(f64::MAX, |a, b| a.min(*b));
        println!(
            "{backend}: {} frames show the clock; the last {:.0} ms after the pause was asked for, the first {:.0} ms before its end",
            shown.len(),
            last_before - from,
            to - first_after
        );
        let within = shown.iter().filter(|at| **at > from + 150.0 && **at < to - 200.0).count();
        assert_eq!(within, 0);
        assert!(shown.iter().any(|at| *at < from) && shown.iter().any(|at| *at > to));
        recorder.terminate(Duration::from_secs(20)).await?;
        f.scenario.site.stop().await?;
    }
    Ok(())
}

/// The times that the clock in the pictures shows, milliseconds since the epoch.
async fn seen_times(console: &Console, call: &Value) -> Result<Vec<f64>> {
    let file = *media(call, "screen").first().context("no screen")?;
    let movie = console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?;
    let near = unix_ms(&call["startTime"])? as u64;
    Ok(frames(&movie)?
        .iter()
        .filter_map(|(_, picture)| read_clock(picture, WIDTH, near))
        .map(|ms| ms as f64)
        .collect())
}
