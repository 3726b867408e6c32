//! Row 7: web services and crypto server away, in the middle of a call and before it.

use crate::fixture::Fixture;
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    process::run,
    scenario::{CUSTOMER_DN, talk},
};
use std::{collections::BTreeSet, time::Duration};

/// Everything of the management side: what a site may have on another host.
const AWAY: [&str; 2] = ["web-services", "crypto-server"];

#[tokio::test]
async fn servers_killed_in_mid_call_and_back_after_it_get_everything_once() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start_apart().await?;
    let (_display, mut recorder) = f.scenario.desktop("office", (800, 600), "x11").await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    recorder.wait_for_log("capture started", Duration::from_secs(10)).await?;
    talk(Duration::from_secs(3)).await;
    for role in AWAY {
        f.scenario.site.kill(role)?;
    }
    talk(Duration::from_secs(6)).await;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    talk(Duration::from_secs(1)).await;
    for role in AWAY {
        f.scenario.site.start_roles(role, &[role]).await?;
    }
    let console = f.console().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(90)).await?;
    assert_eq!(console.by_number(CUSTOMER_DN).await?.len(), 1, "one call");
    for kind in ["voice", "screen"] {
        let files = media(&call, kind);
        assert_eq!(files.len(), 1, "{kind}: {call:#}");
        assert_eq!(files[0]["state"], "ready");
        let length = files[0]["durationMs"].as_f64().context("durationMs")?;
        println!("{kind}: {length} ms");
        assert!(length >= 8500.0, "{kind} has only {length} ms of a call of 9 s");
        let id = files[0]["id"].as_str().context("id")?;
        run(f.scenario.site.server()?.args(["recording", "verify", id]))?;
    }
    let wave = crate::call::wave_of(&console, media(&call, "voice")[0]).await?;
    for (channel, speech) in [(0, "agent.wav"), (1, "customer.wav")] {
        let heard = crate::call::follows(&wave, channel, &f.dir().join(speech))?;
        assert!(heard.coefficient >= 0.95, "{heard:?}");
    }
    let history = call["eventHistory"].as_array().context("eventHistory")?;
    let distinct: BTreeSet<String> =
        history.iter().map(|event| format!("{} {}", event["at"], event["type"])).collect();
    assert_eq!(distinct.len(), history.len(), "an event is there twice: {history:#?}");
    recorder.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}

/// Down before the call and until after it.
async fn call_without_servers(f: &mut Fixture) -> Result<serde_json::Value> {
    f.scenario.site.start_apart().await?;
    let (_display, mut recorder) = f.scenario.desktop("office", (800, 600), "x11").await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    for role in AWAY {
        f.scenario.site.kill(role)?;
    }
    recorder.wait_for_log("link is lost", Duration::from_secs(30)).await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(6)).await;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    for role in AWAY {
        f.scenario.site.start_roles(role, &[role]).await?;
    }
    let console = f.console().await?;
    let call = console
        .wait_for(CUSTOMER_DN, Duration::from_secs(90), |call| {
            call["voice"] == "complete"
                && (call["screen"] == "complete" || call["gaps"][0]["reason"].is_string())
        })
        .await?;
    let wave = crate::call::wave_of(&console, media(&call, "voice")[0]).await?;
    ensure!((5.5..8.0).contains(&wave.seconds()), "{} s of voice", wave.seconds());
    for (channel, speech) in [(0, "agent.wav"), (1, "customer.wav")] {
        let heard = crate::call::follows(&wave, channel, &f.dir().join(speech))?;
        ensure!(heard.coefficient >= 0.95, "{heard:?}");
    }
    recorder.terminate(Duration::from_secs(20)).await?;
    Ok(call)
}

#[tokio::test]
async fn a_call_with_the_servers_down_has_its_voice_and_its_missing_screen_is_explained() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    let call = call_without_servers(&mut f).await?;
    println!("gaps: {}", call["gaps"]);
    assert_eq!(call["screen"], "missing");
    assert!(media(&call, "screen").is_empty());
    let reason = call["gaps"][0]["reason"].as_str().context("no reason")?;
    assert!(reason.len() > 10, "{reason}");
    f.scenario.site.stop().await
}

#[tokio::test]
async fn a_desktop_that_keeps_capturing_offline_has_the_screen_too() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5\noffline = { keep_minutes = 10 }");
    let call = call_without_servers(&mut f).await?;
    assert_eq!(call["screen"], "complete", "{call:#}");
    assert_eq!(media(&call, "screen").len(), 1);
    f.scenario.site.stop().await
}
