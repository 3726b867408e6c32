//! An agent hands a customer over to a colleague: real phones, both voices on the right tracks of the right recordings,
//! and nobody hears what was said after they had left.

use crate::{call::wave_of, fixture::KeptOnFailure};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::{Console, media},
    linphone::{Linphone, speaks},
    phone::{Phone, PhoneConfig},
    scenario::{self, AGENT_DN, AGENT_LOGIN, CUSTOMER_DN, SUPERVISOR_LOGIN, Scenario, Secrets, talk},
    site::{Ports, Site},
    speech::{self, Wave},
};
use serde_json::Value;
use std::{path::Path, time::Duration};

pub const COLLEAGUE_DN: &str = "1002";
pub const COLLEAGUE_LOGIN: &str = "ben";
const LIMIT: Duration = Duration::from_secs(10);

/// A site with a second agent, who is recorded full-time too.
pub struct Floor {
    pub scenario: Scenario,
    pub colleague: String,
    // Last: the programs inside end before their directory goes.
    _dir: KeptOnFailure,
}

impl Floor {
    pub async fn open() -> Result<Self> {
        let dir = KeptOnFailure::new();
        let (secrets, colleague) = (Secrets::random(), Secrets::random().agent_phone);
        let more = format!(
            r#"
[[person]]
login = "{COLLEAGUE_LOGIN}"
name = "Ben Adeyemi"
roles = ["agent"]
dn = "{COLLEAGUE_DN}"
password = "{colleague}"

[[dn]]
number = "{COLLEAGUE_DN}"
password = "{colleague}"
record_voice = "full-time"
"#
        );
        let configuration = scenario::configuration(&secrets, "") + &more;
        let site = Site::init(dir.path(), Ports::free()?, &configuration)?;
        speech::prompts(&["conf-adminmenu-162", "demo-congrats"], &dir.path().join("agent.wav"))?;
        speech::prompts(&["priv-callee-options", "demo-echotest"], &dir.path().join("customer.wav"))?;
        speech::prompts(&["demo-instruct"], &dir.path().join("colleague.wav"))?;
        let mut scenario = Scenario { site, secrets, dir: dir.path().to_owned() };
        scenario.site.start().await?;
        Ok(Self { scenario, colleague, _dir: dir })
    }

    pub fn dir(&self) -> &Path {
        &self.scenario.dir
    }

    pub async fn colleague(&self) -> Result<Phone> {
        let (registrar, authority) = (self.scenario.site.registrar(), self.scenario.site.authority_file());
        let config = PhoneConfig {
            dn: COLLEAGUE_DN,
            password: &self.colleague,
            registrar: &registrar,
            authority: &authority,
            speech: &self.dir().join("colleague.wav"),
            codec: "pcmu",
            media_encryption: "",
            auto_answer: true,
        };
        Phone::start(&self.dir().join("colleague-phone"), &config).await
    }

    pub async fn console(&self) -> Result<Console> {
        Console::sign_in(&self.scenario.site, SUPERVISOR_LOGIN, &self.scenario.secrets.supervisor).await
    }
}

/// A recording of a voice: who is at which side, and the sound.
struct Heard {
    id: String,
    numbers: Vec<(String, String)>,
    from_ms: i64,
    wave: Wave,
}

impl Heard {
    /// How well what a phone was given to speak is found in a track: the best of its pieces of two seconds, for a phone on
    /// a busy machine may stumble within one.
    fn best(&self, channel: usize, spoken: &Path) -> Result<f64> {
        let track = self.wave.channels.get(channel).context("a track is missing")?;
        let spoken = Wave::read(spoken)?;
        let spoken = speech::repeated(&spoken.channels[0], spoken.channels[0].len() * 2);
        // The first second may hold what a phone says of itself.
        let pieces = track.get(8_000..).context("too short")?.windows(16_000).step_by(8_000);
        pieces.map(|piece| speech::find(piece, &spoken).coefficient).reduce(f64::max).context("too short")
    }
}

/// The voices of a call in the order of time.
async fn voices(console: &Console, call: &Value) -> Result<Vec<Heard>> {
    let mut files = media(call, "voice");
    files.sort_by_key(|file| file["offsetMs"].as_i64());
    let mut heard = Vec::new();
    for file in files {
        let tracks = file["tracks"].as_array().context("tracks")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        heard.push(Heard {
            id: text(&file["id"]),
            numbers: tracks.iter().map(|track| (text(&track["party"]), text(&track["number"]))).collect(),
            from_ms: file["offsetMs"].as_i64().context("offsetMs")?,
            wave: wave_of(console, file).await?,
        });
    }
    Ok(heard)
}

fn at(agent: &str, customer: &str) -> Vec<(String, String)> {
    [("agent", agent), ("customer", customer)].map(|(party, number)| (party.into(), number.into())).into()
}

#[tokio::test]
async fn a_blind_transfer_of_real_phones_gives_each_agent_their_own_recording() -> Result<()> {
    let mut floor = Floor::open().await?;
    let (mut agent, mut customer) = floor.scenario.phones("pcmu").await?;
    let mut colleague = floor.colleague().await?;
    floor.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(5)).await;
    let to = format!("sip:{COLLEAGUE_DN}@{}", agent.registrar);
    agent.command("transfer", &to).await?;
    colleague.wait_for("CALL_ESTABLISHED", LIMIT).await?;
    agent.wait_for("CALL_CLOSED", LIMIT).await?;
    talk(Duration::from_secs(6)).await;
    customer.hang_up().await?;
    colleague.wait_for("CALL_CLOSED", LIMIT).await?;

    let console = floor.console().await?;
    let whole = |call: &Value| call["voice"] == "complete";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), whole).await?;
    let kinds: Vec<&str> = call["eventHistory"]
        .as_array()
        .context("eventHistory")?
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    ensure!(kinds.contains(&"call-transferred") && !kinds.contains(&"transfer-failed"), "{kinds:?}");
    let heard = voices(&console, &call).await?;
    ensure!(heard.len() == 2, "{call:#}");
    ensure!(heard[0].numbers == at(AGENT_DN, CUSTOMER_DN), "{:?}", heard[0].numbers);
    ensure!(heard[1].numbers == at(COLLEAGUE_DN, CUSTOMER_DN), "{:?}", heard[1].numbers);
    let between = heard[1].from_ms - heard[0].from_ms - (heard[0].wave.seconds() * 1000.0) as i64;
    println!("between the two recordings: {between} ms");
    // Offset and length are whole milliseconds.
    ensure!((-2..1000).contains(&between), "{between} ms");
    let [agent_wav, customer_wav, colleague_wav] =
        ["agent.wav", "customer.wav", "colleague.wav"].map(|name| floor.dir().join(name));
    for (part, channel, spoken, is_there) in [
        (0, 0, &agent_wav, true),
        (0, 1, &customer_wav, true),
        (1, 0, &colleague_wav, true),
        (1, 1, &customer_wav, true),
        (1, 0, &agent_wav, false),
        (1, 1, &agent_wav, false),
        (0, 0, &colleague_wav, false),
    ] {
        let found = heard[part].best(channel, spoken)?;
        println!("part {}, channel {channel}, {:?}: {found:.3}", part + 1, spoken.file_name());
        ensure!(if is_there { found >= 0.95 } else { found < 0.5 }, "part {part} channel {channel}: {found}");
    }

    // Each agent replays what they said and heard, and no more.
    let site = &floor.scenario.site;
    let ann = Console::sign_in(site, AGENT_LOGIN, &floor.scenario.secrets.agent).await?;
    let ben = Console::sign_in(site, COLLEAGUE_LOGIN, &floor.colleague).await?;
    let id = call["id"].as_str().context("id")?;
    for (console, own, other) in [(&ann, &heard[0].id, &heard[1].id), (&ben, &heard[1].id, &heard[0].id)] {
        let seen = console.interaction(id).await?;
        let ids: Vec<&str> = media(&seen, "voice").iter().filter_map(|file| file["id"].as_str()).collect();
        ensure!(ids == [own.as_str()], "{ids:?}");
        console.bytes(&format!("/api/v2/recordings/{own}/media")).await?;
        ensure!(console.bytes(&format!("/api/v2/recordings/{other}/media")).await.is_err(), "not theirs");
    }
    floor.scenario.site.stop().await
}

/// linphone, another library and another user interface: registers, calls, holds, and hands over both ways.
async fn linphones_call_hold_and_transfer(attended: bool) -> Result<()> {
    let mut floor = Floor::open().await?;
    let registrar = floor.scenario.site.registrar();
    let (dir, secrets) = (floor.dir().to_owned(), floor.scenario.secrets.clone());
    let start = async |dn: &str, password: &str, name: &str| {
        let (home, speech) = (dir.join(format!("linphone-{name}")), dir.join(format!("{name}.wav")));
        Linphone::start(&home, dn, password, &registrar, &speech).await
    };
    let mut customer = start(CUSTOMER_DN, &secrets.customer_phone, "customer").await?;
    let mut agent = start(AGENT_DN, &secrets.agent_phone, "agent").await?;
    let mut colleague = start(COLLEAGUE_DN, &floor.colleague, "colleague").await?;
    customer.call(AGENT_DN, 1).await?;
    agent.speak()?;
    talk(Duration::from_secs(3)).await;
    agent.say("pause 1")?;
    agent.until("the hold", |log| log.contains("paused")).await?;
    if attended {
        agent.call(COLLEAGUE_DN, 2).await?;
        talk(Duration::from_secs(2)).await;
        agent.say("transfer 1 --to-call 2")?;
    } else {
        agent.say("resume 1")?;
        talk(Duration::from_secs(1)).await;
        agent.say(&format!("transfer 1 sip:{COLLEAGUE_DN}@{registrar}"))?;
    }
    agent.until_ended(1).await?;
    colleague.until("a call", |log| speaks(log, 1)).await?;
    colleague.speak()?;
    // The customer's, which is told of other addresses only, goes on by itself: told again, it would speak twice at once.
    talk(Duration::from_secs(5)).await;
    customer.say("terminate")?;
    colleague.until_ended(1).await?;

    let console = floor.console().await?;
    let whole = |call: &Value| call["voice"] == "complete";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(40), whole).await?;
    let heard = voices(&console, &call).await?;
    let numbers: Vec<_> = heard.iter().map(|part| part.numbers.clone()).collect();
    ensure!(numbers == [at(AGENT_DN, CUSTOMER_DN), at(COLLEAGUE_DN, CUSTOMER_DN)], "{numbers:?}");
    for (channel, name) in [(0, "colleague.wav"), (1, "customer.wav")] {
        let (found, seconds) = (heard[1].best(channel, &floor.dir().join(name))?, heard[1].wave.seconds());
        println!("attended {attended}, {name}: {found:.3} in {seconds:.1} s");
        ensure!(found >= 0.95, "attended {attended}, {name}: {found}");
    }
    drop((customer, agent, colleague));
    floor.scenario.site.stop().await
}

#[tokio::test]
async fn linphones_call_hold_and_transfer_blind() -> Result<()> {
    linphones_call_hold_and_transfer(false).await
}

#[tokio::test]
async fn linphones_call_hold_and_transfer_attended() -> Result<()> {
    linphones_call_hold_and_transfer(true).await
}
