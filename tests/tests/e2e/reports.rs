//! Many calls of every kind by sipp: each is in the reports once and with its reason, and each that was answered has its
//! recording; the reporting server and the web services are killed in the middle of it.
//!
//! `HINDSIGHT_CALLS` makes it larger (10,000 take six minutes and 300 MB in the directory for temporary files).

use crate::{browser::public_key_hash, fixture::KeptOnFailure};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::Console,
    process::{Program, eventually, free_port, project_root, run},
    scenario::talk,
    sipp::{self, Caller, Meets, Phone},
    site::{Ports, ROLES, Site},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const PASSWORD: &str = "a-phones-own-password";
const SUPERVISOR: &str = "sam";
const CALLER: &str = "2001";
/// Whom calls are transferred to.
const COLLEAGUE: &str = "1008";
/// Calls of the test, unless `HINDSIGHT_CALLS` says otherwise.
const CALLS: usize = 300;
/// Calls that begin in a second.
const RATE: usize = 30;
/// Ports for the voice of one sipp.
const VOICE: u16 = 400;

/// A kind of call: what is dialled, what the phone there does, and what the reports must say.
struct Kind {
    name: &'static str,
    dialled: &'static str,
    phone: Option<Phone>,
    meets: Meets,
    outcome: &'static str,
    cause: &'static str,
    /// Of ten calls.
    share: usize,
    /// Sessions of each call at the resource manager.
    sessions: usize,
    /// Recordings of each call.
    recordings: usize,
}

const ANSWERED: (&str, &str) = ("answered", "hung-up");

const KINDS: [Kind; 8] = [
    kind("answered", "1001", Some(Phone::Answers), Meets::Answer(1500), ANSWERED, [3, 2, 1]),
    // What is said before and after it are recordings of their own.
    kind("transferred", "1007", Some(Phone::Stays(800)), Meets::Transfer(COLLEAGUE), ANSWERED, [1, 2, 2]),
    kind(
        "busy",
        "1002",
        Some(Phone::Refuses("486 Busy Here")),
        Meets::Refusal(486),
        ("busy", "busy"),
        [1, 1, 0],
    ),
    kind(
        "declined",
        "1003",
        Some(Phone::Refuses("603 Decline")),
        Meets::Refusal(603),
        ("refused", "refused"),
        [1, 1, 0],
    ),
    kind(
        "failed",
        "1004",
        Some(Phone::Refuses("500 Broken")),
        Meets::Refusal(500),
        ("failed", "failed"),
        [1, 1, 0],
    ),
    kind("no-answer", "1005", Some(Phone::Rings), Meets::Refusal(480), ("no-answer", "no-answer"), [1, 1, 0]),
    kind("cancelled", "1006", Some(Phone::Rings), Meets::Ringing, ("cancelled", "cancelled"), [1, 1, 0]),
    kind("not-found", "1099", None, Meets::Refusal(404), ("not-found", "not-found"), [1, 0, 0]),
];

const fn kind(
    name: &'static str,
    dialled: &'static str,
    phone: Option<Phone>,
    meets: Meets,
    (outcome, cause): (&'static str, &'static str),
    [share, sessions, recordings]: [usize; 3],
) -> Kind {
    Kind { name, dialled, phone, meets, outcome, cause, share, sessions, recordings }
}

fn configuration() -> String {
    let mut text = format!(
        "[[person]]\nlogin = \"{SUPERVISOR}\"\nname = \"Sam Okafor\"\nroles = [\"supervisor\"]\npassword = \"{PASSWORD}\"\n"
    );
    for number in called() {
        let _ = write!(
            text,
            "[[dn]]\nnumber = \"{number}\"\npassword = \"{PASSWORD}\"\nrecord_voice = \"full-time\"\n"
        );
    }
    text + &format!(
        "[[dn]]\nnumber = \"{CALLER}\"\npassword = \"{PASSWORD}\"\nrecord_voice = \"on-demand\"\n"
    )
}

/// Numbers where somebody is, in their order.
fn called() -> impl Iterator<Item = &'static str> {
    KINDS.iter().filter(|kind| kind.phone.is_some()).map(|kind| kind.dialled).chain([COLLEAGUE])
}

struct Load {
    phones: Vec<Program>,
    callers: Vec<Program>,
}

fn count(kind: &Kind, calls: usize) -> usize {
    calls * kind.share / 10
}

/// A phone for every kind of call, and somebody who calls it.
async fn load(dir: &Path, site: &Site, calls: usize) -> Result<Load> {
    // µ-law that is no silence, and no tone either.
    let voice: Vec<u8> = (0..16_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(dir.join("voice.ulaw"), voice)?;
    let registrar: SocketAddr = site.registrar().parse()?;
    let (mut load, mut voice) = (Load { phones: Vec::new(), callers: Vec::new() }, 11_000);
    let phones = KINDS.iter().filter_map(|kind| Some((kind.dialled, kind.phone?)));
    for (number, does) in phones.chain([(COLLEAGUE, Phone::Answers)]) {
        let port = free_port()?;
        let arguments = ["-p".to_owned(), port.to_string()];
        let text = sipp::phone(does, true);
        sipp::register(registrar, number, PASSWORD, port).await?;
        load.phones.push(sipp::start(dir, &format!("phone-{number}"), &text, voice, &arguments)?);
        voice += VOICE;
    }
    for kind in &KINDS {
        let (count, rate) = (count(kind, calls), (RATE * kind.share).div_ceil(10));
        let arguments =
            [registrar.to_string(), "-m".to_owned(), count.to_string(), "-r".to_owned(), rate.to_string()];
        // A call that is lost must end the load, not hang it.
        let mut arguments = arguments.to_vec();
        arguments.extend(
            ["-timeout", &format!("{}s", 60 + 3 * calls / RATE), "-timeout_error"].map(str::to_owned),
        );
        // What its digest is made of: else the address without a number.
        arguments.extend(["-auth_uri".to_owned(), format!("{}@{registrar}", kind.dialled)]);
        let name = format!("caller-{}", kind.name);
        let caller = Caller {
            from: CALLER,
            password: Some(PASSWORD),
            dialled: kind.dialled,
            meets: kind.meets,
            speaks: true,
        };
        load.callers.push(sipp::start(dir, &name, &sipp::caller(&caller), voice, &arguments)?);
        voice += if kind.recordings > 0 { VOICE } else { 10 };
    }
    Ok(load)
}

/// Every row of a list, by its pages; the pages overlap nowhere.
async fn all(console: &Console, list: &str) -> Result<Vec<Value>> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = console.get(&format!("/api/v2/reports/{list}?limit=1000{cursor}")).await?;
        rows.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(rows),
        }
    }
}

/// Files of committed recordings.
fn recordings(below: &Path) -> Result<HashSet<String>> {
    let (mut found, mut directories) = (HashSet::new(), vec![below.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "tink") {
                found.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

/// What a supervisor's browser sees of it.
fn look(site: &Site) -> Result<Value> {
    let shots = project_root().join("target/screenshots");
    std::fs::create_dir_all(&shots)?;
    let asked = json!({
        "url": site.url(),
        "spki": public_key_hash(&site.data())?,
        "login": SUPERVISOR,
        "password": PASSWORD,
        "shots": shots,
    });
    let mut node = Command::new("node");
    node.current_dir(project_root().join("ui/console")).args(["e2e/reports.mjs", &asked.to_string()]);
    let seen: Value = serde_json::from_slice(&run(&mut node)?)?;
    ensure!(seen["done"] == true, "{seen:#}");
    Ok(seen)
}

#[tokio::test]
async fn every_call_is_reported_once_with_its_reason_and_every_answered_one_is_recorded() -> Result<()> {
    let calls = std::env::var("HINDSIGHT_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(CALLS);
    let dir = KeptOnFailure::new();
    let dir = dir.path();
    let mut site = Site::init_at(dir, Ports::free()?, "localhost", Vec::new(), &configuration())?;
    for (name, value) in [("RING_SECONDS", "2".to_owned()), ("MAX_CALLS", "4000".to_owned())] {
        site.settings.push((format!("SIP_SERVER__{name}"), value));
    }
    site.start_roles("web-services", &["web-services"]).await?;
    site.start_roles("reporting-server", &["reporting-server"]).await?;
    let rest: Vec<&str> =
        ROLES.into_iter().filter(|role| !["web-services", "reporting-server"].contains(role)).collect();
    site.start_roles("server", &rest).await?;
    for ready in ["SIP server ready", "media server found"] {
        site.program("server")?.wait_for_log(ready, Duration::from_secs(30)).await?;
    }
    let began = Instant::now();
    let mut load = load(dir, &site, calls).await?;
    println!("{calls} calls, {RATE} a second");

    // In the middle of it both are killed; calls and their events go on without them.
    let console = Console::sign_in(&site, SUPERVISOR, PASSWORD).await?;
    let middle = Duration::from_secs((calls / RATE / 3 + 20) as u64);
    eventually("a third of the calls in the reports", middle * 2, || async {
        let total = console.get("/api/v2/reports/summary?per=day").await?["total"]["arrived"].as_u64();
        ensure!(total.context("no total")? as usize >= calls / 3, "{total:?}");
        Ok(())
    })
    .await?;
    site.kill("reporting-server")?;
    site.kill("web-services")?;
    talk(Duration::from_secs(3)).await;
    site.start_roles("web-services", &["web-services"]).await?;
    site.start_roles("reporting-server", &["reporting-server"]).await?;

    for caller in &mut load.callers {
        let status = caller.wait(Duration::from_secs((90 + 4 * calls / RATE) as u64)).await?;
        ensure!(status.success(), "sipp ended with {status}: {}", caller.log_text());
    }
    println!("all calls over after {:.1} s", began.elapsed().as_secs_f64());
    let expected: BTreeMap<(String, String), usize> = KINDS.iter().fold(BTreeMap::new(), |mut map, kind| {
        *map.entry((kind.outcome.to_owned(), kind.cause.to_owned())).or_default() += count(kind, calls);
        map
    });
    let number: usize = KINDS.iter().map(|kind| count(kind, calls)).sum();
    let answered =
        KINDS.iter().filter(|kind| kind.outcome == "answered").map(|kind| count(kind, calls)).sum();
    let limit = Duration::from_secs((30 + calls / 20) as u64);
    eventually("every call in the reports", limit, || async {
        let summary = console.get("/api/v2/reports/summary?per=day").await?;
        ensure!(summary["pendingEvents"] == 0 && summary["total"]["arrived"] == number, "{summary:#}");
        Ok(())
    })
    .await?;
    let rows = eventually("every answered call, whole", limit, || async {
        let rows = all(&console, "calls").await?;
        let whole = rows.iter().filter(|row| row["voice"] == "complete").count();
        ensure!(
            rows.len() >= number && whole >= answered,
            "{} calls, {whole} whole of {answered}",
            rows.len()
        );
        Ok(rows)
    })
    .await?;
    println!("all in the reports after {:.1} s", began.elapsed().as_secs_f64());

    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        *found.entry((text("outcome"), text("cause"))).or_default() += 1;
        let recorded = if row["outcome"] == "answered" { "complete" } else { "none" };
        ensure!(row["voice"] == recorded, "{row:#}");
    }
    ensure!(found == expected, "{found:?} instead of {expected:?}");
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row["interaction"].as_str()).collect();
    ensure!(ids.len() == number && rows.len() == number, "{} rows of {} calls", rows.len(), ids.len());
    let files = recordings(&site.data().join("objects"))?;
    let recorded: usize = KINDS.iter().map(|kind| count(kind, calls) * kind.recordings).sum();
    ensure!(files.len() == recorded, "{} recordings, not {recorded}", files.len());

    // The resource manager has a journal of its own.
    let expected: usize = KINDS.iter().map(|kind| count(kind, calls) * kind.sessions).sum();
    let sessions = eventually("every session", limit, || async {
        let sessions = all(&console, "sessions").await?;
        ensure!(sessions.len() >= expected, "{} sessions, not {expected}", sessions.len());
        Ok(sessions)
    })
    .await?;
    let unique: HashSet<&str> = sessions.iter().filter_map(|row| row["callId"].as_str()).collect();
    ensure!(
        sessions.len() == expected && unique.len() == expected,
        "{} sessions, not {expected}",
        sessions.len()
    );
    ensure!(sessions.iter().all(|row| row["interaction"].as_str().is_some_and(|id| ids.contains(id))));
    let summary = console.get("/api/v2/reports/summary?per=day").await?;
    ensure!(summary["pendingEvents"] == 0 && summary["total"]["arrived"] == number, "{summary:#}");
    let most = console.get("/api/v2/reports/peaks?per=day").await?;
    println!(
        "{number} calls, {} sessions, {} recordings, at most {} at a time",
        sessions.len(),
        files.len(),
        most["most"]["count"]
    );
    let seen = look(&site)?;
    ensure!(seen["faults"] == json!([]) && seen["console"] == json!([]), "{seen:#}");
    ensure!(seen["calls"] == number && seen["busy"].as_u64().is_some_and(|shown| shown > 0), "{seen:#}");
    ensure!(seen["csv"] == count(&KINDS[2], calls), "the table has all: {seen:#}");
    let mut dns: Vec<&str> = called().chain([CALLER]).collect();
    dns.sort_unstable();
    ensure!(seen["dns"] == json!(dns), "{seen:#}");
    drop(load);
    site.stop().await
}
