//! The SIP server is killed in a call, and with it the file in which it keeps its calls. Nobody can go on with the call,
//! and nobody but the SIP server could ever end it: it says so when it is back. A link that only drops ends nothing.

use crate::fixture::Fixture;
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    process::eventually,
    scenario::{CUSTOMER_DN, talk},
};
use hindsight_wire::Timestamp;
use serde_json::Value;
use std::{fs, time::Duration};

const LIMIT: Duration = Duration::from_secs(10);

/// The ends in a call's history: what is said of each, and when it was.
fn ends(call: &Value) -> Vec<(&str, &str)> {
    let history = call["eventHistory"].as_array().into_iter().flatten();
    let ends = history.filter(|event| event["type"] == "call-ended");
    ends.filter_map(|event| Some((event["text"].as_str()?, event["at"].as_str()?))).collect()
}

#[tokio::test]
async fn a_call_that_nobody_kept_ends_when_its_sip_server_is_back_and_what_was_recorded_arrives() -> Result<()>
{
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let (_display, mut recorder) = f.scenario.desktop("office", (800, 600), "x11").await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    recorder.wait_for_log("capture started", LIMIT).await?;
    talk(Duration::from_secs(4)).await;
    f.scenario.site.kill("server")?;
    let killed = Timestamp::now();
    fs::remove_file(f.scenario.site.data().join("sip-server/kept"))?;
    f.scenario.site.start().await?;
    let server = f.scenario.site.program("server")?;
    server.wait_for_log("a call was lost with its SIP server: ended", LIMIT).await?;
    ensure!(server.log_text().contains("it is missing: calls that it kept end"), "the loss is not told");
    recorder.wait_for_log("capture no longer wanted", LIMIT).await?;
    let console = f.console().await?;
    let gathered = |call: &Value| {
        let arrived = |file: &&Value| file["mediaUrl"].is_string();
        call["state"] == "ended"
            && call["voice"] == "complete"
            && media(call, "screen").first().is_some_and(arrived)
    };
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), gathered).await?;
    let counted = String::from_utf8(console.bytes("/metrics").await?)?;
    ensure!(counted.contains("hindsight_sip_kept_damaged_total 1"), "the loss is not counted: {counted}");
    let ends = ends(&call);
    ensure!(ends.len() == 1 && ends[0].0 == "the call ended: sip server lost", "{call:#}");
    ensure!(*ends[0].1 <= *killed.to_string(), "it ended at {}, later than {killed}", ends[0].1);
    let began = call["startTime"].as_str().context("no beginning")?;
    ensure!(ends[0].1 > began, "it ended at {}, before it began", ends[0].1);
    ensure!(media(&call, "voice")[0]["state"] == "recovered", "{call:#}");
    println!(
        "from {began} to {}, killed at {killed}; voice {}, gaps {}",
        ends[0].1, call["voice"], call["gaps"]
    );
    recorder.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}

/// A process for each role: the web services are killed in a call and come back, and the call goes on.
#[tokio::test]
async fn a_call_goes_on_when_only_the_link_was_lost() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start_apart().await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    for round in 1..3 {
        f.scenario.site.kill("web-services")?;
        f.scenario.site.start_roles("web-services", &["web-services"]).await?;
        let web = f.scenario.site.program("web-services")?;
        let text = || web.log_text();
        eventually("the SIP server's word for the call", LIMIT, || async {
            ensure!(text().matches("named=1 lost=0").count() == round, "not said yet");
            Ok(())
        })
        .await?;
    }
    let console = f.console().await?;
    let call = console.wait_for(CUSTOMER_DN, LIMIT, |call| call["state"] == "active").await?;
    ensure!(ends(&call).is_empty(), "{call:#}");
    agent.hang_up().await?;
    customer.wait_for("CALL_CLOSED", LIMIT).await?;
    let whole = |call: &Value| call["voice"] == "complete" && call["state"] == "ended";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(30), whole).await?;
    ensure!(ends(&call).len() == 1 && ends(&call)[0].0 == "1001 ended the call", "{call:#}");
    f.scenario.site.stop().await
}
