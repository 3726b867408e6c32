//! Interactions that other systems announce: three that overlap are one capture on the desktop and three ranges of it.

use crate::{
    fixture::Fixture,
    screen::{HEIGHT, WIDTH, frames, unix_ms},
};
use anyhow::{Context, Result, ensure};
use hindsight_agent_core::scene::read_clock;
use hindsight_tests::{
    console::{Console, media},
    process::{eventually, run},
    scenario::{AGENT_LOGIN, CUSTOMER_DN, talk},
    site::Site,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How far an end of a range may be from when it was announced.
const TOLERANCE_MS: f64 = 300.0;

/// A chat system with a token of its own.
struct Chats {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Chats {
    fn new(site: &Site) -> Result<Self> {
        let printed = run(site.server()?.args(["token", "new", "chat-router", "--right", "announce"]))?;
        let token = String::from_utf8(printed)?.trim().to_owned();
        Ok(Self { http: site.http()?, base: site.url(), token })
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(&body);
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Its id, and when it began by the server's clock.
    async fn announce(&self, visitor: &str) -> Result<(String, f64)> {
        let body = json!({ "medium": "chat", "agent": AGENT_LOGIN, "from": visitor, "to": "sales" });
        let announced = self.post("/api/v2/interactions", body).await?;
        ensure!(announced["recorded"] == true, "{announced}");
        Ok((announced["id"].as_str().context("id")?.to_owned(), unix_ms(&announced["startedAt"])?))
    }

    async fn end(&self, id: &str) -> Result<f64> {
        unix_ms(&self.post(&format!("/api/v2/interactions/{id}/end"), json!({})).await?["endedAt"])
    }
}

async fn complete(console: &Console, id: &str) -> Result<Value> {
    eventually("an interaction to be complete", Duration::from_secs(60), || async {
        let this = console.interaction(id).await?;
        ensure!(this["screen"] == "complete" && this["state"] == "ended", "it is {this:#}");
        Ok(this)
    })
    .await
}

/// Begin and end of the one screen of an interaction, milliseconds since the epoch by the server's clock.
fn range(this: &Value) -> Result<(f64, f64)> {
    let file = *media(this, "screen").first().context("no screen")?;
    let zero = unix_ms(&this["startTime"])? + file["offsetMs"].as_f64().context("offsetMs")?;
    let from = file["fromMs"].as_f64().context("fromMs")?;
    let to = file["toMs"].as_f64().context("toMs")?;
    Ok((zero + from, zero + to))
}

/// A call and two chats that overlap: one capture, whose three ranges begin and end with what they belong to; each shows
/// at its own beginning and end what was on the screen at that time.
#[tokio::test]
async fn three_overlapping_interactions_are_one_capture_and_three_playable_ranges() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 10");
    f.scenario.site.start().await?;
    let (_display, mut recorder) = f.scenario.desktop("clock", (WIDTH as u32, HEIGHT as u32), "x11").await?;
    let chats = Chats::new(&f.scenario.site)?;
    let console = f.console().await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let call = console
        .wait_for(CUSTOMER_DN, Duration::from_secs(10), |call| !media(call, "screen").is_empty())
        .await?;
    let call_id = call["id"].as_str().context("id")?.to_owned();
    talk(Duration::from_secs(2)).await;
    let (first, first_began) = chats.announce("visitor 1").await?;
    talk(Duration::from_secs(2)).await;
    let (second, second_began) = chats.announce("visitor 2").await?;
    talk(Duration::from_secs(2)).await;
    customer.hang_up().await?;
    talk(Duration::from_secs(2)).await;
    let first_ended = chats.end(&first).await?;
    talk(Duration::from_secs(2)).await;
    let second_ended = chats.end(&second).await?;

    let call = complete(&console, &call_id).await?;
    let (first, second) = (complete(&console, &first).await?, complete(&console, &second).await?);
    let answered = call["eventHistory"].as_array().into_iter().flatten();
    let answered = answered.clone().find(|event| event["type"] == "call-established").context("answered")?;
    let call_span = (unix_ms(&answered["at"])?, unix_ms(&call["stopTime"])?);

    let captures: Vec<&str> = [&call, &first, &second]
        .iter()
        .flat_map(|this| media(this, "screen"))
        .filter_map(|file| file["capture"].as_str())
        .collect();
    assert_eq!(captures.len(), 3, "one screen each");
    assert!(captures.iter().all(|capture| *capture == captures[0]), "one capture: {captures:?}");

    for (name, this, (began, ended)) in [
        ("call", &call, call_span),
        ("first chat", &first, (first_began, first_ended)),
        ("second chat", &second, (second_began, second_ended)),
    ] {
        let (from, to) = range(this)?;
        println!(
            "{name}: begins {:.0} ms and ends {:.0} ms after it was announced",
            from - began,
            to - ended
        );
        // The capture itself begins with the call: its first picture is taken within its own limit.
        assert!((from - began).abs() <= TOLERANCE_MS, "{name} begins at {from}, announced at {began}");
        assert!((to - ended).abs() <= TOLERANCE_MS, "{name} ends at {to}, announced at {ended}");
        plays(&console, name, this, (from, to)).await?;
    }
    let found = console.by_number("visitor 1").await?;
    assert_eq!((found.len(), &found[0]["medium"]), (1, &json!("chat")), "a search finds it");
    recorder.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}

/// The pictures at both ends of a range show the clock of their time.
async fn plays(console: &Console, name: &str, this: &Value, (from, to): (f64, f64)) -> Result<()> {
    let file = *media(this, "screen").first().context("no screen")?;
    let movie = console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?;
    let zero = unix_ms(&this["startTime"])? + file["offsetMs"].as_f64().context("offsetMs")?;
    let shown = frames(&movie)?;
    for (end, at) in [("start", from + 200.0), ("end", to - 200.0)] {
        // What a player shows at that time: the last picture before it.
        let (pts, picture) = shown.iter().rfind(|(pts, _)| zero + pts <= at).context("a picture there")?;
        let clock = read_clock(picture, WIDTH, at as u64).context("the clock is shown")?;
        let off = at - clock as f64;
        println!(
            "{name}: at its {end} the clock shows {off:.0} ms before (picture at {:.0} ms)",
            zero + pts - at
        );
        assert!(off.abs() <= 500.0, "{name}: at its {end} the screen of another time is shown");
    }
    Ok(())
}
