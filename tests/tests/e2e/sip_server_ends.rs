//! What becomes of a call when its SIP server is stopped, and when it is killed.

use crate::{fixture::Fixture, network::Trace};
use anyhow::{Result, ensure};
use hindsight_tests::{
    console::media,
    scenario::{CUSTOMER_DN, talk},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Told to stop it ends its calls, and their recordings are whole; killed it says nothing, and the voices go on.
#[tokio::test]
async fn a_sip_server_that_stops_ends_its_calls_and_one_that_is_killed_leaves_the_voices() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start_apart().await?;
    let limit = Duration::from_secs(10);
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(3)).await;
    let status = f.scenario.site.program("sip-server")?.terminate(limit).await?;
    ensure!(status.success(), "the SIP server ended with {status}");
    for phone in [&mut agent, &mut customer] {
        phone.wait_for("CALL_CLOSED", limit).await?;
    }
    f.scenario.site.start_roles("sip-server", &["sip-server"]).await?;
    let console = f.console().await?;
    let whole = |call: &serde_json::Value| call["voice"] == "complete";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), whole).await?;
    assert_eq!(media(&call, "voice").len(), 1, "{call:#}");

    // Phones that are new: the ones before are still registered, and gone.
    drop((agent, customer));
    let mut trace = Trace::start(f.dir(), &f.scenario.site.ports).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(2)).await;
    f.scenario.site.kill("sip-server")?;
    let killed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    talk(Duration::from_secs(3)).await;
    trace.stop().await?;
    for phone in [&mut agent, &mut customer] {
        let heard = trace.voice_to_phone(phone.rtp_ports())?;
        let after = heard.iter().filter(|at| **at > killed + 0.5).count();
        println!("{}: {after} packets in the 2.5 s after half a second without a SIP server", phone.dn);
        // Of 125.
        ensure!(after > 80, "{}: only {after} packets", phone.dn);
        let closed = phone.wait_for("CALL_CLOSED", Duration::from_millis(1)).await;
        ensure!(closed.is_err(), "{} was hung up", phone.dn);
    }
    f.scenario.site.stop().await
}
