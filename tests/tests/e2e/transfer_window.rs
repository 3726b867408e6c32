//! An agent hands a call over at the window of their desktop.

use crate::transfer::{COLLEAGUE_DN, Floor};
use anyhow::{Context, Result, anyhow, ensure};
use hindsight_local::{Client, socket_path};
use hindsight_tests::{
    console::media,
    desktop::Session,
    display::Display,
    process::{Program, built, run},
    scenario::{AGENT_LOGIN, CUSTOMER_DN, talk},
};
use hindsight_wire::local::{Ask, LinkState, Secret};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_agent_hands_a_call_over_at_the_window() -> Result<()> {
    let mut floor = Floor::open().await?;
    let display = Display::start(floor.dir(), 1280, 800).await?;
    let session = Session::start(floor.dir(), display).await?;
    let worked = work(&floor, &session).await;
    if worked.is_err() {
        println!("the session said:\n{}", session.log_text());
        let _ = session.screenshot("transfer-failed");
    }
    let ended = session.end_programs().await;
    worked.and(ended)?;
    drop(session);
    floor.scenario.site.stop().await
}

async fn work(floor: &Floor, session: &Session) -> Result<()> {
    let mut command = session.command(built("hindsight-desktop")?);
    let log = floor.dir().join("shell.log");
    let _shell = Program::spawn("hindsight-desktop", command.arg("--background"), &log)?;
    session.wait_for_status("a recorder", LIMIT, |s| s.link == LinkState::NotEnrolled).await?;
    let recorder = Client::connect(&socket_path(&session.data())).await?;
    let ask = async |ask: Ask| recorder.request(ask).await.map_err(|why| anyhow!(why));
    ask(Ask::Enrol { string: Secret(floor.scenario.site.noted.desktop_enrolment.clone()) }).await?;
    session.wait_for_status("an enrolled desktop", LIMIT, |s| s.link != LinkState::NotEnrolled).await?;
    let password = Secret(floor.scenario.secrets.agent.clone());
    ask(Ask::SignIn { login: AGENT_LOGIN.to_owned(), password, dn: None }).await?;
    session.wait_for_status("an open link", LIMIT, |s| s.link == LinkState::Up && s.person.is_some()).await?;
    run(&mut session.command(built("hindsight-desktop")?))?;
    let window = session.driver().await?;
    window.wait_for_text("Nothing at the moment.").await?;

    let (mut agent, mut customer) = floor.scenario.phones("pcmu").await?;
    let mut colleague = floor.colleague().await?;
    floor.scenario.call(&mut customer, &mut agent).await?;
    window.wait_for_text(CUSTOMER_DN).await?;
    talk(Duration::from_secs(3)).await;

    // Nobody has this number: told why, and the call goes on.
    window.click("li.interaction > button.plain").await?;
    window.write(".transfer input", "4711").await?;
    window.click(".transfer button.primary").await?;
    window.wait_for_element("li.interaction [role=alert]").await?;
    session.screenshot("transfer-refused")?;
    session.wait_for_status("the call goes on", LIMIT, |s| s.interactions.len() == 1).await?;

    window.click(".transfer button[type=button]").await?;
    window.click("li.interaction > button.plain").await?;
    window.write(".transfer input", COLLEAGUE_DN).await?;
    window.click(".transfer button.primary").await?;
    colleague.wait_for("CALL_ESTABLISHED", LIMIT).await?;
    agent.wait_for("CALL_CLOSED", LIMIT).await?;
    window.wait_for_text("Nothing at the moment.").await?;
    talk(Duration::from_secs(3)).await;
    customer.hang_up().await?;
    colleague.wait_for("CALL_CLOSED", LIMIT).await?;

    let console = floor.console().await?;
    let call = console.wait_for(CUSTOMER_DN, LIMIT, |call| call["voice"] == "complete").await?;
    let kinds = call["eventHistory"].as_array().context("eventHistory")?;
    let of = |kind: &str| kinds.iter().filter(|event| event["type"] == kind).count();
    ensure!((of("call-transferred"), of("transfer-failed")) == (1, 1), "{call:#}");
    ensure!(media(&call, "voice").len() == 2, "{call:#}");
    Ok(())
}
