//! Issue 4, row 3, with real sockets: a codec changed by re-INVITE, a hold with and without music, another SRTP key in
//! mid-call, and phones of which only one speaks SRTP.

use crate::{call::wave_of, fixture::Fixture};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::{Console, media},
    scenario::{AGENT_DN, CUSTOMER_DN, talk},
    softphone::{Media, SAMPLES, Softphone, rtp, speak},
    speech::{self, Wave},
};
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const SECOND: usize = 50;

/// Speech of one party as G.711, and where it is.
struct Sender {
    samples: Vec<f32>,
    at: usize,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Sender {
    fn new(wav: &Path, ssrc: u32) -> Result<Self> {
        let samples = Wave::read(wav)?.channels.into_iter().next().context("no speech")?;
        Ok(Self { samples, at: 0, payload_type: 0, sequence: 65_500, timestamp: 0xffff_0000, ssrc })
    }

    fn packets(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|_| {
                let said = &self.samples[self.at..self.at + SAMPLES];
                let encode = if self.payload_type == 8 { a_law } else { mu_law };
                let payload: Vec<u8> = said.iter().map(|sample| encode((sample * 32_767.0) as i32)).collect();
                let packet =
                    rtp(self.payload_type, false, self.sequence, self.timestamp, self.ssrc, &payload);
                self.at += SAMPLES;
                self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
                self.sequence = self.sequence.wrapping_add(1);
                packet
            })
            .collect()
    }

    /// What would have been said until so much of the call is over goes unsaid; RTP time goes on.
    fn skip_to(&mut self, elapsed: Duration) {
        let at = (elapsed.as_secs_f64() * 8_000.0) as usize;
        self.timestamp = self.timestamp.wrapping_add((at - self.at) as u32);
        self.at = at;
    }
}

/// ITU-T G.711 table 2.
fn mu_law(sample: i32) -> u8 {
    let magnitude = sample.abs().min(32_635) + 0x84;
    let exponent = 24 - magnitude.leading_zeros() as i32;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !((if sample < 0 { 0x80 } else { 0 }) | (exponent << 4) | mantissa) as u8
}

/// ITU-T G.711 table 1.
fn a_law(sample: i32) -> u8 {
    let magnitude = (if sample >= 0 { sample } else { -sample - 1 }).min(32_767) >> 4;
    let exponent =
        if magnitude < 32 { i32::from(magnitude >= 16) } else { 28 - magnitude.leading_zeros() as i32 };
    let mantissa = (magnitude >> (exponent - 1).max(0)) & 0x0f;
    ((exponent << 4 | mantissa) as u8 | if sample >= 0 { 0x80 } else { 0 }) ^ 0x55
}

/// Two phones in a call, and what each of them says.
struct Call {
    agent: Softphone,
    customer: Softphone,
    ann: Sender,
    carl: Sender,
}

impl Call {
    async fn start(f: &mut Fixture, of_agent: Media, of_customer: Media) -> Result<Self> {
        let registrar = f.scenario.site.registrar();
        let secrets = &f.scenario.secrets;
        let agent = Softphone::start(&registrar, AGENT_DN, &secrets.agent_phone, of_agent).await?;
        let mut customer =
            Softphone::start(&registrar, CUSTOMER_DN, &secrets.customer_phone, of_customer).await?;
        customer.call(AGENT_DN).await?;
        agent.until_talking().await?;
        let ann = Sender::new(&f.dir().join("agent.wav"), 0xa)?;
        let carl = Sender::new(&f.dir().join("customer.wav"), 0xc)?;
        Ok(Self { agent, customer, ann, carl })
    }

    async fn talk(&mut self, seconds: usize) {
        let (ann, carl) = (self.ann.packets(seconds * SECOND), self.carl.packets(seconds * SECOND));
        speak(&[(&self.agent, &ann), (&self.customer, &carl)]).await;
    }

    /// Hangs up; the call when all of it has arrived.
    async fn end(&self, f: &Fixture) -> Result<(Console, Value)> {
        self.customer.hang_up().await?;
        let console = f.console().await?;
        let call = console
            .wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| {
                call["voice"] == "complete" && media(call, "voice").iter().all(|m| m["mediaUrl"].is_string())
            })
            .await?;
        Ok((console, call))
    }
}

/// How a stretch of a channel follows speech; `said`: seconds of it.
fn heard(
    wave: &Wave,
    channel: usize,
    from_s: f64,
    wav: &Path,
    said: std::ops::Range<f64>,
) -> Result<speech::Match> {
    let spoken = Wave::read(wav)?.channels.into_iter().next().context("no speech")?;
    let place = |second: f64| (second * 8_000.0) as usize;
    let recorded = wave.channels.get(channel).context("a track is missing")?;
    let recorded = recorded.get(place(from_s)..).context("too short")?;
    let length = place(said.end - said.start);
    Ok(speech::find(
        &spoken[place(said.start)..place(said.end)],
        &recorded[..recorded.len().min(length + 8_000)],
    ))
}

fn seconds(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN) / 1000.0
}

/// G.711 µ-law, then A-law by the customer's re-INVITE: two parts of one capture, the second where the first ends.
#[tokio::test]
async fn a_codec_changed_by_a_phone_goes_on_in_a_second_part() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let both = Media { formats: vec![(0, "PCMU/8000"), (8, "PCMA/8000")], ..Media::pcmu() };
    let mut call = Call::start(&mut f, both.clone(), both).await?;
    call.talk(4).await;
    let offers = call.agent.offers();
    call.customer.set_media(Media { formats: vec![(8, "PCMA/8000")], ..Media::pcmu() });
    let answer = call.customer.reinvite().await?;
    ensure!(answer.status.is_success(), "the change was refused: {}", answer.status);
    let told = call.agent.offered(offers + 1).await?;
    ensure!(told.contains("RTP/AVP 8"), "the other phone was not asked: {told}");
    for sender in [&mut call.ann, &mut call.carl] {
        sender.payload_type = 8;
    }
    call.talk(4).await;
    let (console, found) = call.end(&f).await?;
    let parts = media(&found, "voice");
    let numbers: Vec<_> = parts.iter().map(|part| part["part"].as_i64()).collect();
    ensure!(numbers == [Some(1), Some(2)], "{found:#}");
    ensure!(parts[0]["capture"] == parts[1]["capture"], "{found:#}");
    let gap =
        seconds(&parts[1]["offsetMs"]) - seconds(&parts[0]["offsetMs"]) - seconds(&parts[0]["durationMs"]);
    ensure!(gap.abs() <= 0.02, "{gap} s between the parts");
    for (number, part) in parts.iter().enumerate() {
        let wave = wave_of(&console, part).await?;
        for (channel, wav) in [(0, "agent.wav"), (1, "customer.wav")] {
            let said = number as f64 * 4.0 + 0.5..number as f64 * 4.0 + 3.5;
            let found = heard(&wave, channel, 0.0, &f.dir().join(wav), said)?;
            println!("part {}: {wav} {found:?}", number + 1);
            ensure!(found.coefficient >= 0.95, "part {}: {wav} {found:?}", number + 1);
        }
        let quality = part["quality"].as_array().context("quality")?;
        ensure!(quality.iter().all(|track| track["lost"] == 0), "{quality:?}");
    }
    f.scenario.site.stop().await
}

/// The agent holds: silence, then another hold with music of another source; after each the voices stand where they were.
#[tokio::test]
async fn a_hold_with_and_without_music_keeps_the_voices_in_their_places() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let mut call = Call::start(&mut f, Media::pcmu(), Media::pcmu()).await?;
    // Both say what stands in their files at this time of the call, so that each place in the recording is known.
    let started = Instant::now();
    let mut spoken = vec![0.0];
    let mut played = 0.0;
    call.talk(2).await;
    for music in [false, true] {
        let way = if music { "sendonly" } else { "inactive" };
        call.agent.set_media(Media { direction: way, ..Media::pcmu() });
        ensure!(call.agent.reinvite().await?.status.is_success(), "the hold was refused");
        let mut player = Sender::new(&f.dir().join("customer.wav"), 0x00c0_ffee)?;
        player.at = 20 * 8_000;
        played = started.elapsed().as_secs_f64();
        if music {
            speak(&[(&call.agent, &player.packets(2 * SECOND))]).await;
        } else {
            talk(Duration::from_secs(2)).await;
        }
        call.agent.set_media(Media::pcmu());
        ensure!(call.agent.reinvite().await?.status.is_success(), "the retrieval was refused");
        let elapsed = started.elapsed();
        for sender in [&mut call.ann, &mut call.carl] {
            sender.skip_to(elapsed);
        }
        spoken.push(elapsed.as_secs_f64());
        call.talk(3).await;
    }
    let (console, found) = call.end(&f).await?;
    let files = media(&found, "voice");
    ensure!(files.len() == 1, "{found:#}");
    let wave = wave_of(&console, files[0]).await?;
    let begin = heard(&wave, 1, 0.0, &f.dir().join("customer.wav"), 0.2..1.8)?;
    ensure!(begin.coefficient >= 0.95, "{begin:?}");
    let begin = begin.lag as f64 / 8_000.0 - 0.2;
    let mut off = Vec::new();
    for from in spoken.iter().map(|from| from + 0.2) {
        for (channel, wav) in [(0, "agent.wav"), (1, "customer.wav")] {
            let place = (begin + from - 0.3).max(0.0);
            let found = heard(&wave, channel, place, &f.dir().join(wav), from..from + 1.6)?;
            ensure!(found.coefficient >= 0.95, "{wav} at {from}: {found:?}");
            off.push((place + found.lag as f64 / 8_000.0 - begin - from) * 1000.0);
            println!(
                "{wav} at {from:.2} s: correlation {:.4}, off by {:.1} ms",
                found.coefficient,
                off[off.len() - 1]
            );
        }
    }
    ensure!(off.iter().all(|off| off.abs() <= 20.0), "{off:?}");
    let music = heard(&wave, 0, begin + played, &f.dir().join("customer.wav"), 20.2..21.8)?;
    ensure!(music.coefficient >= 0.95, "the music: {music:?}");
    let loudest = |from: f64, to: f64| {
        let place = |second: f64| ((begin + second) * 8_000.0) as usize;
        wave.channels[0][place(from)..place(to)]
            .iter()
            .fold(0f32, |loudest, sample| loudest.max(sample.abs()))
    };
    println!("the music: {music:?}");
    ensure!(loudest(2.4, spoken[1] - 0.2) == 0.0, "the hold without music is not silent");
    f.scenario.site.stop().await
}

/// A master key and salt of a suite's length, for `a=crypto` and for the sender.
fn crypto(seed: u8) -> (String, String) {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let master: Vec<u8> = (0..30).map(|n| n * 5 + seed).collect();
    let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", BASE64_STANDARD.encode(&master));
    (line, hex::encode(&master))
}

/// By libsrtp.
fn protected(packets: &[Vec<u8>], key: &str) -> Result<Vec<Vec<u8>>> {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/media-server/tests/fidelity/protect.py");
    let mut python = Command::new("/usr/bin/python3")
        .arg(script)
        .args(["AES_CM_128_HMAC_SHA1_80", key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = python.stdin.take().context("stdin")?;
    let all: Vec<u8> =
        packets.iter().flat_map(|p| [&(p.len() as u16).to_be_bytes()[..], p].concat()).collect();
    let writer = std::thread::spawn(move || input.write_all(&all));
    let mut output = Vec::new();
    python.stdout.take().context("stdout")?.read_to_end(&mut output)?;
    writer.join().expect("it does not panic")?;
    ensure!(python.wait()?.success(), "packaging/setup.sh installs python3-pylibsrtp");
    let mut rest = &output[..];
    let mut out = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (packet, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        out.push(packet.to_vec());
        rest = after;
    }
    Ok(out)
}

/// The customer's phone takes another key in mid-call: the agent's phone is told it, and the recording goes on with it.
#[tokio::test]
async fn another_srtp_key_in_mid_call_is_told_to_the_other_phone_and_recorded() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let [(line_a, key_a), (line_1, key_1), (line_2, key_2)] = [1, 60, 90].map(crypto);
    let with = |line: &str| Media { crypto: Some(line.to_owned()), ..Media::pcmu() };
    let mut call = Call::start(&mut f, with(&line_a), with(&line_1)).await?;
    let first = call.agent.offered(1).await?;
    ensure!(first.contains(&line_1), "the agent's phone was not told the key: {first}");
    // One sender for the whole call: its count of packets goes on when the other's key changes.
    let ann = protected(&call.ann.packets(8 * SECOND), &key_a)?;
    let carl = [
        protected(&call.carl.packets(4 * SECOND), &key_1)?,
        protected(&call.carl.packets(4 * SECOND), &key_2)?,
    ];
    speak(&[(&call.agent, &ann[..4 * SECOND]), (&call.customer, &carl[0])]).await;
    let offers = call.agent.offers();
    call.customer.set_media(with(&line_2));
    ensure!(call.customer.reinvite().await?.status.is_success(), "the key was refused");
    let told = call.agent.offered(offers + 1).await?;
    ensure!(told.contains(&line_2), "the agent's phone was not told the new key: {told}");
    speak(&[(&call.agent, &ann[4 * SECOND..]), (&call.customer, &carl[1])]).await;
    let (console, found) = call.end(&f).await?;
    let files = media(&found, "voice");
    ensure!(files.len() == 1, "{found:#}");
    ensure!(!files[0].to_string().contains("did not open"), "{found:#}");
    let quality = files[0]["quality"].as_array().context("quality")?;
    ensure!(quality.iter().all(|track| track["lost"] == 0), "{quality:?}");
    let wave = wave_of(&console, files[0]).await?;
    for (channel, wav) in [(0, "agent.wav"), (1, "customer.wav")] {
        for said in [0.3..3.7, 4.3..7.7] {
            let found =
                heard(&wave, channel, (said.start - 0.3f64).max(0.0), &f.dir().join(wav), said.clone())?;
            println!("{wav} at {said:?}: {found:?}");
            ensure!(found.coefficient >= 0.95, "{wav} at {said:?}: {found:?}");
        }
    }
    f.scenario.site.stop().await
}

/// Nothing is bridged between SRTP and plain RTP: such a call is refused, and says so.
#[tokio::test]
async fn a_call_between_srtp_and_plain_rtp_is_refused() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let protected = Media { crypto: Some(crypto(7).0), ..Media::pcmu() };
    let refused = Call::start(&mut f, Media::pcmu(), protected).await;
    let why = refused.err().context("it was connected")?.to_string();
    println!("SRTP to a phone without: {why}");
    ensure!(why.contains("488"), "{why}");
    f.scenario.site.stop().await
}
