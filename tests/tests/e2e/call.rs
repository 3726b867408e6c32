//! A call, its voices, its pauses.

use crate::{fixture::Fixture, network::Trace};
use anyhow::{Context, Result};
use hindsight_tests::{
    console::media,
    scenario::{AGENT_DN, CUSTOMER_DN, talk},
    speech::{self, Wave},
};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, time::Duration};

pub async fn wave_of(console: &hindsight_tests::console::Console, file: &Value) -> Result<Wave> {
    Wave::parse(&console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?)
}

/// How a track follows the speech that a phone was given.
pub fn follows(wave: &Wave, channel: usize, played: &Path) -> Result<speech::Match> {
    let recorded = wave.channels.get(channel).context("a track is missing")?;
    let played = Wave::read(played)?;
    let spoken = played.channels.first().context("no speech")?;
    Ok(speech::follow(&spoken[..spoken.len().min(recorded.len())], recorded))
}

/// Row 2: each voice on its own track, in step, as long as the call, every packet there.
#[tokio::test]
async fn each_voice_is_on_its_own_track_and_no_packet_is_missing() -> Result<()> {
    for codec in ["pcmu", "pcma"] {
        let mut f = Fixture::new("");
        f.scenario.site.start().await?;
        let mut trace = Trace::start(f.dir(), &f.scenario.site.ports).await?;
        let (mut agent, mut customer) = f.scenario.phones(codec).await?;
        f.scenario.call(&mut customer, &mut agent).await?;
        talk(Duration::from_secs(12)).await;
        customer.hang_up().await?;
        agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;

        let console = f.console().await?;
        let call = console
            .wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| call["voice"] == "complete")
            .await?;
        trace.stop().await?;
        assert_eq!(call["callerPhoneNumber"], CUSTOMER_DN);
        assert_eq!(call["dialedPhoneNumber"], AGENT_DN);
        let files = media(&call, "voice");
        assert_eq!(files.len(), 1, "{call:#}");
        let wave = wave_of(&console, files[0]).await?;

        let agent_match = follows(&wave, 0, &f.dir().join("agent.wav"))?;
        let customer_match = follows(&wave, 1, &f.dir().join("customer.wav"))?;
        println!("{codec}: agent {agent_match:?}, customer {customer_match:?}");
        assert!(agent_match.coefficient >= 0.95 && customer_match.coefficient >= 0.95);
        let crossed = follows(&wave, 1, &f.dir().join("agent.wav"))?;
        assert!(crossed.coefficient < 0.5, "the agent is heard on the customer's track: {crossed:?}");

        // In step: where each voice begins on its track is when its first packet was on the wire.
        let packets = trace.voice_to_media_server()?;
        let mut first_at: BTreeMap<u16, f64> = BTreeMap::new();
        let mut counted: BTreeMap<u16, u64> = BTreeMap::new();
        for packet in &packets {
            first_at.entry(packet.to_port).or_insert(packet.at);
            *counted.entry(packet.to_port).or_default() += 1;
        }
        assert_eq!(counted.len(), 2, "{counted:?}");
        let begins: Vec<f64> = first_at.values().copied().collect();
        let on_wire = (begins[0] - begins[1]).abs();
        let on_tracks = (agent_match.lag - customer_match.lag).abs() as f64 / 8000.0;
        println!(
            "{codec}: offset between the voices {on_wire:.4} s on the wire, {on_tracks:.4} s on the tracks"
        );
        assert!((on_wire - on_tracks).abs() <= 0.020, "the tracks are out of step");

        // Each packet until the BYE must be there; one that was on its way while the call was taken down may be.
        let (answer, bye) = trace.answer_and_bye()?;
        let quality = files[0]["quality"].as_array().context("quality")?;
        let mut recorded: Vec<u64> = quality.iter().filter_map(|track| track["received"].as_u64()).collect();
        let mut until_bye: Vec<u64> = first_at
            .keys()
            .map(|port| packets.iter().filter(|p| p.to_port == *port && p.at < bye).count() as u64)
            .collect();
        let mut seen: Vec<u64> = counted.values().copied().collect();
        for counts in [&mut recorded, &mut until_bye, &mut seen] {
            counts.sort_unstable();
        }
        println!("{codec}: packets until the BYE {until_bye:?}, in all {seen:?}, recorded {recorded:?}");
        for ((recorded, until_bye), seen) in recorded.iter().zip(&until_bye).zip(&seen) {
            assert!((until_bye..=seen).contains(&recorded), "{quality:?}");
        }
        assert!(quality.iter().all(|track| track["lost"] == 0 && track["state"] == "ok"), "{quality:?}");

        println!("{codec}: answer to BYE {:.3} s, recording {:.3} s", bye - answer, wave.seconds());
        assert!((wave.seconds() - (bye - answer)).abs() <= 0.1);
        f.scenario.site.stop().await?;
    }
    Ok(())
}

/// Hold and retrieve from both sides; the timeline stays whole; hang-up from the called side.
#[tokio::test]
async fn a_held_call_goes_on_in_one_recording() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let started = std::time::Instant::now();
    talk(Duration::from_secs(2)).await;
    for phone in [&mut agent, &mut customer] {
        phone.hold().await?;
        talk(Duration::from_secs(2)).await;
        phone.resume().await?;
        talk(Duration::from_secs(2)).await;
    }
    agent.hang_up().await?;
    customer.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    let length = started.elapsed().as_secs_f64();
    let console = f.console().await?;
    let call =
        console.wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| call["voice"] == "complete").await?;
    let files = media(&call, "voice");
    assert_eq!(files.len(), 1, "{call:#}");
    let wave = wave_of(&console, files[0]).await?;
    assert!((wave.seconds() - length).abs() < 0.7, "{} s of a call of {length} s", wave.seconds());
    let happened: Vec<&str> =
        call["eventHistory"].as_array().into_iter().flatten().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(happened.iter().filter(|e| **e == "call-held").count(), 2, "{happened:?}");
    assert_eq!(happened.iter().filter(|e| **e == "call-retrieved").count(), 2, "{happened:?}");
    assert!(happened.contains(&"session-ended"), "no CDR: {happened:?}");
    f.scenario.site.stop().await
}

/// Pause and resume by the API: silence that keeps the timeline; stop and start: a second recording.
#[tokio::test]
async fn a_pause_is_silence_in_one_recording_and_a_new_start_a_second_one() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let console = f.console().await?;
    let call =
        console.wait_for(CUSTOMER_DN, Duration::from_secs(10), |call| call["state"] == "active").await?;
    let id = call["id"].as_str().context("id")?.to_owned();
    talk(Duration::from_secs(3)).await;
    console.control(&id, "pause", "card data").await?;
    assert!(console.control(&id, "start", "twice").await.is_err(), "a paused recording cannot be started");
    talk(Duration::from_secs(3)).await;
    console.control(&id, "resume", "card data taken").await?;
    talk(Duration::from_secs(2)).await;
    console.control(&id, "stop", "asked to").await?;
    talk(Duration::from_secs(1)).await;
    console.control(&id, "start", "agreed").await?;
    talk(Duration::from_secs(2)).await;
    customer.hang_up().await?;

    let call = console
        .wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| {
            call["voice"] == "complete"
                && media(call, "voice").iter().all(|file| file["mediaUrl"].is_string())
        })
        .await?;
    let files = media(&call, "voice");
    assert_eq!(files.len(), 2, "{call:#}");
    let pauses = files[0]["pauses"].as_array().context("pauses")?;
    assert_eq!(pauses.len(), 1, "{pauses:?}");
    assert_eq!(pauses[0]["reason"], "card data");
    let (from, to) =
        (pauses[0]["fromMs"].as_u64().context("fromMs")?, pauses[0]["toMs"].as_u64().context("toMs")?);
    assert!((2500..4500).contains(&from) && (2500..4500).contains(&(to - from)), "{pauses:?}");
    let wave = wave_of(&console, files[0]).await?;
    assert!((7.0..10.0).contains(&wave.seconds()), "{}", wave.seconds());
    for (channel, samples) in wave.channels.iter().enumerate() {
        let at = |ms: u64| (ms as usize * 8).min(samples.len());
        let loudest = |part: &[f32]| part.iter().fold(0f32, |loudest, s| loudest.max(s.abs()));
        assert_eq!(
            loudest(&samples[at(from + 40)..at(to - 40)]),
            0.0,
            "channel {channel} has sound in the pause"
        );
        assert!(loudest(&samples[at(to + 100)..]) > 0.01, "channel {channel} is silent after the pause");
    }
    // Before and after the pause the speech is where it would have been without it.
    let heard = follows(&wave, 1, &f.dir().join("customer.wav"))?;
    println!("with the paused span silent: {heard:?}");
    assert!(heard.lag.unsigned_abs() < 8000);
    assert_eq!(call["paused"], true);
    f.scenario.site.stop().await
}
