//! The agent's desktop as a whole: session manager, panel, key store, window, tray, a call.

use crate::{fixture::Fixture, plaintext::files_below};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    desktop::{Driver, Session},
    display::Display,
    process::{Program, built, eventually, run},
    scenario::{AGENT_LOGIN, CUSTOMER_DN, talk},
};
use hindsight_wire::local::{CaptureState, LinkState};
use serde_json::Value;
use std::{fs, path::Path, time::Duration};

const LIMIT: Duration = Duration::from_secs(30);

/// Row 1: start at login, sign-in through the window, tray and menu through a call, one pause for voice and screen.
#[tokio::test]
async fn an_agent_works_a_call_from_login_to_upload_by_window_and_tray() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let display = Display::start(f.dir(), 1280, 800).await?;
    let mut session = Session::start(f.dir(), display).await?;
    let worked = work(&f, &mut session).await;
    if worked.is_err() {
        println!("the session said:\n{}", session.log_text());
        let log = fs::read_to_string(session.data().join("recorder.log")).unwrap_or_default();
        println!("the recorder said:\n{}", hindsight_tests::process::tail(&log));
        let _ = session.screenshot("failed");
    }
    let ended = session.end_programs().await;
    worked?;
    ended?;
    drop(session);
    f.scenario.site.stop().await
}

/// No panel at first: the program, its window and its watch over the recorder work; a panel that comes later shows the
/// icon, once.
#[tokio::test]
async fn without_a_tray_everything_works_and_one_that_comes_later_shows_it() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("hindsight-e2e-").tempdir()?;
    let display = Display::start(dir.path(), 1280, 800).await?;
    let session = Session::start(dir.path(), display).await?;
    let program = built("hindsight-desktop")?;
    let mut command = session.command(&program);
    let log = dir.path().join("shell.log");
    let mut shell = Program::spawn("hindsight-desktop", command.arg("--background"), &log)?;
    let worked = without_a_tray(&session, &mut shell).await;
    if worked.is_err() {
        println!("the shell said:\n{}", shell.log_text());
        let _ = session.screenshot("failed");
    }
    let ended = session.end_programs().await;
    worked.and(ended)
}

async fn without_a_tray(session: &Session, shell: &mut Program) -> Result<()> {
    let status = session.wait_for_status("a recorder", LIMIT, |s| s.link == LinkState::NotEnrolled).await?;
    // A second start opens the window of the first and ends; a link of the browser does so too.
    for argument in [None, Some("hindsight://signed-in?code=of-no-sign-in")] {
        let mut second = session.command(built("hindsight-desktop")?);
        run(second.args(argument))?;
    }
    let window = session.driver().await?;
    window.wait_for_text("Connect this computer").await?;
    kill(status.pid)?;
    let again = session.wait_for_status("another recorder", LIMIT, |s| s.pid != status.pid).await?;
    ensure!(again.link == LinkState::NotEnrolled, "{again:?}");
    window.wait_for_text("Connect this computer").await?;
    window.close().await?;
    ensure!(shell.is_running(), "it ended with its window");
    let log = session.home.join("panel.log");
    let _panel = Program::spawn("xfce4-panel", &mut session.command("xfce4-panel"), &log)?;
    session.wait_for_tray("This computer is not enrolled", "idle").await?;
    one_icon(session)
}

/// No second icon of the old kind (XEmbed) beside the one that the panel has over D-Bus.
fn one_icon(session: &Session) -> Result<()> {
    let windows = String::from_utf8(run(session.command("xwininfo").args(["-root", "-tree"]))?)?;
    ensure!(!windows.contains("tray-icon tray app hindsight"), "a second icon:\n{windows}");
    Ok(())
}

async fn work(f: &Fixture, session: &mut Session) -> Result<()> {
    let program = built("hindsight-desktop")?;
    // The first start, by hand and with no tray: the program makes itself start at login.
    let mut command = session.command(&program);
    let mut first =
        Program::spawn("hindsight-desktop", command.arg("--background"), &f.dir().join("first.log"))?;
    let entry = session.home.join(".config/autostart/hindsight-desktop.desktop");
    eventually("an autostart entry", LIMIT, || async { Ok(fs::read_to_string(&entry)?) }).await?;
    let status = session.wait_for_status("a recorder", LIMIT, |s| s.link == LinkState::NotEnrolled).await?;
    first.kill();

    // Login: xfce4-session starts the program, which finds the recorder that outlived the first shell.
    session.log_in()?;
    let tray = session.wait_for_tray("This computer is not enrolled", "idle").await?;
    let again = session.status().await?;
    ensure!(again.pid == status.pid, "another recorder: {} and {}", status.pid, again.pid);
    one_icon(session)?;

    // The window: made on demand from the tray; enrols, refuses a wrong password, signs in.
    tray.choose("Open Hindsight")?;
    let window = session.driver().await?;
    window.write("textarea", &f.scenario.site.noted.desktop_enrolment).await?;
    window.click("form button").await?;
    window.write("input[autocomplete=username]", AGENT_LOGIN).await?;
    window.write("input[type=password]", "not the password").await?;
    window.click("form button").await?;
    window.wait_for_element("[role=alert]").await?;
    session.screenshot("desktop-sign-in-refused")?;
    window.write("input[type=password]", &f.scenario.secrets.agent).await?;
    window.click("form button").await?;
    window.wait_for_text("Ann Weber").await?;
    window.click("button.ready").await?;
    session.wait_for_tray("Ready", "idle").await?;
    session.screenshot("desktop-ready")?;
    secrets_are_in_the_key_store(session).await?;
    settings_hold_at_once(session, &window, &entry).await?;

    // A call: tray and window follow; the tray pauses voice and screen.
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let recording = "Recording voice and screen";
    let tray = session.wait_for_tray(recording, "recording").await?;
    window.wait_for_text(CUSTOMER_DN).await?;
    window.wait_for_text("Screen: recording").await?;
    session.screenshot("desktop-recording")?;
    talk(Duration::from_secs(3)).await;
    tray.choose("Pause recording")?;
    let tray = session.wait_for_tray("Recording paused", "paused").await?;
    window.wait_for_text("Neither voice nor screen is being recorded.").await?;
    window.wait_for_text("Voice: paused").await?;
    session.screenshot("desktop-paused")?;
    talk(Duration::from_secs(3)).await;
    tray.choose("Resume recording")?;
    session.wait_for_tray(recording, "recording").await?;
    talk(Duration::from_secs(2)).await;

    // Closed in mid-call, the window is gone and its memory with it; recording goes on.
    window.close().await?;
    eventually("the end of the window's processes", LIMIT, || async {
        ensure!(session.processes("WebKitWeb")?.is_empty(), "WebKit still runs");
        Ok(())
    })
    .await?;
    ensure!(session.status().await?.capture == CaptureState::Recording, "the capture ended with the window");
    customer.hang_up().await?;
    session.wait_for_tray("Ready", "idle").await?;

    let console = f.console().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(40)).await?;
    one_pause_for_both(&call)?;

    // The recorder is killed: started again, told, and signed in again by what is in the key store.
    let notifications = session.watch_notifications().await?;
    let before = session.status().await?.pid;
    kill(before)?;
    let after = session
        .wait_for_status("another recorder, signed in", LIMIT, |s| s.pid != before && s.person.is_some())
        .await?;
    ensure!(after.person.is_some_and(|person| person.login == AGENT_LOGIN), "somebody else");
    session.wait_for_tray("Ready", "idle").await?;
    eventually("a notification", LIMIT, || async {
        let sent = notifications.log_text();
        ensure!(sent.contains("member=Notify") && sent.contains("The recorder was restarted"), "{sent}");
        let windows = String::from_utf8(run(session.command("xwininfo").args(["-root", "-tree"]))?)?;
        ensure!(windows.contains("xfce4-notifyd"), "the daemon shows nothing:\n{windows}");
        Ok(())
    })
    .await?;
    session.screenshot("desktop-notification").map(drop)
}

/// The device key and the token of the agent's session are in the session's key store, and in no file of the recorder.
async fn secrets_are_in_the_key_store(session: &Session) -> Result<()> {
    let key = session.secret("device-key")?;
    let line = key.lines().find(|line| line.len() > 40).context("a key in PEM")?;
    ensure!(key.contains("PRIVATE KEY"), "the device key is none");
    // It is kept in the background.
    let kept = eventually("the session", LIMIT, || async { session.secret("session") }).await?;
    let kept: Value = serde_json::from_str(&kept)?;
    ensure!(kept["login"] == AGENT_LOGIN, "the session of somebody else");
    let token = kept["token"].as_str().filter(|token| token.len() > 20).context("a token")?;
    let files = files_below(&session.data())?;
    ensure!(files.iter().any(|path| path.ends_with("recorder.log")), "the recorder's files: {files:?}");
    for path in files {
        let bytes = fs::read(&path)?;
        for (what, secret) in [("the device key", line), ("the token", token)] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            ensure!(!found, "{what} lies in {path:?}");
        }
    }
    Ok(())
}

/// Language and start at login, switched in the window, hold at once.
async fn settings_hold_at_once(session: &Session, window: &Driver, entry: &Path) -> Result<()> {
    window.click("a[href='#/settings']").await?;
    window.click("option[value=de]").await?;
    window.wait_for_text("Einstellungen").await?;
    window.wait_for_text("Beim Anmelden am Rechner starten").await?;
    session.wait_for_tray("Bereit", "idle").await?;
    session.screenshot("desktop-german")?;
    let written = |wanted: bool| async move {
        eventually("the session's entry", LIMIT, || async {
            ensure!(entry.exists() == wanted, "it is {}there", if wanted { "not " } else { "" });
            Ok(())
        })
        .await
    };
    written(true).await?;
    window.click("#autostart").await?;
    written(false).await?;
    window.click("#autostart").await?;
    written(true).await?;
    ensure!(fs::read_to_string(entry)?.contains("--background"), "it opens a window at login");
    window.click("option[value=en]").await?;
    session.wait_for_tray("Ready", "idle").await?;
    window.click("a[href='#/workspace']").await?;
    window.wait_for_text("Ann Weber").await
}

/// Voice and screen stand still in the same span of the call.
fn one_pause_for_both(call: &Value) -> Result<()> {
    let span = |kind: &str| -> Result<(f64, f64)> {
        let file = *media(call, kind).first().with_context(|| format!("no {kind}: {call:#}"))?;
        let pauses = file["pauses"].as_array().context("pauses")?;
        ensure!(pauses.len() == 1, "{kind}: {pauses:?}");
        let at = |name: &str| pauses[0][name].as_f64().context("a time");
        let offset = file["offsetMs"].as_f64().context("offsetMs")?;
        Ok((offset + at("fromMs")?, offset + at("toMs")?))
    };
    let (voice, screen) = (span("voice")?, span("screen")?);
    println!("paused, ms of the call: voice {voice:?}, screen {screen:?}");
    ensure!((voice.0 - screen.0).abs() < 1_500.0 && (voice.1 - screen.1).abs() < 1_500.0, "not one pause");
    ensure!(voice.1 - voice.0 > 2_500.0 && screen.1 - screen.0 > 2_500.0, "too short");
    Ok(())
}

fn kill(pid: u32) -> Result<()> {
    // SAFETY: a plain system call; the process is this test's own recorder.
    let killed = unsafe { libc::kill(i32::try_from(pid)?, libc::SIGKILL) };
    ensure!(killed == 0, "the recorder was gone");
    Ok(())
}
