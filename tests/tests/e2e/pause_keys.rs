//! Issue 4, row 4: card data under a pause, spoken and keyed. What is said, the keys in the media (RFC 4733) and the keys
//! in signalling (INFO) are in no byte that any process writes; the recording is as long as the call, and its events say
//! who paused it, when and why.

use crate::{
    fixture::Fixture,
    ladder,
    pause::silent,
    plaintext::{Forbidden, end_traced, files_below, tracer, written},
};
use anyhow::{Context, Result, ensure};
use hindsight_sip::StatusCode;
use hindsight_tests::{
    console::media,
    process::run,
    scenario::{AGENT_DN, CUSTOMER_DN, SUPERVISOR_LOGIN},
    softphone::{Media, SAMPLES, Softphone, rtp, speak},
};
use hindsight_wire::Timestamp;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use std::time::{Duration, Instant};

const REASON: &str = "card number";
/// What a customer keys: no card's, but like one.
const DIGITS: &str = "9074316582749163";
const EVENTS: u8 = 101;
/// Packets of one key: 140 ms, the last three say that it is over.
const KEY_PACKETS: u16 = 7;

/// The packets that a phone sends.
struct Sender {
    rng: StdRng,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Sender {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self { sequence: rng.random(), timestamp: rng.random(), ssrc: rng.random(), rng }
    }

    /// Noise that is nowhere the same twice.
    fn voice(&mut self, packets: usize) -> Vec<Vec<u8>> {
        (0..packets).map(|_| self.spoken()).collect()
    }

    fn spoken(&mut self) -> Vec<u8> {
        let payload: Vec<u8> = (0..SAMPLES).map(|_| self.rng.random()).collect();
        let packet = rtp(0, false, self.sequence, self.timestamp, self.ssrc, &payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        packet
    }

    /// Each digit as an event of RFC 4733, with as much voice between them.
    fn keyed(&mut self, digits: &str) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for digit in digits.bytes() {
            for n in 1..=KEY_PACKETS {
                let over = n > KEY_PACKETS - 3;
                let [high, low] = (n * SAMPLES as u16).to_be_bytes();
                let event = [digit - b'0', if over { 0x8a } else { 0x0a }, high, low];
                packets.push(rtp(EVENTS, n == 1, self.sequence, self.timestamp, self.ssrc, &event));
                self.sequence = self.sequence.wrapping_add(1);
            }
            self.timestamp = self.timestamp.wrapping_add(u32::from(KEY_PACKETS) * SAMPLES as u32);
            packets.extend(self.voice(5));
        }
        packets
    }
}

/// Both as a phone's `INFO` has them.
fn infos(digit: char) -> [(&'static str, String); 2] {
    [
        ("application/dtmf-relay", format!("Signal={digit}\r\nDuration=160\r\n")),
        ("application/dtmf", digit.to_string()),
    ]
}

/// What must not be found: windows of the voice, whole packets of keys, and the text of INFOs.
#[derive(Default)]
struct Secret {
    voice: Forbidden,
    /// What a packet of a key has behind its sequence number: RTP time, source, event.
    keys: Vec<Vec<u8>>,
    texts: Vec<Vec<u8>>,
}

impl Secret {
    fn add(&mut self, packets: &[Vec<u8>]) {
        for packet in packets {
            match packet[1] & 0x7f {
                EVENTS => self.keys.push(packet[4..].to_vec()),
                _ => self.voice.add(&packet[12..]),
            }
        }
    }

    /// How much of it there is in `bytes`: voice, keys, texts.
    fn found_in(&self, bytes: &[u8]) -> [usize; 3] {
        let count = |needles: &[Vec<u8>]| {
            let starts: std::collections::HashSet<&[u8]> =
                needles.iter().map(|needle| &needle[..4]).collect();
            let places = bytes.windows(4).enumerate().filter(|(_, window)| starts.contains(window));
            places.filter(|(at, _)| needles.iter().any(|needle| bytes[*at..].starts_with(needle))).count()
        };
        [self.voice.found_in(bytes), count(&self.keys), count(&self.texts)]
    }
}

#[test]
fn the_search_for_keys_finds_what_is_there() {
    let mut sender = Sender::new(5);
    let keyed = sender.keyed("17");
    let mut secret = Secret::default();
    secret.add(&keyed);
    secret.texts.push(b"Signal=7\r\n".to_vec());
    assert_eq!(secret.keys.len(), 14);
    assert_eq!(secret.found_in(&[&[0; 50][..], &keyed[3], b"...Signal=7\r\n"].concat()), [0, 1, 1]);
    assert_eq!(secret.found_in(&[7; 5000]), [0, 0, 0]);
    assert!(secret.found_in(&keyed[8])[0] > 0);
}

#[tokio::test]
async fn digits_said_and_keyed_in_a_pause_are_in_no_byte_that_is_written() -> Result<()> {
    let mut f = Fixture::new("");
    let log = f.dir().join("server.strace");
    f.scenario.site.wrapper = tracer(&log);
    f.scenario.site.start().await?;
    f.scenario.site.wrapper.clear();
    let registrar = f.scenario.site.registrar();
    let secrets = &f.scenario.secrets;
    let agent = Softphone::start(&registrar, AGENT_DN, &secrets.agent_phone, Media::pcmu()).await?;
    let mut customer =
        Softphone::start(&registrar, CUSTOMER_DN, &secrets.customer_phone, Media::pcmu()).await?;
    customer.call(AGENT_DN).await?;
    agent.until_talking().await?;
    let answered = Instant::now();
    let console = f.console().await?;
    let active = |call: &Value| call["state"] == "active";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(10), active).await?;
    let id = call["id"].as_str().context("id")?.to_owned();

    let (mut ann, mut carl) = (Sender::new(1), Sender::new(2));
    let (before_a, before_c) = (ann.voice(150), carl.voice(150));
    speak(&[(&agent, &before_a), (&customer, &before_c)]).await;
    let pressed = Timestamp::now();
    console.control(&id, "pause", REASON).await?;
    let confirmed = Timestamp::now();

    let mut secret = Secret::default();
    let keyed = carl.keyed(DIGITS);
    let asked = ann.voice(keyed.len());
    secret.add(&keyed);
    secret.add(&asked);
    let signalled = async {
        for digit in DIGITS.chars() {
            for (content_type, body) in infos(digit) {
                let status = customer.info(content_type, &body).await?;
                // Taken or not: it is the writing that is looked at.
                ensure!(
                    status.is_success() || status == StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "INFO {content_type}: {status}"
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    let spoken: [(&Softphone, &[Vec<u8>]); 2] = [(&agent, &asked), (&customer, &keyed)];
    let (_, signalled) = tokio::join!(speak(&spoken), signalled);
    signalled?;
    for digit in DIGITS.chars() {
        secret.texts.push(format!("Signal={digit}").into_bytes());
        secret.texts.push(format!("signal={digit}").into_bytes());
    }
    secret.texts.push(DIGITS.as_bytes().to_vec());
    let released = Timestamp::now();
    console.control(&id, "resume", "card number taken").await?;
    let (after_a, after_c) = (ann.voice(150), carl.voice(150));
    speak(&[(&agent, &after_a), (&customer, &after_c)]).await;
    customer.hang_up().await?;
    let length = answered.elapsed();
    let done = |call: &Value| call["voice"] == "complete";
    let call = console.wait_for(CUSTOMER_DN, Duration::from_secs(60), done).await?;

    let administrator = ladder::administrator(&f).await?;
    let infos_of = |trace: &Value| {
        let all = ladder::messages(trace).iter();
        all.filter(|m| m["summary"] == "INFO" && m["peer"]["kind"] == "phone").cloned().collect::<Vec<_>>()
    };
    let told =
        |trace: &Value| infos_of(trace).iter().filter(|m| m["sent"] == false).count() == 2 * DIGITS.len();
    let trace = ladder::trace_of(&administrator, &id, told).await?;
    for info in infos_of(&trace) {
        let text = info["text"].as_str().context("text")?;
        ensure!(text.ends_with(": not kept]") && !text.contains("ignal"), "{text}");
    }

    // One recording as long as the call; who, when and why is in its manifest and in the call's events.
    let files = media(&call, "voice");
    ensure!(files.len() == 1, "{call:#}");
    let duration = files[0]["durationMs"].as_f64().context("durationMs")?;
    println!("the call lasted {} ms, its recording {duration} ms", length.as_millis());
    ensure!((duration - length.as_secs_f64() * 1000.0).abs() <= 500.0, "not as long as the call");
    let pauses = files[0]["pauses"].as_array().context("pauses")?;
    ensure!(pauses.len() == 1, "{pauses:?}");
    ensure!(pauses[0]["reason"] == REASON && pauses[0]["by"] == SUPERVISOR_LOGIN, "{pauses:?}");
    let events = call["eventHistory"].as_array().context("eventHistory")?;
    let event = |kind: &str| {
        let of_kind: Vec<&Value> = events.iter().filter(|event| event["type"] == kind).collect();
        ensure!(of_kind.len() == 1, "{kind}: {events:#?}");
        Ok(of_kind[0].clone())
    };
    let (paused, resumed) = (event("recording-paused")?, event("recording-resumed")?);
    ensure!(
        paused.to_string().contains(REASON) && paused.to_string().contains(SUPERVISOR_LOGIN),
        "{paused:#}"
    );
    ensure!(resumed.to_string().contains(SUPERVISOR_LOGIN), "{resumed:#}");
    let at = |event: &Value| crate::screen::unix_ms(&event["at"]);
    let within = |at: f64, from: Timestamp, to: f64| at >= from.0 as f64 / 1000.0 - 50.0 && at <= to + 50.0;
    ensure!(within(at(&paused)?, pressed, confirmed.0 as f64 / 1000.0), "{paused:#}");
    ensure!(within(at(&resumed)?, released, released.0 as f64 / 1000.0 + 2000.0), "{resumed:#}");
    silent(&console, &call).await?;
    console.get(files[0]["peaksUrl"].as_str().context("peaksUrl")?).await?;

    // The recording, opened: what was said before and after is there, what was said in the pause is not, and no key.
    let opened = open(&f, files[0])?;
    let mut said = Forbidden::default();
    for packet in before_a.iter().chain(&before_c).chain(&after_a).chain(&after_c) {
        said.add(&packet[12..]);
    }
    let found = said.found_in(&opened);
    ensure!(found > said.count() * 9 / 10, "{found} of {} windows of what was said", said.count());
    let [voice, keys, texts] = secret.found_in(&opened);
    ensure!(
        (voice, keys, texts) == (0, 0, 0),
        "in the recording: {voice} windows, {keys} keys, {texts} texts"
    );

    end_traced(f.scenario.site.program("server")?).await?;
    let mut searched = 0;
    let mut look = |name: &str, bytes: &[u8]| {
        searched += bytes.len();
        let found = secret.found_in(bytes);
        ensure!(found == [0; 3], "{name} holds of voice, keys and texts {found:?}");
        Ok(())
    };
    let files = written(&log)?;
    ensure!(files.len() > 5, "the trace saw too little: {:?}", files.keys().collect::<Vec<_>>());
    for (name, bytes) in &files {
        look(name, bytes)?;
    }
    for path in files_below(&f.scenario.site.data())? {
        look(&path.display().to_string(), &std::fs::read(&path)?)?;
    }
    for entry in std::fs::read_dir(f.dir())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            look(&path.display().to_string(), &std::fs::read(&path)?)?;
        }
    }
    println!(
        "{} windows of voice, {} packets of {} keys and their INFOs looked for in {} written files, all that lies there and the logs, {} KB: none; {found} windows of before and after are in the recording",
        secret.voice.count(),
        secret.keys.len(),
        DIGITS.len(),
        files.len(),
        searched / 1024
    );
    Ok(())
}

/// A recording as it was recorded, by the exported key. The opened copy is kept apart from what the product writes.
fn open(f: &Fixture, file: &Value) -> Result<Vec<u8>> {
    let dir = f.dir().join("opened");
    std::fs::create_dir_all(&dir)?;
    let (key, id) = (dir.join("key.pem"), file["id"].as_str().context("id")?);
    let site = &f.scenario.site;
    run(site.server()?.args(["key", "export", "--out"]).arg(&key))?;
    run(site.server()?.args(["recording", "export", id, "--out"]).arg(dir.join(id)))?;
    let mut exported = files_below(&dir.join(id))?.into_iter();
    let sealed = exported.find(|path| path.extension().is_some_and(|e| e == "sealed")).context("sealed")?;
    let out = dir.join("media");
    let mut open = site.server()?;
    open.args(["recording", "open"]).arg(sealed).arg("--key").arg(&key);
    run(open.args(["--recording", id]).arg("--out").arg(&out))?;
    Ok(std::fs::read(&out)?)
}
