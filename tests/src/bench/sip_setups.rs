//! Calls that are set up in a second without one being lost: the SIP server alone (its media server is a stand-in that answers
//! at once), beside Kamailio as a stateful proxy that asks for the same password, and sipp's own phone without anything
//! between. Callers and phones are sipp in all three; everything shares this machine.
//!
//! A proxy of several processes may let one message overtake another: callers and phones take what comes late for no fault,
//! and the phone does not ring. What is lost for good is found by the time that a try takes.
//!
//! What is compared does not do the same: our SIP server ends the call on either side (a B2BUA) and sets up two legs with the
//! media server for each call, eight transactions where the proxy has two.

use super::line;
use crate::{
    process::{Program, free_port},
    sipp::{self, Caller, Meets, Phone},
    site::{Ports, Site},
};
use anyhow::{Context, Result, ensure};
use hindsight_sip::{
    Dialog, DialogId, Event, Ids, Method, Response, SipConfig, SipMessage as _, SipStack, StatusCode,
    sdp::{self, Description, Writer},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, task::JoinHandle};

const PASSWORD: &str = "a-phones-own-password";
const CALLER: &str = "2001";
const CALLED: &str = "1001";
/// Seconds of each try.
const SECONDS: u32 = 4;
/// A try begins so many calls a second, and half as many more while none is lost.
const FIRST: u32 = 60;
const MOST: u32 = 20_000;
/// Of every sipp: room for what arrives in a moment, and no call given up for what overtook something else.
const PATIENT: [&str; 4] = ["-buff_size", "4000000", "-default_behaviors", "all,-abortunexp"];

/// Where callers send their INVITE.
struct Way {
    name: &'static str,
    address: SocketAddr,
    password: Option<&'static str>,
}

pub async fn bench(name: &str) -> Result<String> {
    let dir = tempfile::Builder::new().prefix("hindsight-setups-").tempdir()?;
    let dir = dir.path();
    let phone = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let arguments = patient(["-p".to_owned(), phone.port().to_string()]);
    let (_media, media) = stand_in().await?;
    let mut site = site(dir, media).await?;
    let ours: SocketAddr = site.registrar().parse()?;
    sipp::register(ours, CALLED, PASSWORD, phone.port()).await?;
    let _phone = sipp::start(dir, "phone", &sipp::phone(Phone::AnswersAtOnce, false), 6000, &arguments)?;
    let (_kamailio, peer) = kamailio(dir, phone).await?;

    let mut rates = Vec::new();
    for way in [
        Way { name: "sip-server", address: ours, password: Some(PASSWORD) },
        Way { name: "kamailio", address: peer, password: Some(PASSWORD) },
        Way { name: "sipp", address: phone, password: None },
    ] {
        rates.push(f64::from(fastest(dir, &way).await?));
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    eprintln!("  sipp alone {:.0}/s, ours {:.3} of it; load {}", rates[2], rates[0] / rates[2], load.trim());
    site.stop().await?;
    Ok(line(name, rates[0], rates[1], "calls/s", "kamailio"))
}

/// The highest rate at which no call was lost: half as much again until one is, then the middle, twice.
async fn fastest(dir: &Path, way: &Way) -> Result<u32> {
    let (mut good, mut bad, mut rate) = (0, None, FIRST);
    loop {
        let lost = attempt(dir, way, rate).await?;
        eprintln!("  {} {rate}/s: {}", way.name, if lost { "calls lost or late" } else { "all set up" });
        if lost {
            bad = Some(rate);
        } else {
            good = rate;
        }
        rate = match bad {
            None if rate < MOST => rate * 3 / 2,
            Some(bad) if bad > good + good / 8 + 1 => (good + bad) / 2,
            _ => break,
        };
        ensure!(rate > 1, "{} sets up no call", way.name);
    }
    Ok(good)
}

fn patient<const N: usize>(arguments: [String; N]) -> Vec<String> {
    arguments.into_iter().chain(PATIENT.map(str::to_owned)).collect()
}

/// Whether a call was lost at this rate, or the rate could not be held.
async fn attempt(dir: &Path, way: &Way, rate: u32) -> Result<bool> {
    let caller = Caller {
        from: CALLER,
        password: way.password,
        dialled: CALLED,
        meets: Meets::Answer(100),
        speaks: false,
    };
    let calls = rate * SECONDS;
    let arguments = patient([
        way.address.to_string(),
        "-m".to_owned(),
        calls.to_string(),
        "-r".to_owned(),
        rate.to_string(),
        "-l".to_owned(),
        calls.to_string(),
        "-timeout".to_owned(),
        format!("{}s", SECONDS * 4),
        "-timeout_error".to_owned(),
        // What its digest is made of: else the address without a number.
        "-auth_uri".to_owned(),
        format!("{CALLED}@{}", way.address),
    ]);
    let began = Instant::now();
    let mut callers = sipp::start(dir, "caller", &sipp::caller(&caller), 6100, &arguments)?;
    let status = callers.wait(Duration::from_secs(u64::from(SECONDS) * 10)).await?;
    // One that needs much longer than the calls take has not held the rate.
    let late = began.elapsed() > Duration::from_millis(u64::from(SECONDS) * 1250 + 700);
    Ok(!status.success() || late)
}

async fn site(dir: &Path, media: SocketAddr) -> Result<Site> {
    let dn = |number: &str| {
        format!("[[dn]]\nnumber = \"{number}\"\npassword = \"{PASSWORD}\"\nrecord_voice = \"on-demand\"\n")
    };
    let mut site = Site::init(dir, Ports::free()?, &(dn(CALLED) + &dn(CALLER)))?;
    site.settings.push(("SIP_SERVER__RESOURCE_MANAGER".to_owned(), media.to_string()));
    site.settings.push(("SIP_SERVER__MAX_CALLS".to_owned(), "100000".to_owned()));
    site.start_roles("server", &["crypto-server", "web-services", "sip-server"]).await?;
    site.program("server")?.wait_for_log("SIP server ready", Duration::from_secs(30)).await?;
    Ok(site)
}

/// Kamailio as a proxy before the phone: record-routes, asks callers for the password, forwards statefully.
async fn kamailio(dir: &Path, phone: SocketAddr) -> Result<(Program, SocketAddr)> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let modules: String = ["tm", "sl", "rr", "maxfwd", "pv", "siputils", "textops", "auth", "xlog"]
        .iter()
        .map(|module| format!("loadmodule \"{module}.so\"\n"))
        .collect();
    let config = format!(
        "children=2\nlog_stderror=yes\ndebug=1\nauto_aliases=no\ndisable_tcp=yes\nlisten=udp:{address}\n{modules}\
         request_route {{\n  if (!mf_process_maxfwd_header(\"10\")) {{ sl_send_reply(\"483\", \"Too Many Hops\"); exit; }}\n\
         if (has_totag()) {{\n    if (loose_route()) {{ t_relay(); }} else if (is_method(\"ACK\")) {{ if (t_check_trans()) {{ t_relay(); }} }}\n    exit;\n  }}\n\
         if (is_method(\"CANCEL\")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}\n\
         if (is_method(\"ACK\")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}\n\
         if (is_method(\"INVITE\")) {{\n    if (!pv_proxy_authenticate(\"site\", \"{PASSWORD}\", \"0\")) {{ proxy_challenge(\"site\", \"0\"); exit; }}\n\
         consume_credentials();\n    record_route();\n    $du = \"sip:{phone}\";\n    t_relay();\n    exit;\n  }}\n\
         sl_send_reply(\"200\", \"OK\");\n}}\n"
    );
    let file = dir.join("kamailio.cfg");
    std::fs::write(&file, config)?;
    let mut command = Command::new("kamailio");
    command.arg("-f").arg(&file).args(["-DD", "-E", "-m", "256", "-M", "16", "-Y"]).arg(dir);
    let mut program = Program::spawn("kamailio", &mut command, &dir.join("kamailio.log"))
        .context("kamailio is missing: packaging/setup.sh bench")?;
    answers(&mut program, address).await?;
    Ok((program, address))
}

/// Waits until somebody answers OPTIONS there.
async fn answers(program: &mut Program, address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let own = socket.local_addr()?;
    let mut buffer = [0; 2048];
    for n in 0..100 {
        let options = format!(
            "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{n}\r\nMax-Forwards: 5\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:{address}>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = socket.send_to(options.as_bytes(), address).await;
        let answer = tokio::time::timeout(Duration::from_millis(100), socket.recv_from(&mut buffer)).await;
        if matches!(answer, Ok(Ok(_))) {
            return Ok(());
        }
        ensure!(program.is_running(), "kamailio ended: {}", program.log_text());
    }
    anyhow::bail!("kamailio does not answer: {}", program.log_text())
}

/// What stands for resource manager and media server: answers every INVITE and everything in its dialogs at once.
async fn stand_in() -> Result<(JoinHandle<()>, SocketAddr)> {
    let (sip, mut events) = SipStack::bind(SipConfig::new(([127, 0, 0, 1], 0).into())).await?;
    let address = sip.local_addr();
    let media = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let task = tokio::spawn(async move {
        let (mut ids, mut dialogs) = (Ids::from_os(), HashMap::<DialogId, Dialog>::new());
        while let Some(event) = events.recv().await {
            let Event::Request { transaction, request, .. } = event else { continue };
            let known = DialogId::of_request(&request);
            let answered = |dialog: &Dialog| -> Option<Response> {
                let offer = Description::parse(&request.sdp()?).ok()?;
                let body = Writer::new(1).write(&offer.audio.answered_at(media, None), offer.shape());
                Some(dialog.response(&request, StatusCode::OK).with_body(sdp::CONTENT_TYPE, body))
            };
            let response = match (&request.method, known) {
                (Method::Invite, None) => {
                    let Ok(dialog) = Dialog::uas(&request, &ids.tag(), sip.contact("media"), ids.cseq())
                    else {
                        continue;
                    };
                    let response = answered(&dialog);
                    dialogs.insert(dialog.id().clone(), dialog);
                    response
                }
                (Method::Invite, Some(id)) => dialogs.get(&id).and_then(answered),
                (Method::Bye, Some(id)) => {
                    dialogs.remove(&id).map(|dialog| dialog.response(&request, StatusCode::OK))
                }
                (_, Some(id)) => dialogs.get(&id).map(|dialog| dialog.response(&request, StatusCode::OK)),
                (_, None) => Some(Response::to(&request, StatusCode::OK).with_to_tag("x")),
            };
            let response = response
                .unwrap_or_else(|| Response::to(&request, StatusCode::CALL_DOES_NOT_EXIST).with_to_tag("x"));
            let sent = if request.method == Method::Invite && response.status.is_success() {
                sip.accept(transaction, response).await
            } else {
                sip.respond(transaction, response).await
            };
            if sent.is_err() {
                return;
            }
        }
    });
    Ok((task, address))
}
