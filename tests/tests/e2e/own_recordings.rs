//! An agent replays their own call in the desktop's window: voice and screen from memory, with the server's leave, and
//! nothing of it on a disk.

use crate::{
    fixture::Fixture,
    plaintext::{Forbidden, files_below, tracer, written},
};
use anyhow::{Context, Result, anyhow, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hindsight_agent_core::scene::read_clock;
use hindsight_link::Identity;
use hindsight_local::{Client, socket_path};
use hindsight_tests::{
    console::media,
    desktop::{Driver, Session},
    display::Display,
    process::{Program, built, eventually, run},
    scenario::{AGENT_LOGIN, CUSTOMER_DN, talk},
};
use hindsight_wire::{
    InteractionId,
    local::{Ask, LinkState, Replay, Secret},
};
use reqwest::StatusCode;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

const LIMIT: Duration = Duration::from_secs(30);
/// A picture is up to 200 ms old when it is recorded, and is painted ten times a second.
const APART_MS: f64 = 700.0;
/// The corner of the screen that the clock is in.
const CORNER: (usize, usize) = (448, 192);

#[tokio::test]
async fn an_agent_replays_their_own_call_and_no_file_ever_holds_any_of_it() -> Result<()> {
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
    let begun = SystemTime::now();
    let mut command = session.command(built("hindsight-desktop")?);
    let log = f.dir().join("shell.log");
    let _shell = Program::spawn("hindsight-desktop", command.arg("--background"), &log)?;
    session.wait_for_status("a recorder", LIMIT, |s| s.link == LinkState::NotEnrolled).await?;
    let recorder = Client::connect(&socket_path(&session.data())).await?;
    let ask = async |ask: Ask| recorder.request(ask).await.map_err(|why| anyhow!(why));
    ask(Ask::Enrol { string: Secret(f.scenario.site.noted.desktop_enrolment.clone()) }).await?;
    session.wait_for_status("an enrolled desktop", LIMIT, |s| s.link != LinkState::NotEnrolled).await?;
    let password = Secret(f.scenario.secrets.agent.clone());
    ask(Ask::SignIn { login: AGENT_LOGIN.to_owned(), password, dn: None }).await?;
    session.wait_for_status("an open link", LIMIT, |s| s.link == LinkState::Up && s.own_recordings).await?;

    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(10)).await;
    customer.hang_up().await?;
    let console = f.console().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    let interaction: InteractionId = call["id"].as_str().context("id")?.parse()?;

    // A second start opens the window of the first.
    run(&mut session.command(built("hindsight-desktop")?))?;
    let window = session.driver().await?;
    window.click("a[href='#/history']").await?;
    window.wait_for_element("td.act button").await?;
    let trace = f.dir().join("replay.strace");
    let mut strace = attached(session, &trace).await?;
    replayed(&window, session).await?;
    strace.terminate(LIMIT).await?;
    let page =
        window.script("return document.documentElement.outerHTML + JSON.stringify(localStorage)").await?;
    let token = session_token(session)?;
    ensure!(!page.as_str().unwrap_or_default().contains(&token), "the window has the session's token");
    written_down(&f.scenario.site.data())?;

    let mut forbidden = Forbidden::default();
    for kind in ["voice", "screen"] {
        for file in media(&call, kind) {
            forbid(&mut forbidden, &console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?);
        }
    }
    nowhere(&forbidden, &trace, f.dir(), session, begun)?;

    // Nobody else's; nobody's, once the site says so.
    let other = recorder.request(Ask::Play { interaction: InteractionId::new() }).await;
    ensure!(other.as_ref().is_err_and(|why| why.contains("no such thing")), "{other:?}");
    let replay: Replay = serde_json::from_value(ask(Ask::Play { interaction }).await?)?;
    let recording = replay.files.first().context("a recording")?.id;
    ask(Ask::Piece { recording, from: 0, most: 100 }).await?;
    let file = f.dir().join("withdrawn.toml");
    let site = fs::read_to_string(f.dir().join("site.toml"))?;
    fs::write(&file, site.replace("own_recordings = true", "own_recordings = false"))?;
    run(f.scenario.site.server()?.args(["config", "apply"]).arg(&file))?;
    session.wait_for_status("a right withdrawn", LIMIT, |s| !s.own_recordings).await?;
    window.wait_for_text("Your role does not include seeing your own recordings.").await?;
    let left = window.script("return document.querySelectorAll('td.act button, .player').length").await?;
    ensure!(left == 0, "there is still something to play");
    for refused in [Ask::Play { interaction }, Ask::Piece { recording, from: 0, most: 100 }] {
        let answer = recorder.request(refused).await;
        ensure!(answer.as_ref().is_err_and(|why| why.contains("does not show agents")), "{answer:?}");
    }
    let http = identity(session, &f.dir().join("identity"))?.http_client()?;
    let site = format!("https://localhost:{}/api/v2/desktop", f.scenario.site.ports.https);
    for path in [format!("recordings/{interaction}"), format!("media/{recording}")] {
        let answer = http.get(format!("{site}/{path}")).bearer_auth(&token).send().await?;
        ensure!(answer.status() == StatusCode::FORBIDDEN, "{path}: {}", answer.status());
    }
    Ok(())
}

/// Played, paused, sought and played again in the window, with voice and picture at the same place.
async fn replayed(window: &Driver, session: &Session) -> Result<()> {
    window.click("td.act button").await?;
    window.click(".bar-of-player button:not(:disabled)").await?;
    let after = |from: f64| eventually("voice and picture", LIMIT, move || seen(window, from));
    let first = after(2000.0).await?;
    let second = after(first.at + 1500.0).await?;
    session.screenshot("desktop-replay")?;
    second.fits(&first)?;
    window.click(".bar-of-player button").await?;
    let paused = after(second.at).await?;
    paused.fits(&first)?;
    for (key, by) in [("\u{E014}", 5000.0), ("\u{E012}", -5000.0)] {
        let wanted = position(window).await? + by;
        window.write(".bar-of-player input", key).await?;
        let sought = eventually("the picture sought", LIMIT, || async {
            let sought = seen(window, 0.0).await?;
            ensure!((sought.at - wanted).abs() < 1.0, "at {} and not {wanted}", sought.at);
            sought.fits(&first)?;
            Ok(sought)
        })
        .await?;
        println!("sought {by} ms: the picture is {:.0} ms apart", sought.apart(&first));
    }
    let at = position(window).await?;
    window.click(".bar-of-player button").await?;
    after(at + 800.0).await?.fits(&first)?;
    let told = window.script("return document.querySelectorAll('.player .notice').length").await?;
    ensure!(told == 0, "something is not played");
    Ok(())
}

/// Where the replay stands, and the clock in the picture that is shown.
struct Seen {
    at: f64,
    clock: f64,
}

impl Seen {
    fn apart(&self, other: &Seen) -> f64 {
        (self.clock - other.clock) - (self.at - other.at)
    }

    fn fits(&self, other: &Seen) -> Result<()> {
        let apart = self.apart(other);
        ensure!(apart.abs() < APART_MS, "voice and picture are {apart} ms apart");
        Ok(())
    }
}

async fn position(window: &Driver) -> Result<f64> {
    let at = window.script("return document.querySelector('.player input').valueAsNumber").await?;
    at.as_f64().context("a position")
}

/// Once the replay is past `from`.
async fn seen(window: &Driver, from: f64) -> Result<Seen> {
    let (width, height) = CORNER;
    let script = format!(
        "const [shown, slider] = ['canvas', 'input'].map((name) => document.querySelector(`.player ${{name}}`)); \
         if (!shown || !slider) return {{ told: document.body.innerText }}; \
         const corner = document.createElement('canvas'); [corner.width, corner.height] = [{width}, {height}]; \
         const drawn = corner.getContext('2d', {{ willReadFrequently: true }}); drawn.drawImage(shown, 0, 0); \
         const pixels = drawn.getImageData(0, 0, {width}, {height}).data; let luma = ''; \
         for (let i = 0; i < pixels.length; i += 4) luma += String.fromCharCode((pixels[i] + pixels[i + 1] + pixels[i + 2]) / 3); \
         return {{ at: slider.valueAsNumber, luma: btoa(luma), width: shown.width, seen: shown.checkVisibility(), \
         told: document.querySelector('.player').innerText }}"
    );
    let mut page = window.script(&script).await?;
    let luma = page.as_object_mut().and_then(|page| page.remove("luma"));
    ensure!(page["width"] == 1280 && page["seen"] == true, "no picture: {page}");
    let at = page["at"].as_f64().context("a position")?;
    ensure!(at >= from, "it is {page}");
    let luma = BASE64_STANDARD.decode(luma.as_ref().and_then(Value::as_str).context("a picture")?)?;
    let now = hindsight_wire::Timestamp::now().0 / 1000;
    let clock =
        read_clock(&luma, width, now.try_into()?).with_context(|| format!("no clock in it: {page}"))?;
    Ok(Seen { at, clock: clock as f64 })
}

/// `strace` of everything that the desktop's programs write from now on.
async fn attached(session: &Session, log: &Path) -> Result<Program> {
    let words = tracer(log);
    let (program, arguments) = words.split_first().context("strace")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let mut processes = session.processes("hindsight-")?;
    let web = session.processes("WebKit")?;
    ensure!(processes.len() >= 2 && web.len() >= 2, "shell, recorder and WebKit: {processes:?} {web:?}");
    processes.extend(web);
    for process in &processes {
        command.args(["-p", &process.to_string()]);
    }
    let said = log.with_extension("log");
    let strace = Program::spawn("strace", &mut command, &said)?;
    let said = &said;
    eventually("strace", LIMIT, || async {
        for process in &processes {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            ensure!(!status.contains("TracerPid:\t0\n"), "{}", fs::read_to_string(said).unwrap_or_default());
        }
        Ok(())
    })
    .await?;
    Ok(strace)
}

/// The bytes as they are, as the window's samples, and as they travel.
fn forbid(forbidden: &mut Forbidden, bytes: &[u8]) {
    forbidden.add(bytes);
    for shift in 0..3.min(bytes.len()) {
        forbidden.add(BASE64_STANDARD.encode(&bytes[shift..]).as_bytes());
    }
    if bytes.starts_with(b"RIFF") {
        for channel in 0..2 {
            let floats = bytes[44..].chunks_exact(4).flat_map(|frame| {
                let sample = i16::from_le_bytes([frame[2 * channel], frame[2 * channel + 1]]);
                (f32::from(sample) / 32768.0).to_le_bytes()
            });
            forbidden.add(&floats.collect::<Vec<u8>>());
        }
    }
}

/// Not in what was written, not in what lies anywhere now, not in what is open and has no name any more.
fn nowhere(
    forbidden: &Forbidden,
    trace: &Path,
    dir: &Path,
    session: &Session,
    begun: SystemTime,
) -> Result<()> {
    ensure!(forbidden.count() > 500_000, "there is not enough to look for: {}", forbidden.count());
    let memory = |name: &str| name.starts_with("/memfd:");
    let writes: Vec<_> = written(trace)?.into_iter().filter(|(name, _)| !memory(name)).collect();
    let mut searched: usize = writes.iter().map(|(_, bytes)| bytes.len()).sum();
    println!(
        "written during the replay: {searched} bytes to {:?}",
        writes.iter().map(|(n, _)| n).collect::<Vec<_>>()
    );
    for (name, bytes) in &writes {
        let found = forbidden.found_in(bytes);
        ensure!(found == 0, "{found} windows of plaintext were written to {name}");
    }
    let mut files = files_below(&session.home)?;
    for place in ["/tmp", "/var/tmp"] {
        files.extend(fresh(Path::new(place), dir, begun));
    }
    for process in session.processes("")? {
        for (of, entries) in ["fd", "map_files"].map(|of| (of, fs::read_dir(format!("/proc/{process}/{of}"))))
        {
            let entries = entries.with_context(|| format!("{of} of {process}"))?;
            files.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    files.sort();
    files.dedup();
    let mut looked = std::collections::HashSet::new();
    for file in files {
        // Of what is open or mapped, files on a disk only: no sockets, no memory, no programs.
        let target = fs::read_link(&file).unwrap_or_else(|_| file.clone());
        let name = target.to_string_lossy();
        let elsewhere =
            ["/memfd:", "/dev/", "/proc/", "/usr/", "/lib"].iter().any(|start| name.starts_with(start));
        if elsewhere || !fs::metadata(&file).is_ok_and(|m| m.is_file()) || !looked.insert(target.clone()) {
            continue;
        }
        let Ok(content) = fs::read(&file) else { continue };
        searched += content.len();
        let found = forbidden.found_in(&content);
        ensure!(found == 0, "{found} windows of plaintext lie in {name}");
    }
    println!(
        "{} windows of plaintext are nowhere: {} KB in {} files searched",
        forbidden.count(),
        searched / 1024,
        looked.len()
    );
    Ok(())
}

/// Files that are new since the test began, of anybody but other tests.
fn fresh(place: &Path, own: &Path, begun: SystemTime) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let others = name.to_string_lossy().starts_with("hindsight-") && path != own;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !others && path != own => found.extend(fresh(&path, own, begun)),
            Ok(kind) if kind.is_file() => {
                let changed = entry.metadata().and_then(|metadata| metadata.modified());
                if changed.is_ok_and(|changed| changed >= begun) {
                    found.push(path);
                }
            }
            _ => {}
        }
    }
    found
}

/// The desktop's identity, with the key that its key store has.
fn identity(session: &Session, copy: &Path) -> Result<Identity> {
    fs::create_dir(copy)?;
    for file in files_below(&session.data().join("identity"))? {
        fs::copy(&file, copy.join(file.file_name().context("a name")?))?;
    }
    fs::write(copy.join("device.key"), session.secret("device-key")?)?;
    Identity::load(copy)?.context("an identity")
}

/// The session's token, as the key store has it.
fn session_token(session: &Session) -> Result<String> {
    let kept: Value = serde_json::from_str(&session.secret("session")?)?;
    Ok(kept["token"].as_str().context("token")?.to_owned())
}

/// The replay is in the audit log, and in the one of the keys: once for each recording, however often it was sought in.
fn written_down(data: &Path) -> Result<()> {
    let query = "SELECT action FROM audit WHERE actor = 'ann' ORDER BY position";
    let database = data.join("store/hindsight.db");
    let rows = String::from_utf8(run(Command::new("sqlite3").arg("-readonly").arg(database).arg(query))?)?;
    let count = |action: &str| rows.lines().filter(|row| *row == action).count();
    assert_eq!((count("interaction.view"), count("recording.play")), (1, 2), "{rows}");
    let keys = fs::read_to_string(data.join("crypto/audit.jsonl"))?;
    let given = keys.lines().filter(|line| line.contains("\"ann\"") && line.contains("granted")).count();
    ensure!(given == 2, "{given} keys were given for the agent");
    Ok(())
}
