//! Phones, and a media server, on other hosts than the site: network namespaces with a plain line to this one.

use crate::{call::follows, call::wave_of, fixture::Fixture};
use anyhow::{Result, ensure};
use hindsight_tests::{
    console::media,
    netns::Neighbour,
    phone::{Phone, Seat},
    process::{Program, built, run},
    scenario::{CUSTOMER_DN, talk},
};
use serde_json::Value;
use std::{process::Command, time::Duration};

/// A call of some seconds, not the one before; as the console shows it when its voice has come, each voice on its track.
async fn recorded_call(
    f: &Fixture,
    agent: &mut Phone,
    customer: &mut Phone,
    before: &Value,
) -> Result<Value> {
    f.scenario.call(customer, agent).await?;
    talk(Duration::from_secs(6)).await;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    let console = f.console().await?;
    let complete = |call: &Value| call["voice"] == "complete" && call["id"] != before["id"];
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), complete).await?;
    let files = media(&call, "voice");
    assert_eq!(files.len(), 1, "{call:#}");
    let wave = wave_of(&console, files[0]).await?;
    for (channel, played) in [(0, "agent.wav"), (1, "customer.wav")] {
        let found = follows(&wave, channel, &f.dir().join(played))?;
        println!("{played}: {found:?}");
        assert!(found.coefficient >= 0.95, "{played}: {found:?}");
    }
    Ok(call)
}

/// What `init --host ADDRESS` writes is enough: media goes to the address that phones reach, and what components say to
/// each other stays on loopback.
#[tokio::test]
async fn phones_on_another_host_talk_and_never_reach_what_components_say_to_each_other() -> Result<()> {
    let host = Neighbour::make(0)?;
    let mut f = Fixture::at(&host.here, "");
    let settings = std::fs::read_to_string(f.scenario.site.data().join("hindsight.toml"))?;
    assert!(settings.contains(&format!("\nadvertised = \"{}\"\n", host.here)), "{settings}");
    f.scenario.site.start().await?;
    let seat =
        Seat { address: host.there.clone(), wrapper: host.namespace.wrapper(), by_tls: false, proxy: None };
    let (mut agent, mut customer) = f.scenario.phones_at(&seat, "pcmu", "").await?;
    recorded_call(&f, &mut agent, &mut customer, &Value::Null).await?;
    let ports = &f.scenario.site.ports;
    assert!(host.connects(&host.here, ports.sip)?, "phones reach the SIP server");
    for (what, port) in [
        ("resource manager", ports.resource_manager),
        ("media server", ports.media_server),
        ("crypto server", ports.crypto),
    ] {
        assert!(!host.connects(&host.here, port)?, "phones reach the {what}");
    }
    f.scenario.site.stop().await
}

/// As the operator's guide says: the resource manager listens where another host reaches it; that one is made a media server
/// by `join`, with its own identity, link and spool, and records when it is the one that is left.
#[tokio::test]
async fn a_media_server_on_another_host_joins_by_a_command_and_records() -> Result<()> {
    let host = Neighbour::make(0)?;
    let mut f = Fixture::at(&host.here, "");
    let site = &mut f.scenario.site;
    let (manager, other) =
        (format!("{}:{}", host.here, site.ports.resource_manager), format!("{}:5080", host.there));
    let pool = format!("[\"127.0.0.1:{}\", \"{other}\"]", site.ports.media_server);
    for (name, value) in [
        ("RESOURCE_MANAGER__LISTEN", &manager),
        ("SIP_SERVER__RESOURCE_MANAGER", &manager),
        ("RESOURCE_MANAGER__POOL", &pool),
    ] {
        site.settings.push((name.to_owned(), value.clone()));
    }
    site.start_roles("media-server", &["media-server"]).await?;
    let rest = ["crypto-server", "web-services", "recording-processor", "resource-manager", "sip-server"];
    site.start_roles("server", &rest).await?;
    let limit = Duration::from_secs(20);
    let own = format!("media server found server=127.0.0.1:{}", site.ports.media_server);
    for ready in ["SIP server ready", &own] {
        site.program("server")?.wait_for_log(ready, limit).await?;
    }
    // Phones at an address of this host that the other one reaches.
    let seat = Seat { address: host.here.clone(), ..Seat::default() };
    let (mut agent, mut customer) = f.scenario.phones_at(&seat, "pcmu", "").await?;
    let first = recorded_call(&f, &mut agent, &mut customer, &Value::Null).await?;

    let data = f.dir().join("other-host");
    let on_it = |arguments: &[&str]| -> Result<Command> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &host.namespace.name]).arg(built("hindsight-server")?);
        command.arg("--data").arg(&data).args(arguments);
        Ok(command)
    };
    let enrolment = f.scenario.site.enrolment("media-server")?;
    run(&mut on_it(&["join", "--role", "media-server", &enrolment])?)?;
    let again = on_it(&["join", "--role", "media-server", &enrolment])?.output()?;
    ensure!(!again.status.success(), "a host joins once");
    let (first_port, last_port) = f.scenario.site.ports.rtp;
    let mut command = on_it(&["run"])?;
    command.env("HINDSIGHT_MEDIA_SERVER__LISTEN", &other);
    command.env("HINDSIGHT_MEDIA_SERVER__RTP_FIRST", first_port.to_string());
    command.env("HINDSIGHT_MEDIA_SERVER__RTP_LAST", last_port.to_string());
    let mut program = Program::spawn("media-server", &mut command, &f.dir().join("other-host.log"))?;
    let site = &mut f.scenario.site;
    site.program("server")?.wait_for_log(&format!("media server found server={other}"), limit).await?;
    let ended = site.program("media-server")?.terminate(limit).await?;
    ensure!(ended.success(), "the site's own media server ended with {ended}");
    recorded_call(&f, &mut agent, &mut customer, &first).await?;
    ensure!(program.terminate(limit).await?.success(), "{}", program.log_text());
    f.scenario.site.stop().await
}
