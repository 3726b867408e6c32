//! Wayland: a headless sway, captured through the desktop portal and PipeWire as an agent's desktop would be.

use crate::fixture::Fixture;
use anyhow::{Context, Result, bail, ensure};
use hindsight_tests::{
    console::{Console, media},
    process::{Program, built, eventually, run, run_with_input, tail},
    recorder,
    scenario::{CUSTOMER_DN, talk},
    wayland::{FIRST, Session},
};
use serde_json::Value;
use std::{
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

/// Four colours, one a quarter: upper left, upper right, lower left, lower right.
type Quarters = [[u8; 3]; 4];

const BEFORE: Quarters = [[200, 40, 40], [40, 200, 40], [40, 40, 200], [200, 200, 40]];
const AFTER: Quarters = [[200, 200, 40], [40, 40, 200], [40, 200, 40], [200, 40, 40]];

/// Makes a picture of four quarters for the background.
fn write_picture(path: &Path, quarters: Quarters) -> Result<()> {
    let mut convert = Command::new("convert");
    convert.args(["-size", "320x180"]);
    for row in quarters.chunks(2) {
        convert.arg("(");
        for [red, green, blue] in row {
            convert.arg(format!("xc:rgb({red},{green},{blue})"));
        }
        convert.args(["+append", ")"]);
    }
    run(convert.arg("-append").arg(format!("png24:{}", path.display())))?;
    Ok(())
}

/// The colour in the middle of each quarter, of each picture of a recording.
fn quarters(movie: &[u8], (width, height): (usize, usize)) -> Result<Vec<Quarters>> {
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-i", "pipe:0", "-vsync", "passthrough", "-f", "rawvideo"]);
    let pixels = run_with_input(decode.args(["-pix_fmt", "rgb24", "pipe:1"]), movie)?;
    ensure!(pixels.len() % (width * height * 3) == 0, "pictures of another size than {width}×{height}");
    let colour = |picture: &[u8], x: usize, y: usize| {
        let at = (y * width + x) * 3;
        [picture[at], picture[at + 1], picture[at + 2]]
    };
    let (left, right, upper, lower) = (width / 4, width * 3 / 4, height / 4, height * 3 / 4);
    let of = |picture: &[u8]| {
        [(left, upper), (right, upper), (left, lower), (right, lower)].map(|(x, y)| colour(picture, x, y))
    };
    Ok(pixels.chunks_exact(width * height * 3).map(of).collect())
}

fn like(shown: &Quarters, wanted: &Quarters) -> bool {
    shown.iter().flatten().zip(wanted.iter().flatten()).all(|(a, b)| a.abs_diff(*b) <= 12)
}

/// The consent that is kept, and when it was. The portal may give the same name to the next token, too.
fn consent(session: &Session) -> Result<(Value, SystemTime)> {
    let path = session.consent_file();
    let kept: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    ensure!(kept["token"].is_string(), "a token");
    Ok((kept, std::fs::metadata(&path)?.modified()?))
}

async fn movies(console: &Console, call: &Value) -> Result<Vec<Vec<u8>>> {
    let mut movies = Vec::new();
    for file in media(call, "screen") {
        movies.push(console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?);
    }
    Ok(movies)
}

/// Waits for the `count`th part of this recorder's life.
async fn part_began(program: &Program, count: usize) -> Result<()> {
    eventually(&format!("part {count}"), Duration::from_secs(20), || async {
        let begun = program.log_text().matches("capture started").count();
        ensure!(
            begun == count,
            "{begun} parts have begun; the recorder said:\n{}",
            tail(&program.log_text())
        );
        Ok(())
    })
    .await
}

/// Row 11: the pictures show what was drawn, also in the second call of a session and after the monitor is turned in it;
/// neither the second call nor its second part asks the agent anything.
#[tokio::test]
async fn calls_in_a_wayland_session_are_recorded_and_the_agent_is_asked_once() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let dir = f.dir().join("desktop");
    std::fs::create_dir_all(&dir)?;
    let (before, after) = (dir.join("before.png"), dir.join("after.png"));
    write_picture(&before, BEFORE)?;
    write_picture(&after, AFTER)?;
    let session = Session::start(&dir, &format!("output * bg {} stretch", before.display())).await?;
    let mut command = recorder::command(&f.scenario.site, &dir, &f.scenario.agent("", "auto"), &[])?;
    let mut program =
        Program::spawn("hindsight-recorder", session.enter(&mut command), &dir.join("recorder.log"))?;
    program.wait_for_log("link is open", Duration::from_secs(20)).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    let console = f.console().await?;
    let paint = |picture: &Path| session.sway(&["output", "*", "bg", &picture.to_string_lossy(), "stretch"]);

    f.scenario.call(&mut customer, &mut agent).await?;
    part_began(&program, 1).await?;
    let (_, first) = consent(&session)?;
    talk(Duration::from_secs(3)).await;
    paint(&after)?;
    talk(Duration::from_secs(3)).await;
    customer.hang_up().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    let [movie] = &movies(&console, &call).await?[..] else { bail!("one part") };
    let wide = quarters(movie, (640, 360))?;
    println!("{} pictures of the first call; the first shows {:?}", wide.len(), wide.first());
    // The session may still be drawing its background when the call begins.
    assert!(wide.iter().any(|shown| like(shown, &BEFORE)), "{wide:?}");
    assert!(wide.last().is_some_and(|shown| like(shown, &AFTER)), "{:?}", wide.last());

    // The second call, of the same recorder; in its middle the monitor is turned.
    f.scenario.call(&mut customer, &mut agent).await?;
    part_began(&program, 2).await?;
    let (_, second) = consent(&session)?;
    assert!(second > first, "the second call used the token, and the portal gave the next");
    // This portal hands over a picture only when something changes.
    paint(&before)?;
    talk(Duration::from_secs(3)).await;
    session.sway(&["output", FIRST, "transform", "90"])?;
    part_began(&program, 3).await?;
    let (_, third) = consent(&session)?;
    assert!(third > second, "so did its second part");
    paint(&after)?;
    talk(Duration::from_secs(3)).await;
    customer.hang_up().await?;
    let first_call = call["id"].clone();
    let whole = |call: &Value| call["id"] != first_call && call["screen"] == "complete";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(60), whole).await?;
    let [wide, tall] = &movies(&console, &call).await?[..] else {
        bail!("two parts: turning the monitor opens the next")
    };
    let (wide, tall) = (quarters(wide, (640, 360))?, quarters(tall, (360, 640))?);
    println!("{} and {} pictures of the second call", wide.len(), tall.len());
    assert!(wide.last().is_some_and(|shown| like(shown, &BEFORE)), "{:?}", wide.last());
    assert!(tall.last().is_some_and(|shown| like(shown, &AFTER)), "{:?}", tall.last());
    assert_eq!(session.times_asked(), 1, "the agent is asked once");
    program.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}

/// What the recorder says of the session's monitors.
fn probe(session: &Session, dir: &Path) -> Result<Value> {
    let mut command = Command::new(built("hindsight-recorder")?);
    command.arg("probe").env("HINDSIGHT_RECORDER_DATA_DIR", dir.join("data"));
    let found: Value = serde_json::from_slice(&run(session.enter(&mut command))?)?;
    let wayland = found.as_array().and_then(|all| all.iter().find(|one| one["backend"] == "wayland"));
    wayland.cloned().context("the recorder knows Wayland")
}

/// A refusal is a refusal; a monitor that was not shared, and another one than last time, are told.
#[tokio::test]
async fn a_refusal_and_another_monitor_than_the_agent_shared_are_told() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let dir = directory.path();
    let session = Session::start(dir, "").await?;

    session.chooser("exit 1")?;
    let refused = probe(&session, dir)?;
    println!("refused: {}", refused["error"]);
    assert!(refused["error"].as_str().is_some_and(|why| why.contains("the screens may not be captured")));
    assert!(!session.consent_file().exists());

    session.chooser(&format!("echo {FIRST}"))?;
    let shared = probe(&session, dir)?;
    assert_eq!(shared["error"], Value::Null, "{shared}");
    assert_eq!(shared["monitors"][0]["name"], FIRST);
    assert_eq!(
        (&shared["monitors"][0]["width"], &shared["monitors"][0]["height"]),
        (&640.into(), &360.into())
    );
    let remarks = shared["remarks"].to_string();
    assert!(!remarks.contains("shared"), "{remarks}");
    let (_, first) = consent(&session)?;

    // A second monitor: the portal shares the one that it was told to; what is missing is told.
    session.sway(&["create_output"])?;
    let restored = probe(&session, dir)?;
    assert_eq!(session.times_asked(), 2, "the consent was enough");
    assert!(consent(&session)?.1 > first, "a token is good once: the next one is kept");
    assert_eq!(restored["monitors"].as_array().map(Vec::len), Some(1));
    let remarks = restored["remarks"].to_string();
    assert!(remarks.contains("monitor HEADLESS-2 is not shared"), "{remarks}");

    // The monitor has another size than the one that was consented to: what is shared is told as another one.
    session.sway(&["--", "output", FIRST, "mode", "--custom", "720x400@60Hz"])?;
    let other = probe(&session, dir)?;
    println!("another monitor: {other}");
    assert_eq!((&other["monitors"][0]["width"], &other["monitors"][0]["height"]), (&720.into(), &400.into()));
    let remarks = other["remarks"].to_string();
    assert!(
        remarks.contains("shares 720×400 at 0,0, which was not shared when the agent consented"),
        "{remarks}"
    );
    Ok(())
}
