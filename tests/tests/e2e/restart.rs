//! Issue 4, survival: kill -9 of the one process with all roles in the middle of a call. The phones hear nothing for that
//! while and talk on; the server started again finds them, goes on with the call and its recording, and understands the
//! hang-up. A phone that is gone by then ends the call; one that did not register anew can be called.

use crate::{call::wave_of, fixture::Fixture};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    phone::Phone,
    scenario::{CUSTOMER_DN, talk},
    speech::{self, Wave},
};
use hindsight_wire::Timestamp;
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(10);

/// The events of a kind in a call's history.
fn events<'a>(call: &'a Value, kind: &str) -> Vec<&'a Value> {
    call["eventHistory"].as_array().into_iter().flatten().filter(|event| event["type"] == kind).collect()
}

async fn nobody_hung_up(phones: &mut [&mut Phone]) -> Result<()> {
    for phone in phones {
        let closed = phone.wait_for("CALL_CLOSED", Duration::from_millis(1)).await;
        ensure!(closed.is_err(), "{} was hung up", phone.dn);
    }
    Ok(())
}

/// How often a phone has registered.
fn registered(phone: &Phone) -> usize {
    phone.program.log_text().matches("binding]").count()
}

/// Where in its repeated speech a party was, from the first second of a recording on.
fn speaks(wave: &Wave, track: usize, speech: &Path) -> Result<speech::Match> {
    let recorded = wave.channels.get(track).context("a track is missing")?;
    ensure!(recorded.len() > 4 * 8000, "only {} samples", recorded.len());
    let spoken = Wave::read(speech)?.channels.into_iter().next().context("no speech")?;
    Ok(speech::find(&recorded[8000..4 * 8000], &[spoken.clone(), spoken].concat()))
}

#[tokio::test]
async fn a_call_outlives_kill_9_of_the_whole_server_and_its_hang_up_is_understood() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let (_display, mut recorder) = f.scenario.desktop("office", (800, 600), "x11").await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    recorder.wait_for_log("capture started", LIMIT).await?;
    talk(Duration::from_secs(4)).await;
    f.scenario.site.kill("server")?;
    let killed = Instant::now();
    talk(Duration::from_secs(2)).await;
    f.scenario.site.start().await?;
    let console = f.console().await?;
    let recorded_again = |call: &Value| events(call, "recording-started").len() == 2;
    console.wait_for(CUSTOMER_DN, Duration::from_secs(20), recorded_again).await?;
    println!("recorded again {:?} after the kill", killed.elapsed());
    nobody_hung_up(&mut [&mut agent, &mut customer]).await?;
    talk(Duration::from_secs(5)).await;
    nobody_hung_up(&mut [&mut agent, &mut customer]).await?;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", LIMIT).await?;
    recorder.wait_for_log("capture no longer wanted", LIMIT).await?;
    let whole = |call: &Value| {
        let parts = media(call, "voice");
        parts.len() == 2 && parts.iter().all(|part| part["mediaUrl"].is_string()) && call["state"] == "ended"
    };
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), whole).await?;
    let ends = events(&call, "call-ended");
    assert_eq!(ends.len(), 1, "{call:#}");
    assert_eq!(ends[0]["text"], format!("{CUSTOMER_DN} ended the call"));
    let mut parts = media(&call, "voice");
    parts.sort_by_key(|part| part["part"].as_i64());
    assert_eq!((&parts[0]["state"], &parts[0]["part"]), (&"recovered".into(), &1.into()), "{call:#}");
    assert_eq!((&parts[1]["state"], &parts[1]["part"]), (&"ready".into(), &2.into()), "{call:#}");
    assert_eq!(parts[0]["capture"], parts[1]["capture"], "one recording in two parts");
    let number = |part: &Value, key: &str| part[key].as_i64().with_context(|| format!("no {key}: {part:#}"));
    let gap = number(parts[1], "offsetMs")? - number(parts[0], "offsetMs")? - number(parts[0], "durationMs")?;
    println!("{gap} ms between the parts; gaps: {}", call["gaps"]);
    for part in &parts {
        let wave = wave_of(&console, part).await?;
        ensure!(wave.seconds() >= 3.0, "part {}: only {} s", part["part"], wave.seconds());
    }
    // Part 2: both hear each other again.
    let wave = wave_of(&console, parts[1]).await?;
    for (track, voice) in [(0, "agent.wav"), (1, "customer.wav")] {
        let heard = speaks(&wave, track, &f.dir().join(voice))?;
        println!("  {voice} {heard:?}");
        ensure!(heard.coefficient >= 0.95, "{voice} {heard:?}");
    }
    let screen_is_there = |call: &Value| {
        let files = media(call, "screen");
        !files.is_empty() && files.iter().all(|file| file["mediaUrl"].is_string())
    };
    console.wait_for(CUSTOMER_DN, Duration::from_secs(30), screen_is_there).await?;
    recorder.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}

/// A process for each role, and only the SIP server is killed: neither the voices nor their recording notice.
#[tokio::test]
async fn a_sip_server_started_again_knows_its_call_and_one_recording_holds_all_of_it() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start_apart().await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(3)).await;
    f.scenario.site.kill("sip-server")?;
    talk(Duration::from_secs(2)).await;
    f.scenario.site.start_roles("sip-server", &["sip-server"]).await?;
    f.scenario.site.program("sip-server")?.wait_for_log("the call outlived its SIP server", LIMIT).await?;
    talk(Duration::from_secs(3)).await;
    nobody_hung_up(&mut [&mut agent, &mut customer]).await?;
    agent.hang_up().await?;
    customer.wait_for("CALL_CLOSED", LIMIT).await?;
    let console = f.console().await?;
    let whole = |call: &Value| call["voice"] == "complete" && call["state"] == "ended";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), whole).await?;
    let parts = media(&call, "voice");
    let length = parts[0]["durationMs"].as_i64().context("durationMs")?;
    println!("one recording of {length} ms, gaps: {}", call["gaps"]);
    ensure!(parts.len() == 1 && length >= 7500, "{call:#}");
    let voice_gap = |gap: &Value| gap["kind"] == "voice";
    ensure!(!call["gaps"].as_array().into_iter().flatten().any(voice_gap), "{call:#}");
    assert_eq!(events(&call, "call-ended")[0]["text"], "1001 ended the call");
    let wave = wave_of(&console, parts[0]).await?;
    for (track, voice) in [(0, "agent.wav"), (1, "customer.wav")] {
        let heard = crate::call::follows(&wave, track, &f.dir().join(voice))?;
        ensure!(heard.coefficient >= 0.95, "{voice} {heard:?}");
    }
    f.scenario.site.stop().await
}

#[tokio::test]
async fn a_phone_is_called_without_registering_anew_and_one_that_is_gone_ends_its_call() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let (_display, mut recorder) = f.scenario.desktop("office", (800, 600), "x11").await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    let before = registered(&agent);
    f.scenario.site.kill("server")?;
    f.scenario.site.start().await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    ensure!(registered(&agent) == before, "the agent's phone has registered anew in between");
    recorder.wait_for_log("capture started", LIMIT).await?;
    talk(Duration::from_secs(4)).await;
    f.scenario.site.kill("server")?;
    let killed = Timestamp::now();
    drop(agent);
    f.scenario.site.start().await?;
    let back = Instant::now();
    customer.wait_for("CALL_CLOSED", Duration::from_secs(25)).await?;
    recorder.wait_for_log("capture no longer wanted", LIMIT).await?;
    println!("the call and the capture ended {:?} after the server was back", back.elapsed());
    let console = f.console().await?;
    let over = |call: &Value| {
        call["state"] == "ended" && media(call, "voice").iter().any(|file| file["state"] == "recovered")
    };
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(30), over).await?;
    let ends = events(&call, "call-ended");
    assert_eq!(ends.len(), 1, "{call:#}");
    assert_eq!(ends[0]["text"], "the call ended: sip server lost");
    let at = ends[0]["at"].as_str().context("at")?.to_owned();
    ensure!(at <= killed.to_string(), "it ended at {at}, later than it was known at {killed}");
    assert_eq!(media(&call, "voice").len(), 1, "nobody was recorded any more: {call:#}");
    recorder.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}
