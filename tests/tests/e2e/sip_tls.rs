//! Phones that speak TLS with the SIP server, and SRTP with each other: nobody on the line reads or hears anything.

use crate::{call::follows, fixture::Fixture};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    phone::Seat,
    process::{Program, run},
    scenario::{AGENT_DN, CUSTOMER_DN, talk},
    speech::Wave,
};
use std::{process::Command, time::Duration};

/// `openssl s_client` at the SIP server's TLS port, trusting this certificate only.
fn handshake(port: u16, authority: &std::path::Path) -> Result<std::process::Output> {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-verify_return_error"]);
    client.args(["-verify_ip", "127.0.0.1", "-CAfile"]).arg(authority).stdin(std::process::Stdio::null());
    Ok(client.output()?)
}

#[tokio::test]
async fn a_call_of_phones_by_tls_is_recorded_and_nothing_of_it_is_read_on_the_line() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let port = f.scenario.site.ports.sip_tls;
    let file = f.dir().join("tls.pcapng");
    let mut tshark = Command::new("tshark");
    tshark.args(["-q", "-i", "lo", "-f", &format!("tcp port {port}"), "-w"]).arg(&file);
    let mut tshark = Program::spawn("tshark", &mut tshark, &f.dir().join("tls-tshark.log"))?;
    tshark.wait_for_log("Capturing on", Duration::from_secs(10)).await?;

    let shaken = handshake(port, &f.scenario.site.authority_file())?;
    ensure!(shaken.status.success(), "{}", String::from_utf8_lossy(&shaken.stderr));
    let stranger = f.dir().join("stranger.pem");
    let mut made = Command::new("openssl");
    made.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    made.args(["-subj", "/CN=stranger", "-days", "1", "-keyout", "/dev/null", "-out"]).arg(&stranger);
    run(&mut made)?;
    ensure!(!handshake(port, &stranger)?.status.success(), "the SIP server's certificate is anybody's");

    let seat = Seat { by_tls: true, ..Seat::default() };
    let (mut agent, mut customer) = f.scenario.phones_at(&seat, "pcmu", "srtp-mand").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(6)).await;
    // Further requests in both directions, over the connections that the phones keep.
    agent.hold().await?;
    talk(Duration::from_secs(1)).await;
    agent.resume().await?;
    talk(Duration::from_secs(1)).await;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    let console = f.console().await?;
    let whole = |call: &serde_json::Value| call["voice"] == "complete";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), whole).await?;
    let files = media(&call, "voice");
    ensure!(files.len() == 1, "{call:#}");
    let mut wave = Wave::parse(&console.bytes(files[0]["mediaUrl"].as_str().context("mediaUrl")?).await?)?;
    let before_the_hold = 5 * wave.rate as usize;
    wave.channels.iter_mut().for_each(|track| track.truncate(before_the_hold));
    for (channel, played) in [(0, "agent.wav"), (1, "customer.wav")] {
        let found = follows(&wave, channel, &f.dir().join(played))?;
        println!("{played}: {found:?}");
        ensure!(found.coefficient >= 0.95, "{played}: {found:?}");
    }
    // A phone that is gone without a word is not there: no fault of the site's.
    agent.program.kill();
    let agent_number = format!("sip:{AGENT_DN}@{}", customer.registrar);
    customer.dial(&agent_number).await?;
    customer.program.wait_for_log("480 Temporarily Unavailable", Duration::from_secs(10)).await?;
    drop((agent, customer));
    tshark.signal(libc::SIGINT);
    tshark.wait(Duration::from_secs(10)).await?;
    let seen = std::fs::read(&file)?;
    ensure!(seen.len() > 10_000, "only {} bytes were seen on the line", seen.len());
    for word in [&b"SIP/2.0"[..], b"a=crypto", b"INVITE"] {
        ensure!(!seen.windows(word.len()).any(|window| window == word), "read on the line: {word:?}");
    }
    f.scenario.site.stop().await
}
