//! What phones report of a bad line (RTCP) is where a supervisor looks.

use crate::fixture::Fixture;
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    netns::{Faults, TwoHosts},
    phone::Seat,
    scenario::{CUSTOMER_DN, talk},
};
use std::time::Duration;

/// Both phones are behind the line: each voice crosses it twice.
const BAD: Faults = Faults {
    stalled: false,
    delay: Duration::from_millis(40),
    jitter: Duration::from_millis(8),
    loss: 0.05,
    duplicate: 0.0,
    corrupt: 0.0,
    disguised: 0.0,
    rate: None,
};

#[tokio::test]
async fn what_phones_report_of_a_bad_line_is_in_the_quality_of_the_recording() -> Result<()> {
    let hosts = TwoHosts::make(20)?;
    hosts.reach_desktop()?;
    for media_encryption in ["", "srtp-mand"] {
        let mut f = Fixture::on(&hosts.site_address, hosts.site.wrapper(), "");
        f.scenario.site.start().await?;
        let seat = Seat {
            address: hosts.desktop_address.clone(),
            wrapper: hosts.desktop.wrapper(),
            ..Seat::default()
        };
        let (mut agent, mut customer) = f.scenario.phones_at(&seat, "pcmu", media_encryption).await?;
        f.scenario.call(&mut customer, &mut agent).await?;
        hosts.set(BAD);
        // A phone reports every five seconds.
        talk(Duration::from_secs(24)).await;
        hosts.set(Faults::default());
        customer.hang_up().await?;
        agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;

        let console = f.console().await?;
        let whole = |call: &serde_json::Value| call["voice"] == "complete";
        let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), whole).await?;
        let files = media(&call, "voice");
        ensure!(files.len() == 1, "{call:#}");
        let quality = files[0]["quality"].as_array().context("quality")?;
        ensure!(quality.len() == 2, "{quality:?}");
        for track in quality {
            let reception = &track["reception"];
            println!(
                "{media_encryption}: {} of {} packets did not come to the recording; reported: {reception}",
                track["lost"], track["expected"]
            );
            let figure = |of: &str, name: &str| reception[of][name].as_f64();
            ensure!(reception["reports"].as_u64() >= Some(2), "{track:#}");
            // Twice 5 %, of some 250 packets each time.
            let worst = figure("worst", "lossPercent").context("loss")?;
            ensure!((4.0..35.0).contains(&worst), "{track:#}");
            ensure!(reception["lost"].as_i64() > Some(20), "{track:#}");
            ensure!(figure("worst", "jitterMs") >= Some(1.0), "{track:#}");
            // 40 ms each way, and as much jitter.
            let round_trip = figure("worst", "roundTripMs").context("there and back")?;
            ensure!((78.0..140.0).contains(&round_trip), "{track:#}");
            ensure!(track["lost"].as_u64() > Some(10), "{track:#}");
        }
        drop((agent, customer));
        f.scenario.site.stop().await?;
    }
    Ok(())
}
