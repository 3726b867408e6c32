//! An agent replays their own call in the desktop's window: by the recorder's loopback, with the server's leave.

use crate::fixture::Fixture;
use anyhow::{Context, Result, anyhow, ensure};
use hindsight_local::{Client, socket_path};
use hindsight_tests::{
    desktop::{Driver, Session},
    display::Display,
    process::{Program, built, eventually, run},
    scenario::{AGENT_LOGIN, CUSTOMER_DN, talk},
    site::Site,
};
use hindsight_wire::local::{Ask, LinkState, Replay};
use reqwest::StatusCode;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_agent_replays_their_own_call_in_the_window_and_the_server_writes_it_down() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5\n\n[agent]\nown_recordings = true\n");
    f.scenario.site.start().await?;
    let mut display = Display::start(f.dir(), 1280, 800).await?;
    display.show("clock", f.dir())?;
    let session = Session::start(f.dir(), display).await?;
    let worked = work(&f, &session).await;
    if worked.is_err() {
        println!("the shell said:\n{}", fs::read_to_string(f.dir().join("shell.log")).unwrap_or_default());
        let log = fs::read_to_string(session.data().join("recorder.log")).unwrap_or_default();
        println!("the recorder said:\n{}", hindsight_tests::process::tail(&log));
        let _ = session.screenshot("own-recordings-failed");
    }
    let ended = session.end_programs().await;
    worked.and(ended)?;
    drop(session);
    f.scenario.site.stop().await
}

async fn work(f: &Fixture, session: &Session) -> Result<()> {
    let mut command = session.command(built("hindsight-desktop")?);
    let _shell = Program::spawn("hindsight-desktop", &mut command, &f.dir().join("shell.log"))?;
    let window = session.driver().await?;
    window.write("textarea", &f.scenario.site.noted.desktop_enrolment).await?;
    window.click("form button").await?;
    window.write("input[autocomplete=username]", AGENT_LOGIN).await?;
    window.write("input[type=password]", &f.scenario.secrets.agent).await?;
    window.click("form button:not([type=button])").await?;
    session.wait_for_status("an open link", LIMIT, |s| s.link == LinkState::Up && s.person.is_some()).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(6)).await;
    customer.hang_up().await?;
    f.console().await?.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;

    // By the window.
    window.click("a[href='#/history']").await?;
    window.click("td.act button").await?;
    window.click(".bar-of-player button").await?;
    let seen = eventually("voice and screen in the window", LIMIT, || played(&window)).await;
    session.screenshot("desktop-replay")?;
    let seen = seen?;
    println!("{seen:#}");
    let warned = window.script("return document.querySelectorAll('.player .notice').length").await?;
    ensure!(warned == 0, "something is not played");
    let page =
        window.script("return document.documentElement.outerHTML + JSON.stringify(localStorage)").await?;
    let token = session_token(session).await?;
    ensure!(!page.as_str().unwrap_or_default().contains(&token), "the window has the session's token");

    // By the address: this recording by ranges, for whoever has the address, and nobody else.
    let url = seen["voice"].as_str().context("address")?;
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
    let part = http.get(url).header("range", "bytes=32000-33023").send().await?;
    ensure!(part.status() == StatusCode::PARTIAL_CONTENT, "{}", part.status());
    ensure!(part.headers().get("cache-control").is_some_and(|value| value == "no-store"), "it may be kept");
    let plaintext = part.bytes().await?;
    ensure!(plaintext.len() == 1024 && plaintext.iter().any(|byte| *byte != plaintext[0]), "silence");
    let (base, _) = url.rsplit_once('/').context("address")?;
    let guessed = http.get(format!("{base}/{}", "0".repeat(64))).send().await?;
    ensure!(guessed.status() == StatusCode::NOT_FOUND, "{}", guessed.status());
    let rebound = http.get(url).header("host", "rebound.example").send().await?;
    ensure!(rebound.status() == StatusCode::MISDIRECTED_REQUEST, "{}", rebound.status());
    nothing_on_disk(session, &plaintext)?;
    written_down(&f.scenario.site)?;

    // Another replay ends this one, and so does the sign-out.
    let client = Client::connect(&socket_path(&session.data())).await?;
    let page = client.request(Ask::History { cursor: None }).await.map_err(|why| anyhow!(why))?;
    let interaction = page["items"][0]["id"].as_str().context("an interaction")?.parse()?;
    let again = client.request(Ask::Play { interaction }).await.map_err(|why| anyhow!(why))?;
    let again: Replay = serde_json::from_value(again)?;
    let kinds: Vec<&str> = again.files.iter().map(|file| file.kind.as_str()).collect();
    assert_eq!(kinds, ["voice", "screen"]);
    let place = |index: usize| -> Result<f64> {
        let at = seen["of"][index]["at"].as_f64().context("a time")? * 1000.0;
        Ok(at + again.files[index].offset_ms as f64)
    };
    let apart = (place(0)? - place(1)?).abs();
    println!("voice and screen stood {apart:.0} ms apart");
    ensure!(apart < 500.0, "voice and screen are {apart} ms apart");
    ensure!(http.get(url).send().await?.status() == StatusCode::NOT_FOUND, "the replay before is still open");
    let next = &again.files[0].url;
    ensure!(http.get(next).send().await?.status() == StatusCode::OK, "not open");
    let other = client.request(Ask::Play { interaction: hindsight_wire::InteractionId::new() }).await;
    ensure!(other.as_ref().is_err_and(|why| why.contains("no such thing")), "{other:?}");
    ensure!(http.get(next).send().await?.status() == StatusCode::OK, "a refused replay ended an open one");
    client.request(Ask::SignOut).await.map_err(|why| anyhow!(why))?;
    ensure!(http.get(next).send().await?.status() == StatusCode::NOT_FOUND, "open after the sign-out");
    Ok(())
}

/// Where the players stand, once both have played for a second.
async fn played(window: &Driver) -> Result<Value> {
    let seen = window
        .script(
            "const [voice, screen] = ['audio', 'video'].map((kind) => document.querySelector(`.player ${kind}`)); \
             const of = (player) => player && { at: player.currentTime, error: player.error && player.error.message }; \
             return { voice: voice && voice.src, of: [of(voice), of(screen)], \
             width: screen && screen.videoWidth, paused: voice && voice.paused, \
             told: document.querySelector('.player')?.innerText }",
        )
        .await?;
    let at = |index: usize| seen["of"][index]["at"].as_f64().unwrap_or(0.0);
    ensure!(at(0) > 1.0 && at(1) > 1.0, "it is {seen}");
    ensure!(seen["width"].as_u64().is_some_and(|width| width > 0), "no picture: {seen}");
    Ok(seen)
}

/// The session's token, as the key store has it.
async fn session_token(session: &Session) -> Result<String> {
    let kept = session.secret("session")?;
    let kept: Value = serde_json::from_str(&kept)?;
    Ok(kept["token"].as_str().context("token")?.to_owned())
}

/// No file of the agent's home, nor one that the window has open, holds what was heard.
fn nothing_on_disk(session: &Session, plaintext: &[u8]) -> Result<()> {
    let mut files = Vec::new();
    below(&session.home, &mut files)?;
    for process in session.processes("")? {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"));
        files.extend(descriptors.into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    let looked = files.len();
    for file in files {
        // Of what is open, files on a disk only: no sockets, no memory.
        let target = fs::read_link(&file).unwrap_or_else(|_| file.clone());
        if target.starts_with("/memfd:")
            || target.starts_with("/dev")
            || !fs::metadata(&file).is_ok_and(|m| m.is_file())
        {
            continue;
        }
        let content = fs::read(&file).unwrap_or_default();
        let found = content.windows(plaintext.len()).any(|window| window == plaintext);
        ensure!(!found, "{} holds plaintext", target.display());
    }
    println!("no plaintext in {looked} files and descriptors");
    Ok(())
}

fn below(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below(&entry.path(), files)?;
        } else if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Each replay is in the audit log, and in the one of the keys.
fn written_down(site: &Site) -> Result<()> {
    let query = "SELECT action FROM audit WHERE actor = 'ann' ORDER BY position";
    let database = site.data().join("store/hindsight.db");
    let rows = String::from_utf8(run(Command::new("sqlite3").arg("-readonly").arg(database).arg(query))?)?;
    let count = |action: &str| rows.lines().filter(|row| *row == action).count();
    assert_eq!((count("interaction.view"), count("recording.play")), (1, 2), "{rows}");
    let keys = fs::read_to_string(site.data().join("crypto/audit.jsonl"))?;
    let given = keys.lines().filter(|line| line.contains("\"ann\"") && line.contains("granted")).count();
    ensure!(given == 2, "{given} keys were given for the agent");
    Ok(())
}
