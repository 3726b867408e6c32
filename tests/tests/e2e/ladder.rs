//! The signalling of a call in the console: what the phones' wire saw, in order, without anything secret.

use crate::{browser::public_key_hash, fixture::Fixture, network::Trace};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::Console,
    process::{eventually, project_root, run},
    scenario::{AGENT_DN, CUSTOMER_DN, talk},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

/// What the administrator takes in place of the password of `init`.
const PASSWORD: &str = "of-the-administrator-only";

/// The administrator that `init` made, with a password of their own.
pub async fn administrator(f: &Fixture) -> Result<Console> {
    let made = &f.scenario.site.noted.administrator;
    let console = Console::sign_in(&f.scenario.site, &made.login, &made.one_time_password).await?;
    let change = json!({"current": made.one_time_password, "new": PASSWORD});
    console.send(reqwest::Method::POST, "/api/v2/session/password", Some(change)).await?;
    Ok(console)
}

/// The trace of a call, once this is so.
pub async fn trace_of(console: &Console, id: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually("the trace", Duration::from_secs(20), || async {
        let trace = console.get(&format!("/api/v2/interactions/{id}/trace")).await?;
        ensure!(wanted(&trace), "it is {trace:#}");
        Ok(trace)
    })
    .await
}

pub fn messages(trace: &Value) -> &[Value] {
    trace["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A message on a phone's wire: phone's port, sent by the SIP server, what, CSeq; and when, seconds since the epoch.
type OnWire = ((u16, bool, String, String), f64);

/// As tshark saw them; registrations and probes left out.
fn on_wire(trace: &Trace, sip: u16, resource_manager: u16) -> Result<Vec<OnWire>> {
    let fields =
        ["frame.time_epoch", "udp.srcport", "udp.dstport", "sip.Method", "sip.Status-Code", "sip.CSeq"];
    let call = format!(
        "sip && !(udp.port == {resource_manager}) && !(sip.CSeq.method == \"REGISTER\") && !(sip.CSeq.method == \"OPTIONS\")"
    );
    let mut seen = Vec::new();
    for row in trace.fields(&call, &fields)? {
        let [at, from, to, method, status, cseq] = row.as_slice() else { continue };
        let sent = from.parse::<u16>()? == sip;
        let phone = if sent { to } else { from };
        let what = if method.is_empty() { status } else { method };
        seen.push(((phone.parse()?, sent, what.clone(), cseq.clone()), at.parse()?));
    }
    Ok(seen)
}

/// The same of the trace.
fn traced(trace: &Value) -> Result<Vec<OnWire>> {
    let with_phones = messages(trace).iter().filter(|message| message["peer"]["kind"] == "phone");
    let one = |message: &Value| {
        let port = text(&message["peer"], "address").rsplit(':').next().context("port")?.parse()?;
        let sent = message["sent"].as_bool().context("sent")?;
        let what = text(message, "summary").split(' ').next().unwrap_or_default().to_owned();
        let at: hindsight_wire::Timestamp = text(message, "at").parse()?;
        Ok(((port, sent, what, text(message, "cseq").to_owned()), at.0 as f64 / 1e6))
    };
    with_phones.map(one).collect()
}

fn by_phone(all: &[OnWire]) -> BTreeMap<u16, Vec<String>> {
    let mut phones: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for ((phone, sent, what, cseq), _) in all {
        let way = if *sent { "<-" } else { "->" };
        phones.entry(*phone).or_default().push(format!("{way} {what} ({cseq})"));
    }
    phones
}

/// What must be nowhere: everything behind these words in the messages on the wire.
fn secrets(trace: &Trace) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for row in trace.fields("sip", &["udp.payload"])? {
        let bytes = hex::decode(row[0].replace(':', "")).context("udp.payload")?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for word in ["response=\"", "nonce=\"", "cnonce=\"", "inline:"] {
            for (at, _) in text.match_indices(word) {
                let rest = &text[at + word.len()..];
                let end = rest.find(['"', '|', '\r', ' ']).unwrap_or(rest.len());
                found.insert(rest[..end].to_owned());
            }
        }
    }
    found.retain(|secret| secret.len() >= 8);
    Ok(found)
}

#[tokio::test]
async fn the_trace_of_a_call_is_what_the_wire_saw_without_its_secrets_and_the_console_draws_it() -> Result<()>
{
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let ports = f.scenario.site.ports.clone();
    let mut wire = Trace::start(f.dir(), &ports).await?;
    let (mut agent, mut customer) = f.scenario.protected_phones("pcmu", "srtp-mand").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(3)).await;
    // Long enough for a probe of the media leg, which is counted only; and a re-INVITE.
    agent.hold().await?;
    talk(Duration::from_secs(1)).await;
    agent.resume().await?;
    talk(Duration::from_secs(1)).await;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    let console = f.console().await?;
    let call =
        console.wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| call["voice"] == "complete").await?;
    let id = text(&call, "id").to_owned();
    let refused = console.get(&format!("/api/v2/interactions/{id}/trace")).await;
    ensure!(
        refused.is_err_and(|error| error.to_string().contains("403")),
        "a supervisor sees the signalling"
    );

    let administrator = administrator(&f).await?;
    let byes = |trace: &Value| {
        let ends = messages(trace).iter().filter(|m| text(m, "cseq").ends_with(" BYE"));
        ends.filter(|m| text(m, "summary") == "200 OK").count()
    };
    let trace = trace_of(&administrator, &id, |trace| byes(trace) == 4).await?;
    wire.stop().await?;

    // Every message of the phones' wire, in its order, at its time, and no other.
    let (seen, kept) = (on_wire(&wire, ports.sip, ports.resource_manager)?, traced(&trace)?);
    ensure!(
        by_phone(&seen) == by_phone(&kept),
        "wire: {:#?}\ntrace: {:#?}",
        by_phone(&seen),
        by_phone(&kept)
    );
    let apart = |(a, b): (&OnWire, &OnWire)| (a.1 - b.1).abs();
    let same_phone = |port: u16| {
        let of = |all: &[OnWire]| all.iter().filter(|one| one.0.0 == port).cloned().collect::<Vec<_>>();
        of(&seen).iter().zip(&of(&kept)).map(apart).fold(0f64, f64::max)
    };
    let worst = by_phone(&seen).into_keys().map(same_phone).fold(0f64, f64::max);
    ensure!(worst < 0.1, "{worst} s between wire and trace");
    ensure!(by_phone(&seen).len() == 2 && seen.len() >= 16, "{seen:?}");
    let times: Vec<f64> = kept.iter().map(|one| one.1).collect();
    ensure!(times.is_sorted(), "not in the order of time: {times:?}");
    ensure!(trace["notKept"] == 0 && trace["overlooked"] == 0, "{trace:#}");
    ensure!(trace["probes"].as_u64() > Some(0), "probes are not counted");
    let media = messages(&trace).iter().filter(|m| m["peer"]["kind"] == "media-server").count();
    ensure!(media >= 6, "the media server's legs: {media}");

    // No answer to a challenge, no nonce and no key of the media is in the trace, the file or the database.
    let secrets = secrets(&wire)?;
    ensure!(secrets.len() >= 8, "the wire showed only {} secrets", secrets.len());
    let file = administrator.bytes(&format!("/api/v2/interactions/{id}/trace.txt")).await?;
    let file = String::from_utf8(file)?;
    ensure!(
        file.contains("INVITE sip:") && file.contains("a=crypto:") && file.contains("response=***"),
        "{file}"
    );
    let mut places =
        vec![("trace".to_owned(), trace.to_string().into_bytes()), ("file".to_owned(), file.into_bytes())];
    for path in crate::plaintext::files_below(&f.scenario.site.data())? {
        places.push((path.display().to_string(), std::fs::read(&path)?));
    }
    for (name, bytes) in &places {
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            ensure!(!found, "{name} holds {secret}");
        }
    }
    println!(
        "{} messages on two phones' wire, the same in the trace, at most {:.1} ms apart; {media} with the media server, {} probes; {} secrets looked for in {} places: none",
        seen.len(),
        worst * 1000.0,
        trace["probes"],
        secrets.len(),
        places.len()
    );
    look(&f, &id)?;
    f.scenario.site.stop().await
}

/// Chromium as the administrator.
fn look(f: &Fixture, id: &str) -> Result<()> {
    let shots = project_root().join("target/screenshots");
    std::fs::create_dir_all(&shots)?;
    let asked = json!({
        "url": f.scenario.site.url(),
        "spki": public_key_hash(&f.scenario.site.data())?,
        "login": f.scenario.site.noted.administrator.login,
        "password": PASSWORD,
        "id": id,
        "shots": shots,
    });
    let mut node = Command::new("node");
    node.current_dir(project_root().join("ui/console")).args(["e2e/ladder.mjs", &asked.to_string()]);
    let output = node.output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let seen: Value = serde_json::from_str(printed.trim())
        .with_context(|| format!("{printed} {}", String::from_utf8_lossy(&output.stderr)))?;
    println!("{seen:#}");
    ensure!(seen["done"] == true, "{}", seen["error"]);
    ensure!(seen["faults"] == json!([]), "{:#}", seen["faults"]);
    let parties: Vec<&str> =
        seen["parties"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (first, last) = (format!("Phone {CUSTOMER_DN}"), format!("Phone {AGENT_DN}"));
    ensure!(parties == [first.as_str(), "SIP server", last.as_str(), "Media server"], "{parties:?}");
    let steps: Vec<&str> = seen["steps"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for what in [
        "INVITE, Phone 2001 to SIP server",
        "200 OK, SIP server to Phone 2001",
        "ACK, Phone 2001 to SIP server",
        "BYE, Phone 2001 to SIP server",
    ] {
        ensure!(steps.iter().any(|step| step.contains(what)), "no {what} among {steps:#?}");
    }
    ensure!(steps.iter().any(|step| step.contains("407 Proxy Authentication Required, failed")), "{steps:#?}");
    ensure!(text(&seen, "opened").contains("INVITE sip:"), "{}", seen["opened"]);
    ensure!(seen["unreachable"] == true, "a failure is not told");
    ensure!(seen["empty"] == true, "a call without a trace is not told");
    Ok(())
}

#[tokio::test]
async fn a_site_that_keeps_no_traces_has_none_and_a_sip_server_learns_of_it_at_once() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    let file = f.dir().join("trace.toml");
    std::fs::write(&file, "[trace]\nkeep_days = 0\n")?;
    run(f.scenario.site.server()?.args(["config", "apply"]).arg(&file))?;
    f.scenario.site.program("server")?.wait_for_log("traces are not wanted", Duration::from_secs(10)).await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(2)).await;
    customer.hang_up().await?;
    let console = administrator(&f).await?;
    let call =
        console.wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| call["voice"] == "complete").await?;
    let trace = console.get(&format!("/api/v2/interactions/{}/trace", text(&call, "id"))).await?;
    ensure!(messages(&trace).is_empty() && trace["notKept"] == 0, "{trace:#}");
    f.scenario.site.stop().await
}
