//! Row 4: a disk that fills, a spool that cannot be written, a server that comes late. Nothing sealed is lost, nothing is
//! sent twice, and the trouble shows to the agent and in the server's list.

use crate::fixture::Fixture;
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    backlog,
    console::{Console, media},
    display::Display,
    process::{Program, eventually, run},
    recorder,
    scenario::CUSTOMER_DN,
};
use hindsight_wire::{agent::ProblemKind, local::CaptureState};
use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(20);

/// Puts a mount namespace of its own around a program, made by `mounts` (shell). Needs root, and says so.
fn mounted(mounts: &str) -> Result<Vec<String>> {
    // SAFETY: no arguments, always succeeds.
    let user = unsafe { libc::geteuid() };
    ensure!(
        user == 0,
        "this test mounts file systems of its own, which needs root: run it as root or with sudo"
    );
    let script = format!("set -e; {mounts}; exec \"$@\"");
    Ok(["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec())
}

/// The agent's recorder behind `wrapper`, with these settings.
fn start(f: &Fixture, display: &str, wrapper: &[String], settings: &[(&str, &str)]) -> Result<Program> {
    let dir = f.dir().join("desktop");
    let mut command = recorder::command(&f.scenario.site, &dir, &f.scenario.agent(display, "x11"), wrapper)?;
    command.env("HINDSIGHT_RECORDER_KEY_STORE", "file");
    for (name, value) in settings {
        command.env(format!("HINDSIGHT_RECORDER_{name}"), value);
    }
    Program::spawn("hindsight-recorder", &mut command, &dir.join("recorder.log"))
}

fn data(f: &Fixture) -> PathBuf {
    f.dir().join("desktop/data")
}

/// Waits until the server lists the desktop with this problem, or without it.
async fn listed(console: &Console, kind: &str, there: bool) -> Result<()> {
    eventually("the server's list", SOON, || async {
        let list = console.get("/api/v2/desktops").await?;
        let problems = list["items"][0]["problems"].as_array().context("no problems")?;
        ensure!(problems.iter().any(|problem| problem["kind"] == kind) == there, "{list:#}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn on_a_full_disk_the_running_capture_is_closed_whole_and_a_new_one_refused_with_its_reason()
-> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let (data, dir) = (data(&f), f.dir().join("desktop"));
    std::fs::create_dir_all(data.join("spool"))?;
    let mut display = Display::start(&dir, 800, 600).await?;
    display.show("office", &dir)?;
    let spool = data.join("spool");
    let wrapper = mounted(&format!("mount -t tmpfs -o size=64m tmpfs '{}'", spool.display()))?;
    let limits = [
        ("SPOOL__LOW_FREE_BYTES", "41943040"),
        ("SPOOL__MIN_FREE_BYTES", "20971520"),
        ("SPOOL__STOP_FREE_BYTES", "8388608"),
        ("SPOOL__GUARD_INTERVAL_MS", "300"),
    ];
    let mut recorder = start(&f, &display.name, &wrapper, &limits)?;
    recorder.wait_for_log("link is open", SOON).await?;
    let console = f.console().await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    recorder.wait_for_log("capture started", SOON).await?;

    // The recorder's own view of its disk: the test is in another mount namespace.
    let filler = PathBuf::from(format!("/proc/{}/root", recorder.pid()))
        .join(spool.strip_prefix("/")?)
        .join(".filler");
    let fill = |mib: usize| std::fs::write(&filler, vec![0u8; mib << 20]).context("filling the disk");
    fill(30)?;
    let low = recorder::problem(&data, ProblemKind::DiskLow, SOON).await?;
    listed(&console, "disk-low", true).await?;
    fill(45)?;
    let full = recorder::problem(&data, ProblemKind::DiskFull, SOON).await?;
    listed(&console, "disk-full", true).await?;
    let capture = recorder::status(&data).await?.capture;
    assert_eq!(capture, CaptureState::Recording, "what runs goes on while nothing new begins");
    fill(55)?;
    eventually("the end of the capture", SOON, || async {
        let capture = recorder::status(&data).await?.capture;
        ensure!(capture != CaptureState::Recording, "{capture:?}");
        Ok(())
    })
    .await?;
    println!("low: {:?}; full: {:?}", low.detail, full.detail);
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", SOON).await?;
    let call = console
        .wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| {
            media(call, "screen").first().is_some_and(|file| file["state"] == "ready")
        })
        .await?;
    let id = media(&call, "screen")[0]["id"].as_str().context("id")?;
    assert_ne!(media(&call, "screen")[0]["recovered"].as_bool(), Some(true), "closed, not cut");
    run(f.scenario.site.server()?.args(["recording", "verify", id]))?;

    // Still full: a new one is refused, and the interaction says why.
    f.scenario.call(&mut customer, &mut agent).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", SOON).await?;
    let refused = console
        .wait_for(CUSTOMER_DN, Duration::from_secs(40), |other| other["id"] != call["id"] && no_room(other))
        .await?;
    assert!(media(&refused, "screen").is_empty());

    std::fs::remove_file(&filler)?;
    recorder::no_problem(&data, ProblemKind::DiskFull, SOON).await?;
    listed(&console, "disk-full", false).await?;
    recorder.terminate(SOON).await?;
    f.scenario.site.stop().await
}

#[tokio::test]
async fn a_read_only_spool_sends_what_is_finished_and_is_cleared_once_it_can_be_written() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start_roles("web", &["web-services"]).await?;
    let data = data(&f);
    let identity = backlog::identity(&data, &f.scenario.site.noted.desktop_enrolment).await?;
    let recipient = backlog::recipient(&f.scenario.site.data())?;
    let waiting = backlog::fill(&data, &identity, &recipient, 3, 100_000, 1)?;
    let spool = data.join("spool");
    let at = spool.display();
    let wrapper = mounted(&format!("mount --bind '{at}' '{at}'; mount -o remount,ro,bind '{at}'"))?;
    let mut recorder = start(&f, ":none", &wrapper, &[("SPOOL__GUARD_INTERVAL_MS", "300")])?;
    recorder.wait_for_log("link is open", SOON).await?;
    let problem = recorder::problem(&data, ProblemKind::DiskFull, SOON).await?;
    println!("{}", problem.detail);
    let console = f.console().await?;
    listed(&console, "disk-full", true).await?;
    let site = &f.scenario.site;
    eventually("the recordings", SOON, || async {
        let committed = site.count("hindsight_recordings_committed_total").await?;
        ensure!(committed == 3, "{committed} arrived");
        Ok(())
    })
    .await?;
    assert_eq!(backlog::spooled(&data), 3, "nothing can be deleted");
    assert!(recorder.is_running());

    let pid = recorder.pid().to_string();
    run(Command::new("nsenter").args(["--mount", "-t", &pid, "mount", "-o", "remount,rw,bind"]).arg(&spool))?;
    recorder::no_problem(&data, ProblemKind::DiskFull, SOON).await?;
    eventually("an empty spool", Duration::from_secs(45), || async {
        let left = backlog::spooled(&data);
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
    .context(recorder.log_text())?;
    listed(&console, "disk-full", false).await?;
    let bytes: u64 = waiting.iter().map(|sent| sent.bytes).sum();
    assert_eq!(site.count("hindsight_upload_bytes_total").await?, bytes, "each byte once");
    recorder.terminate(SOON).await?;
    f.scenario.site.stop().await
}

/// Whether the call's history says that its screen is missing for want of room.
fn no_room(call: &serde_json::Value) -> bool {
    let history = call["eventHistory"].as_array().into_iter().flatten();
    let mut gaps = history.filter(|event| event["type"] == "screen-gap");
    gaps.any(|gap| gap["text"].as_str().is_some_and(|text| text.contains("no room for recordings")))
}

/// When each recording was put in place at the server, in that order.
fn order_of_arrival(objects: &Path, waiting: &[backlog::Waiting]) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for (number, sent) in waiting.iter().enumerate() {
        let pattern = format!("{}.tink", sent.recording);
        let listed = run(Command::new("find").arg(objects).args(["-name", &pattern]))?;
        let metadata = std::fs::metadata(String::from_utf8(listed)?.trim())?;
        found.push(((metadata.ctime(), metadata.ctime_nsec()), number));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, number)| number).collect())
}

#[tokio::test]
async fn forty_recordings_wait_for_a_server_that_comes_late_and_arrive_once_and_oldest_first() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start_roles("web", &["web-services"]).await?;
    let data = data(&f);
    let identity = backlog::identity(&data, &f.scenario.site.noted.desktop_enrolment).await?;
    let recipient = backlog::recipient(&f.scenario.site.data())?;
    let waiting = backlog::fill(&data, &identity, &recipient, 40, 60_000, 3)?;
    f.scenario.site.kill("web")?;

    let mut recorder = start(&f, ":none", &[], &[])?;
    recorder::problem(&data, ProblemKind::Link, SOON).await?;
    let shown = eventually("the backlog", SOON, || async {
        let status = recorder::status(&data).await?;
        ensure!(status.spool.waiting == 40, "{:?}", status.spool);
        Ok(status)
    })
    .await?;
    println!("without the server: {:?}, {:?}", shown.tray, shown.spool);
    let back = Instant::now();
    f.scenario.site.start_roles("web", &["web-services"]).await?;
    eventually("an empty spool", Duration::from_secs(60), || async {
        let left = backlog::spooled(&data);
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
    .context(recorder.log_text())?;
    let took = back.elapsed();
    let site = &f.scenario.site;
    let stored = backlog::stored(&site.data().join("objects"))?;
    for sent in &waiting {
        assert_eq!(stored.get(&sent.recording), Some(&sent.sha256), "{}", sent.recording);
    }
    let bytes: u64 = waiting.iter().map(|sent| sent.bytes).sum();
    assert_eq!(site.count("hindsight_upload_bytes_total").await?, bytes, "each byte once");
    assert_eq!(site.count("hindsight_uploads_created_total").await?, 40);
    let order = order_of_arrival(&site.data().join("objects"), &waiting)?;
    let most = order.iter().enumerate().map(|(place, number)| place.abs_diff(*number)).max().unwrap_or(0);
    println!(
        "40 recordings, {bytes} bytes, {took:?} after the server's start; at most {most} places out of order"
    );
    assert!(most <= 6, "four at a time: {order:?}");
    recorder.terminate(SOON).await?;
    f.scenario.site.stop().await
}
