//! Every codec, plain and by SRTP: passed through untouched, and recorded.

use crate::{call::follows, fixture::Fixture, network::Trace};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    scenario::{CUSTOMER_DN, talk},
    speech::Wave,
};
use std::time::Duration;

/// Each track holds what its phone spoke, in step with the other, and no packet is missing or unread.
async fn recorded_as_spoken(codec: &str, name: &str, media_encryption: &str) -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let mut trace = Trace::start(f.dir(), &f.scenario.site.ports).await?;
    let (mut agent, mut customer) = f.scenario.protected_phones(codec, media_encryption).await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(8)).await;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    let console = f.console().await?;
    let call =
        console.wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| call["voice"] == "complete").await?;
    trace.stop().await?;
    let files = media(&call, "voice");
    ensure!(files.len() == 1, "{call:#}");
    let quality = files[0]["quality"].as_array().context("quality")?;
    ensure!(quality.iter().all(|track| track["lost"] == 0 && track["state"] == "ok"), "{quality:?}");
    let bytes = console.bytes(files[0]["mediaUrl"].as_str().context("mediaUrl")?).await?;
    let wave = Wave::parse(&bytes)?;
    let rate = wave.rate;
    let wave = wave.narrowed();
    let agent_match = follows(&wave, 0, &f.dir().join("agent.wav"))?;
    let customer_match = follows(&wave, 1, &f.dir().join("customer.wav"))?;
    let offset = (agent_match.lag - customer_match.lag).abs() as f64 / 8.0;
    let wire = trace.offset_between_voices()?;
    println!(
        "{name} {media_encryption}: {rate} Hz, correlation {:.4} and {:.4}, voices {offset:.1} ms apart, on the wire {wire:.1} ms",
        agent_match.coefficient, customer_match.coefficient
    );
    ensure!(agent_match.coefficient >= 0.95 && customer_match.coefficient >= 0.95, "not what was spoken");
    ensure!((offset - wire).abs() <= 20.0, "the tracks are out of step");
    let expected = match name {
        "opus" => 48_000,
        "G722" => 16_000,
        _ => 8_000,
    };
    ensure!(rate == expected, "{rate} Hz");
    ensure!(
        trace.is_protected()? != media_encryption.is_empty(),
        "protected or not, but the wrong way round"
    );
    f.scenario.site.stop().await
}

#[tokio::test]
async fn g722_is_recorded_as_it_was_spoken() -> Result<()> {
    recorded_as_spoken("G722/16000/1", "G722", "").await
}

#[tokio::test]
async fn opus_is_recorded_as_it_was_spoken() -> Result<()> {
    recorded_as_spoken("opus/48000/2", "opus", "").await
}

#[tokio::test]
async fn protected_pcmu_is_recorded_as_it_was_spoken() -> Result<()> {
    recorded_as_spoken("pcmu", "PCMU", "srtp-mand").await
}

#[tokio::test]
async fn pcma_that_may_be_protected_is_recorded_as_it_was_spoken() -> Result<()> {
    recorded_as_spoken("pcma", "PCMA", "srtp").await
}

#[tokio::test]
async fn protected_g722_is_recorded_as_it_was_spoken() -> Result<()> {
    recorded_as_spoken("G722/16000/1", "G722", "srtp-mand").await
}

#[tokio::test]
async fn protected_opus_is_recorded_as_it_was_spoken() -> Result<()> {
    recorded_as_spoken("opus/48000/2", "opus", "srtp-mand").await
}
