//! Row 4: the desktop in one network namespace, the server in another, and a line between them that drops, stalls,
//! repeats, delays and corrupts, and is cut. Everything sealed arrives, once, and the trouble shows.

use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    backlog::{self, Waiting},
    console::Console,
    netns::{Faults, TwoHosts},
    process::{Program, eventually},
    proxy::Proxy,
    recorder::{self, Desktop},
    scenario::{AGENT_LOGIN, SUPERVISOR_LOGIN, Secrets, configuration},
    site::{Ports, Site},
};
use hindsight_wire::agent::ProblemKind;
use std::{
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// Longest body of a PATCH: what may be sent again when its acknowledgement is lost.
const CHUNK: u64 = 1 << 20;

struct World {
    // In this order: programs end before their networks and their directory go.
    site: Site,
    hosts: TwoHosts,
    secrets: Secrets,
    data: PathBuf,
    dir: tempfile::TempDir,
}

impl World {
    /// A site in a namespace of its own, and a desktop's directory with so many recordings.
    async fn new(seed: u64, count: usize, bytes: usize) -> Result<(Self, Vec<Waiting>)> {
        let hosts = TwoHosts::make(seed)?;
        let dir = tempfile::Builder::new().prefix("hindsight-net-").tempdir()?;
        let secrets = Secrets::random();
        let mut site = Site::init_at(
            &dir.path().join("site"),
            Ports::free()?,
            &hosts.site_address,
            hosts.site.wrapper(),
            &configuration(&secrets, ""),
        )?;
        site.start_roles("web", &["web-services"]).await?;
        let data = dir.path().join("desktop/data");
        let identity = backlog::identity(&data, &site.noted.desktop_enrolment).await?;
        let recipient = backlog::recipient(&site.data())?;
        let waiting = backlog::fill(&data, &identity, &recipient, count, bytes, seed)?;
        Ok((Self { site, hosts, secrets, data, dir }, waiting))
    }

    fn recorder(&self) -> Result<Program> {
        let dir = self.dir.path().join("desktop");
        let desktop =
            Desktop { login: AGENT_LOGIN, password: &self.secrets.agent, display: ":none", backend: "x11" };
        let mut command = recorder::command(&self.site, &dir, &desktop, &self.hosts.desktop.wrapper())?;
        command.env("HINDSIGHT_RECORDER_KEY_STORE", "file");
        Program::spawn("hindsight-recorder", &mut command, &dir.join("recorder.log"))
    }

    async fn console(&self) -> Result<Console> {
        Console::sign_in(&self.site, SUPERVISOR_LOGIN, &self.secrets.supervisor).await
    }

    /// Waits until the server has taken more than so many bytes.
    async fn bytes_above(&self, bytes: u64) -> Result<u64> {
        eventually("bytes at the server", Duration::from_secs(40), || async {
            let taken = self.site.count("hindsight_upload_bytes_total").await?;
            ensure!(taken > bytes, "{taken} of more than {bytes}");
            Ok(taken)
        })
        .await
    }

    async fn drained(&self, limit: Duration) -> Result<()> {
        eventually("an empty spool", limit, || async {
            let left = backlog::spooled(&self.data);
            ensure!(left == 0, "{left} recordings are left");
            Ok(())
        })
        .await
    }

    /// Everything is there, byte for byte, and the server took no byte twice.
    async fn check(&self, waiting: &[Waiting]) -> Result<u64> {
        let stored = backlog::stored(&self.site.data().join("objects"))?;
        ensure!(stored.len() == waiting.len(), "{} of {} are stored", stored.len(), waiting.len());
        for sent in waiting {
            ensure!(stored.get(&sent.recording) == Some(&sent.sha256), "{} differs", sent.recording);
        }
        let bytes: u64 = waiting.iter().map(|sent| sent.bytes).sum();
        let taken = self.site.count("hindsight_upload_bytes_total").await?;
        ensure!(taken == bytes, "the server took {taken} bytes of {bytes}: some twice, or not at all");
        ensure!(self.site.count("hindsight_uploads_created_total").await? == waiting.len() as u64);
        ensure!(self.site.count("hindsight_recordings_committed_total").await? == waiting.len() as u64);
        ensure!(self.site.count("hindsight_uploads_refused_total").await? == 0);
        Ok(bytes)
    }
}

/// What the server's list says of the one desktop.
async fn desktop(console: &Console) -> Result<serde_json::Value> {
    let list = console.get("/api/v2/desktops").await?;
    list["items"][0].as_object().context("no desktop in the list")?;
    Ok(list["items"][0].clone())
}

#[tokio::test]
async fn what_is_sealed_crosses_a_line_that_drops_repeats_delays_and_corrupts() -> Result<()> {
    let (world, waiting) = World::new(1, 12, 700_000).await?;
    world.hosts.set(Faults {
        delay: Duration::from_millis(15),
        jitter: Duration::from_millis(10),
        loss: 0.01,
        duplicate: 0.01,
        corrupt: 0.015,
        disguised: 0.002,
        rate: Some(2_500_000),
        ..Faults::default()
    });
    let start = Instant::now();
    let mut recorder = world.recorder()?;
    world.drained(Duration::from_secs(100)).await.context(recorder.log_text())?;
    let took = start.elapsed();
    let bytes = world.check(&waiting).await?;
    let counters = world.hosts.counters();
    let (corrupted, disguised) =
        (counters.corrupted.load(Ordering::Relaxed), counters.disguised.load(Ordering::Relaxed));
    println!("{} recordings, {bytes} bytes in {took:?}; on the line {counters:?}", waiting.len());
    assert!(corrupted > 50 && disguised > 3, "the line was as bad as it should be");
    assert!(recorder.is_running());
    recorder.terminate(Duration::from_secs(20)).await?;
    Ok(())
}

#[tokio::test]
async fn an_upload_survives_stalls_and_cuts_of_the_line_and_the_trouble_shows() -> Result<()> {
    let (world, waiting) = World::new(2, 10, 1_500_000).await?;
    // Slow enough that there is a middle.
    let usual = Faults { delay: Duration::from_millis(5), rate: Some(1_500_000), ..Faults::default() };
    world.hosts.set(usual);
    let console = world.console().await?;
    let mut recorder = world.recorder()?;
    recorder.wait_for_log("link is open", Duration::from_secs(20)).await?;
    let begun = world.bytes_above(1 << 20).await?;

    // Nothing goes through, in silence: longer than the link waits.
    world.hosts.set(Faults { stalled: true, ..usual });
    let stalled_at = Instant::now();
    let stall = Duration::from_secs(20);
    let seen = recorder::problem(&world.data, ProblemKind::Link, stall).await?;
    println!("stalled after {begun} bytes; the recorder says {seen:?} after {:?}", stalled_at.elapsed());
    // The server has its last word: what waits there. It calls a silent desktop offline only later.
    let listed = desktop(&console).await?;
    println!("the server lists it as {}, its spool as {}", listed["state"], listed["spool"]);
    assert!(listed["spool"]["waiting"].as_u64().is_some_and(|waiting| waiting > 0), "{listed:#}");
    tokio::time::sleep(stall.saturating_sub(stalled_at.elapsed())).await;
    let before = world.site.count("hindsight_upload_bytes_total").await?;
    world.hosts.set(usual);
    world.bytes_above(before + (1 << 20)).await?;

    // The cable is pulled and plugged, in the middle of a PATCH.
    for _ in 0..3 {
        let before = world.site.count("hindsight_upload_bytes_total").await?;
        world.hosts.desktop.set_link(false)?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.hosts.desktop.set_link(true)?;
        world
            .bytes_above(before + (256 << 10))
            .await
            .or_else(|error| if backlog::spooled(&world.data) == 0 { Ok(0) } else { Err(error) })?;
    }
    world.hosts.set(Faults { rate: None, ..usual });
    world.drained(Duration::from_secs(60)).await.context(recorder.log_text())?;
    let bytes = world.check(&waiting).await?;
    let sent = world.hosts.counters().bytes_up.load(Ordering::Relaxed);
    println!("{} recordings, {bytes} bytes; {sent} bytes of packets left the desktop", waiting.len());
    // Heads, handshakes, retransmissions; and per interruption at most what four PATCHes had not acknowledged.
    let most = bytes + bytes / 5 + 4 * 4 * CHUNK;
    assert!(sent < most, "{sent} bytes sent for {bytes}");
    recorder.terminate(Duration::from_secs(20)).await?;
    Ok(())
}

#[tokio::test]
async fn behind_a_proxy_with_a_password_enrolment_sign_in_link_and_uploads_all_go_through_it() -> Result<()> {
    const HOST: &str = "site.hindsight.test";
    let proxy = Proxy::start(HOST, "Basic YW5uOnAgczpz").await?;
    let dir = tempfile::Builder::new().prefix("hindsight-proxy-").tempdir()?;
    let secrets = Secrets::random();
    let mut site = Site::init_at(
        &dir.path().join("site"),
        Ports::free()?,
        HOST,
        Vec::new(),
        &configuration(&secrets, ""),
    )?;
    site.start_roles("web", &["web-services"]).await?;
    let start = |proxy_url: String| {
        let dir = dir.path().join("desktop");
        let desktop =
            Desktop { login: AGENT_LOGIN, password: &secrets.agent, display: ":none", backend: "x11" };
        let mut command = recorder::command(&site, &dir, &desktop, &[])?;
        command.env("HINDSIGHT_RECORDER_KEY_STORE", "file").env("HTTPS_PROXY", proxy_url);
        Program::spawn("hindsight-recorder", &mut command, &dir.join("recorder.log"))
    };
    let right = format!("http://ann:p%20s%3As@{}", proxy.address);
    // Nobody else can find the host: what is enrolled here was enrolled through the proxy.
    let mut recorder = start(right.clone())?;
    recorder.wait_for_log("link is open", Duration::from_secs(30)).await?;
    recorder.terminate(Duration::from_secs(20)).await?;

    let data = dir.path().join("desktop/data");
    let identity = hindsight_link::Identity::load(&data.join("identity"))?.context("an identity")?;
    let waiting = backlog::fill(&data, &identity, &backlog::recipient(&site.data())?, 3, 200_000, 5)?;
    let mut recorder = start(format!("http://ann:wrong@{}", proxy.address))?;
    eventually("a refusal by the proxy", Duration::from_secs(20), || async {
        ensure!(proxy.seen.refused.load(Ordering::Relaxed) > 0);
        Ok(())
    })
    .await?;
    assert_eq!(backlog::spooled(&data), 3);
    recorder.kill();

    let mut recorder = start(right)?;
    recorder.wait_for_log("link is open", Duration::from_secs(30)).await?;
    eventually("an empty spool", Duration::from_secs(30), || async {
        ensure!(backlog::spooled(&data) == 0);
        Ok(())
    })
    .await
    .context(recorder.log_text())?;
    let stored = backlog::stored(&site.data().join("objects"))?;
    assert!(waiting.iter().all(|sent| stored.get(&sent.recording) == Some(&sent.sha256)));
    let tunnels = proxy.tunnels();
    println!("{} tunnels, all to {:?}", tunnels.len(), tunnels.first());
    let target = format!("{HOST}:{}", site.ports.https);
    assert!(tunnels.iter().all(|tunnel| *tunnel == target));
    let log = recorder.log_text();
    assert!(
        !log.contains("p%20s") && !log.contains("wrong") && !log.contains("YW5u"),
        "no password in the log"
    );
    recorder.terminate(Duration::from_secs(20)).await?;
    site.stop().await
}
