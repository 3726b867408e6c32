//! Row 6: kill -9 of media server and recorder in mid-call.

use crate::{fixture::Fixture, network::Trace};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    display::Display,
    process::{Program, run},
    scenario::{CUSTOMER_DN, talk},
};
use rand::Rng;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// Sealed bytes of every recording that lies in a spool.
fn spooled(spool: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![spool.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.file_name().is_some_and(|name| name == "sealed") {
                found.insert(path.clone(), std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// What is stored begins with what lay in the spool at the kill, but for at most its last segment (re-sealed).
fn not_rewritten(stored: &[u8], spooled: &[u8]) -> bool {
    let whole = (spooled.len() / 4096).saturating_sub(1) * 4096;
    stored.len() >= whole && stored[..whole] == spooled[..whole]
}

fn spool_of_site(f: &Fixture) -> PathBuf {
    f.scenario.site.data().join("media-server/spool")
}

async fn recovered(f: &Fixture, kind: &str) -> Result<Value> {
    f.console()
        .await?
        .wait_for(CUSTOMER_DN, Duration::from_secs(60), |call| {
            media(call, kind).iter().any(|file| file["state"] == "recovered" && file["mediaUrl"].is_string())
        })
        .await
}

/// Length of the recovered media, milliseconds, and its stored payload.
fn stored(f: &Fixture, file: &Value, dir: &str) -> Result<Vec<u8>> {
    let id = file["id"].as_str().context("id")?;
    let out = f.dir().join(dir);
    run(f.scenario.site.server()?.args(["recording", "export", id, "--out"]).arg(&out))?;
    run(f.scenario.site.server()?.args(["recording", "verify", id]))?;
    let sealed = std::fs::read_dir(&out)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "sealed"))
        .context("no sealed file in the export")?;
    Ok(std::fs::read(sealed)?)
}

#[tokio::test]
async fn a_killed_media_server_loses_at_most_two_segments() -> Result<()> {
    for round in 0..3 {
        let mut f = Fixture::new("");
        f.scenario.site.start_apart().await?;
        let mut trace = Trace::start(f.dir(), &f.scenario.site.ports).await?;
        let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
        f.scenario.call(&mut customer, &mut agent).await?;
        let moment = rand::rng().random_range(2500..6500);
        talk(Duration::from_millis(moment)).await;
        f.scenario.site.kill("media-server")?;
        let killed_at = hindsight_wire::Timestamp::now().0 as f64 / 1e6;
        let before = spooled(&spool_of_site(&f))?;
        ensure!(before.len() == 1, "spooled: {:?}", before.keys());
        // A call whose media server died is ended cleanly, for both.
        agent.wait_for("CALL_CLOSED", Duration::from_secs(20)).await?;
        customer.wait_for("CALL_CLOSED", Duration::from_secs(20)).await?;
        trace.stop().await?;
        f.scenario.site.start_roles("media-server", &["media-server"]).await?;
        let call = recovered(&f, "voice").await?;
        assert_eq!(call["recovered"], true);
        let files = media(&call, "voice");
        let file = files.first().context("no voice")?;
        let packets = trace.voice_to_media_server()?;
        let last = packets.iter().filter(|p| p.at < killed_at).map(|p| p.at).fold(0.0, f64::max);
        let first = packets.iter().map(|p| p.at).fold(f64::MAX, f64::min);
        let kept = file["durationMs"].as_f64().context("durationMs")? / 1000.0;
        let lost = (last - first + 0.02 - kept) * 1000.0;
        println!("round {round}: killed {moment} ms after the answer, {kept:.2} s kept, {lost:.0} ms lost");
        // Two tracks of G.711 with their block headers are 16.7 KB a second: two segments are half a second.
        assert!(lost <= 500.0, "more than two segments are lost");
        let sealed = stored(&f, file, "export")?;
        assert!(
            before.values().all(|spooled| not_rewritten(&sealed, spooled)),
            "stored bytes differ from the spool's"
        );
        let wave = crate::call::wave_of(&f.console().await?, file).await?;
        let heard = crate::call::follows(&wave, 1, &f.dir().join("customer.wav"))?;
        assert!(heard.coefficient >= 0.95, "{heard:?}");
        f.scenario.site.stop().await?;
    }
    Ok(())
}

/// Half a second after its first picture a recording can be replayed; a busy machine may take a while to encode it.
const PLAYABLE_FROM_MS: u64 = 1_000;

#[tokio::test]
async fn a_killed_recorder_goes_on_with_part_two_and_loses_at_most_two_segments() -> Result<()> {
    // A screen on which nothing happens fills no segment by itself.
    for (scene, least_frames) in [("clock", 2), ("idle", 1), ("clock", 2)] {
        let mut f = Fixture::new("frame_rate = 10");
        f.scenario.site.start_apart().await?;
        let desktop = f.dir().join("desktop");
        std::fs::create_dir_all(&desktop)?;
        let mut display = Display::start(&desktop, 800, 600).await?;
        display.show(scene, &desktop)?;
        let mut recorder: Program = f.scenario.recorder(&display.name, "x11").await?;
        let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
        f.scenario.call(&mut customer, &mut agent).await?;
        recorder.wait_for_log("capture started", Duration::from_secs(10)).await?;
        let moment = rand::rng().random_range(PLAYABLE_FROM_MS..8000);
        talk(Duration::from_millis(moment)).await;
        recorder.kill();
        let before = spooled(&desktop.join("data"))?;
        ensure!(before.len() == 1, "spooled: {:?}", before.keys());
        let mut again = f.scenario.recorder(&display.name, "x11").await?;
        talk(Duration::from_secs(5)).await;
        customer.hang_up().await?;
        let call = recovered(&f, "screen").await?;
        let console = f.console().await?;
        let id = call["id"].as_str().context("id")?;
        let call = hindsight_tests::process::eventually("both parts", Duration::from_secs(40), || async {
            let call = console.interaction(id).await?;
            let ready = media(&call, "screen").iter().filter(|file| file["mediaUrl"].is_string()).count();
            ensure!(ready == 2, "{ready} parts are there: {call:#}");
            Ok(call)
        })
        .await?;
        let files = media(&call, "screen");
        let first = files.iter().find(|file| file["state"] == "recovered").context("none is recovered")?;
        let sealed = stored(&f, first, "export")?;
        let spool = before.values().next().context("nothing spooled")?;
        assert!(not_rewritten(&sealed, spool), "stored bytes differ from the spool's");
        let missing = (spool.len() / 4096).saturating_sub(sealed.len().div_ceil(4096));
        println!(
            "{scene}: killed {moment} ms after its first picture, {} KB were spooled, {missing} segments less are stored",
            spool.len() / 1024
        );
        assert!(missing <= 2);
        for file in &files {
            let movie = console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?;
            let frames = crate::screen::frames(&movie)?;
            println!(
                "  part {}: {} frames, {} ms at {} ms",
                file["part"],
                frames.len(),
                file["durationMs"],
                file["offsetMs"]
            );
            // Ten a second; at the earliest kill two of the first fragment's are there.
            assert!(frames.len() >= least_frames, "{file:#}");
        }
        again.terminate(Duration::from_secs(20)).await?;
        f.scenario.site.stop().await?;
    }
    Ok(())
}
