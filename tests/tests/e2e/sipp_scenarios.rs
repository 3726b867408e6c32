//! sipp's own scenarios, as they come with it: which of them pass, and why the others cannot.

use crate::fixture::Fixture;
use anyhow::{Result, ensure};
use hindsight_tests::{
    phone::PhoneConfig,
    process::{Program, free_port},
    scenario::{AGENT_DN, CUSTOMER_DN},
};
use std::{path::Path, process::Command, time::Duration};

/// REGISTER of a DN whose phone does not do so itself: sipp's answering scenario.
const REGISTER: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="register">
<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:DN@[remote_ip]:[remote_port]>;tag=[call_number]
To: <sip:DN@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 REGISTER
Max-Forwards: 70
Contact: <sip:DN@[local_ip]:[local_port]>
Expires: 600
Content-Length: 0

]]></send>
<recv response="401" auth="true"/>
<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:DN@[remote_ip]:[remote_port]>;tag=[call_number]
To: <sip:DN@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 2 REGISTER
Max-Forwards: 70
Contact: <sip:DN@[local_ip]:[local_port]>
Expires: 600
[authentication username=DN password=PASSWORD]
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"#;

fn sipp(dir: &Path, port: u16, server: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new("sipp");
    command.arg(format!("127.0.0.1:{server}")).args(["-i", "127.0.0.1", "-p", &port.to_string()]);
    command.args(["-m", "1", "-nostdin", "-timeout", "25s", "-timeout_error", "-trace_err"]);
    command.args(arguments).current_dir(dir);
    command
}

/// What a scenario met that it did not expect, as it noted it.
fn errors(dir: &Path, scenario: &str) -> Result<String> {
    let named = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(&format!("{scenario}_")) && name.contains("errors")
    };
    let files = std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(files.filter(|path| named(path)).filter_map(|path| std::fs::read_to_string(path).ok()).collect())
}

#[tokio::test]
async fn sipps_answering_scenarios_are_called_and_its_calling_ones_are_asked_who_they_are() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let (server, port) = (f.scenario.site.ports.sip, free_port()?);
    let file = f.dir().join("register.xml");
    let register = REGISTER.replace("DN", AGENT_DN).replace("PASSWORD", &f.scenario.secrets.agent_phone);
    std::fs::write(&file, register)?;
    let file = file.to_string_lossy().into_owned();
    let registered = sipp(f.dir(), port, server, &["-sf", &file]).output()?;
    ensure!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stdout));

    let (registrar, authority) = (f.scenario.site.registrar(), f.scenario.site.authority_file());
    let mut customer = hindsight_tests::phone::Phone::start(
        &f.dir().join("customer-phone"),
        &PhoneConfig {
            dn: CUSTOMER_DN,
            password: &f.scenario.secrets.customer_phone,
            registrar: &registrar,
            authority: &authority,
            speech: &f.dir().join("customer.wav"),
            codec: "pcmu",
            media_encryption: "",
            auto_answer: true,
        },
    )
    .await?;
    for scenario in ["uas", "3pcc-A", "3pcc-B"] {
        let called = &mut sipp(f.dir(), port, server, &["-sn", scenario]);
        let mut called = Program::spawn(scenario, called, &f.dir().join(format!("{scenario}.log")))?;
        customer.dial(&format!("sip:{AGENT_DN}@{registrar}")).await?;
        customer.wait_for("CALL_ESTABLISHED", Duration::from_secs(10)).await?;
        customer.hang_up().await?;
        let end = called.wait(Duration::from_secs(20)).await?;
        ensure!(end.success(), "{scenario}: {}", called.log_text());
    }

    // These call, or register at a domain of their own, without a word on who they are, and have no answer to being
    // asked: only DNs call.
    for (scenario, refusal) in [("uac", "SIP/2.0 407"), ("branchc", "SIP/2.0 404")] {
        let refused = sipp(f.dir(), free_port()?, server, &["-sn", scenario, "-s", CUSTOMER_DN]).output()?;
        let said = String::from_utf8_lossy(&refused.stdout).into_owned();
        ensure!(!refused.status.success(), "{scenario}: who does not say who they are was let in: {said}");
        let errors = errors(f.dir(), scenario)?;
        ensure!(errors.contains(refusal), "{scenario}: {errors}{said}");
    }
    f.scenario.site.stop().await
}
