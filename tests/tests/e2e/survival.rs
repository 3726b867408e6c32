//! Issue 4, row 6: kill -9 of a media server in mid-call. The calls go on through another one, nobody is hung up, and
//! both parts of each voice are one timeline with the moment between them listed.

use crate::{call::wave_of, fixture::Fixture};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::{Console, media},
    fleet::Fleet,
    process::{eventually, free_port},
    scenario::{CUSTOMER_DN, talk},
    site::Site,
    speech::{self, Wave},
};
use serde_json::Value;
use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

/// Two-party calls on the media server that is killed.
const CALLS: usize = 50;
/// Within so much each party hears the other again.
const LIMIT: Duration = Duration::from_secs(2);
/// RTP ports of the second media server: outside of every other test's.
const RTP: (u16, u16) = (30_000, 30_399);

/// A site of processes whose resource manager knows a second media server; where that one listens.
async fn start_with_two(site: &mut Site) -> Result<u16> {
    let second = free_port()?;
    let pool = format!("[\"127.0.0.1:{}\", \"127.0.0.1:{second}\"]", site.ports.media_server);
    site.settings.push(("RESOURCE_MANAGER__POOL".to_owned(), pool));
    site.start_apart().await?;
    Ok(second)
}

/// Waits until the resource manager has heard of the media server that listens there.
async fn until_found(site: &mut Site, port: u16) -> Result<()> {
    let manager = &*site.program("resource-manager")?;
    let port = format!(":{port}");
    eventually("the second media server", Duration::from_secs(10), || async {
        let log = manager.log_text();
        let found = |line: &str| line.contains("media server found") && line.contains(&port);
        ensure!(log.lines().any(found), "not found yet");
        Ok(())
    })
    .await
}

/// Voice parts of a call, in time order.
fn parts(call: &Value) -> Vec<Value> {
    let mut parts: Vec<Value> = media(call, "voice").into_iter().cloned().collect();
    parts.sort_by_key(|part| part["offsetMs"].as_i64().unwrap_or(i64::MAX));
    parts
}

/// From the end of the first part to the start of the second, milliseconds.
fn gap_ms(call: &Value) -> Result<i64> {
    let parts = parts(call);
    ensure!(parts.len() == 2, "not two parts: {call:#}");
    let number = |part: &Value, key: &str| part[key].as_i64().with_context(|| format!("no {key}: {part:#}"));
    Ok(number(&parts[1], "offsetMs")? - number(&parts[0], "offsetMs")? - number(&parts[0], "durationMs")?)
}

/// Where in its repeated speech a party was in the middle of a part.
fn speaks(wave: &Wave, track: usize, speech: &Path) -> Result<speech::Match> {
    let recorded = wave.channels.get(track).context("a track is missing")?;
    ensure!(recorded.len() > 4 * 8000, "only {} samples", recorded.len());
    let spoken = Wave::read(speech)?.channels.into_iter().next().context("no speech")?;
    Ok(speech::find(&recorded[8000..4 * 8000], &[spoken.clone(), spoken].concat()))
}

fn has_both_parts(call: &Value) -> bool {
    let parts = parts(call);
    parts.len() == 2 && parts.iter().all(|part| part["mediaUrl"].is_string())
}

#[tokio::test]
async fn a_call_goes_on_through_the_other_media_server_and_both_parts_are_heard() -> Result<()> {
    let mut f = Fixture::new("");
    let second = start_with_two(&mut f.scenario.site).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(5)).await;
    f.scenario.site.start_media_server("second", second, RTP).await?;
    // The resource manager has to have seen it.
    until_found(&mut f.scenario.site, second).await?;
    f.scenario.site.kill("media-server")?;
    talk(Duration::from_secs(6)).await;
    ensure!(agent.wait_for("CALL_CLOSED", Duration::from_millis(1)).await.is_err(), "the agent was hung up");
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(10)).await?;
    f.scenario.site.start_roles("media-server", &["media-server"]).await?;
    let console = f.console().await?;
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(60), has_both_parts).await?;
    let gap = gap_ms(&call)?;
    println!("one call: {gap} ms between its parts; {}", call["gaps"]);
    ensure!((0..=2000).contains(&gap), "{call:#}");
    let parts = parts(&call);
    assert_eq!((&parts[0]["state"], &parts[0]["part"]), (&"recovered".into(), &1.into()), "{call:#}");
    assert_eq!((&parts[1]["state"], &parts[1]["part"]), (&"ready".into(), &2.into()), "{call:#}");
    assert_eq!(parts[0]["capture"], parts[1]["capture"]);
    let said = call["gaps"].as_array().into_iter().flatten().filter(|gap| gap["kind"] == "voice");
    let said: Vec<&str> = said.filter_map(|gap| gap["reason"].as_str()).collect();
    // Less than a packet is no moment.
    ensure!(
        gap <= 20
            || said.len() == 1 && said[0].starts_with("the media server was lost: nothing was recorded for"),
        "{said:?}"
    );
    assert_eq!((&call["voice"], &call["recovered"]), (&"complete".into(), &true.into()), "{call:#}");
    for part in &parts {
        let wave = wave_of(&console, part).await?;
        for (track, voice) in [(0, "agent.wav"), (1, "customer.wav")] {
            let heard = speaks(&wave, track, &f.dir().join(voice))?;
            println!("  part {}: {voice} {heard:?}", part["part"]);
            ensure!(heard.coefficient >= 0.95, "part {}: {voice} {heard:?}", part["part"]);
        }
    }
    f.scenario.site.stop().await
}

/// DNs of the fleet: callers, then their agents, who are recorded full-time.
fn people() -> (String, Vec<(String, String)>) {
    let mut configuration = String::new();
    let mut people = Vec::new();
    for index in 0..2 * CALLS {
        let agent = index >= CALLS;
        let number = format!("{}{:03}", if agent { 31 } else { 32 }, index % CALLS);
        let password = uuid::Uuid::new_v4().simple().to_string()[..20].to_owned();
        let record = if agent { "full-time" } else { "on-demand" };
        let _ = write!(
            configuration,
            "[[dn]]\nnumber = \"{number}\"\npassword = \"{password}\"\nrecord_voice = \"{record}\"\n\n"
        );
        people.push((number, password));
    }
    (configuration, people)
}

/// Every call of the fleet, once it is as `wanted`.
async fn calls(console: &Console, wanted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
    let page = console.get("/api/v2/interactions?limit=100").await?;
    let mut found = Vec::new();
    for item in page["items"].as_array().context("items")? {
        let call = console.interaction(item["id"].as_str().context("id")?).await?;
        ensure!(wanted(&call), "not yet: {} {} {:?}", call["voice"], call["dialedPhoneNumber"], call["gaps"]);
        found.push(call);
    }
    ensure!(found.len() == CALLS, "{} calls", found.len());
    Ok(found)
}

#[tokio::test]
async fn fifty_calls_outlive_their_media_server() -> Result<()> {
    let mut f = Fixture::new("");
    let (configuration, people) = people();
    let file = f.dir().join("fleet.toml");
    let whole = std::fs::read_to_string(f.dir().join("site.toml"))? + "\n" + &configuration;
    std::fs::write(&file, whole)?;
    let site = &mut f.scenario.site;
    hindsight_tests::process::run(site.server()?.args(["config", "apply"]).arg(&file))?;
    let second = start_with_two(site).await?;
    let fleet = Fleet::start(site.registrar().parse()?, &people).await?;
    for index in 0..CALLS {
        fleet.call(index, &people[CALLS + index].0).await?;
    }
    eventually("all calls", Duration::from_secs(20), || async {
        let talking = fleet.accounts().iter().filter(|phone| phone.talks && phone.heard > 20).count();
        ensure!(talking == 2 * CALLS, "{talking} phones talk");
        Ok(())
    })
    .await?;
    site.start_media_server("second", second, RTP).await?;
    until_found(site, second).await?;
    talk(Duration::from_secs(2)).await;
    fleet.forget_gaps();
    let before: Vec<u64> = fleet.accounts().iter().map(|phone| phone.heard).collect();
    let killed = Instant::now();
    site.kill("media-server")?;
    let moved = eventually("all phones follow", Duration::from_secs(20), || async {
        let followed = fleet.accounts().iter().filter(|phone| phone.reinvited > 0).count();
        ensure!(followed == 2 * CALLS, "{followed} phones were re-INVITEd");
        Ok(killed.elapsed())
    })
    .await?;
    talk(Duration::from_secs(5)).await;
    let accounts = fleet.accounts();
    let mut gaps: Vec<u128> = accounts.iter().map(|phone| phone.longest_gap.as_millis()).collect();
    gaps.sort_unstable();
    println!(
        "kill -9 with {CALLS} calls: all {} phones re-INVITEd after {moved:?}; without a packet: median {} ms, longest {} ms",
        2 * CALLS,
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1]
    );
    for (phone, before) in accounts.iter().zip(before) {
        ensure!(phone.ended == 0 && phone.talks, "hung up: {phone:?}");
        ensure!(phone.longest_gap <= LIMIT, "too long without a packet: {phone:?}");
        ensure!(phone.heard > before + 150, "nothing is heard any more: {phone:?}");
    }
    for index in 0..CALLS {
        fleet.hang_up(index).await?;
    }
    eventually("all calls end", Duration::from_secs(10), || async {
        ensure!(fleet.accounts().iter().all(|phone| !phone.talks), "some go on");
        Ok(())
    })
    .await?;
    // Part 2 is there; part 1 comes when the dead server is back.
    site.start_roles("media-server", &["media-server"]).await?;
    let console = f.console().await?;
    let joined = eventually("both parts of every call", Duration::from_secs(120), || async {
        calls(&console, |call| has_both_parts(call) && call["voice"] == "complete").await
    })
    .await?;
    let mut between = joined.iter().map(gap_ms).collect::<Result<Vec<_>>>()?;
    between.sort_unstable();
    println!(
        "  {CALLS} calls with two parts each: between them median {} ms, longest {} ms",
        between[between.len() / 2],
        between[between.len() - 1]
    );
    ensure!(between.iter().all(|gap| (0..=2000).contains(gap)), "{between:?}");
    for call in &joined {
        let listed = call["gaps"].as_array().into_iter().flatten().any(|gap| {
            gap["reason"]
                .as_str()
                .is_some_and(|why| why.starts_with("the media server was lost: nothing was recorded"))
        });
        ensure!(listed || gap_ms(call)? <= 20, "the moment between the parts is not listed: {call:#}");
    }
    f.scenario.site.stop().await
}
