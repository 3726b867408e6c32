//! One pause for voice and screen: pressed in the agent's window in the middle of card entry.

use crate::{
    call::wave_of,
    fixture::Fixture,
    network::{Packet, Trace},
    plaintext::{Forbidden, files_below},
    screen::{HEIGHT, WIDTH, frames, unix_ms},
};
use anyhow::{Context, Result, ensure};
use hindsight_agent_core::scene::read_clock;
use hindsight_local::{Client, socket_path};
use hindsight_tests::{
    console::{Console, media},
    process::run,
    scenario::{AGENT_LOGIN, CUSTOMER_DN, Scenario, talk},
};
use hindsight_wire::{
    InteractionId, Timestamp,
    agent::{AgentAction, RecordingState},
    component::RecordingAction,
    local::{Ask, CaptureState, DesktopStatus, TrayState},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, time::Duration};

/// A voice that could not be paused is asked for again every 15 s.
const LIMIT: Duration = Duration::from_secs(40);
const REASON: &str = "card entry";

/// Noise that is nowhere the same twice: what was said in the pause can be told from everything else.
pub fn write_noise(path: &Path, seed: u64) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut rng = StdRng::seed_from_u64(seed);
    let mut writer = hound::WavWriter::create(path, spec)?;
    for _ in 0..8000 * 90 {
        writer.write_sample(rng.random_range(-12_000..12_000i16))?;
    }
    Ok(writer.finalize()?)
}

/// The agent's window, without a window.
pub struct Window {
    pub client: Client,
}

impl Window {
    pub async fn open(scenario: &Scenario) -> Result<Self> {
        let path = socket_path(&scenario.dir.join("desktop/data"));
        Ok(Self { client: Client::connect(&path).await? })
    }

    /// Waits until the recorder shows what is wanted; what it showed last is told otherwise.
    pub async fn until(
        &self,
        what: &str,
        wanted: impl FnMut(&DesktopStatus) -> bool,
    ) -> Result<DesktopStatus> {
        let mut status = self.client.status();
        let shown = tokio::time::timeout(LIMIT, status.wait_for(wanted)).await;
        let shown = shown.map(|shown| shown.map(|status| status.clone()));
        match shown {
            Ok(status) => Ok(status.with_context(|| format!("{what}: the recorder is gone"))?),
            Err(_) => anyhow::bail!("{what}: not within {LIMIT:?}: {:#?}", status.borrow().clone()),
        }
    }

    pub async fn recording(&self, interaction: InteractionId, action: RecordingAction) -> Result<(), String> {
        let reason = REASON.to_owned();
        let ask = Ask::Agent(AgentAction::Recording { interaction, action, reason });
        self.client.request(ask).await.map(drop)
    }
}

/// Row 6: neither voice nor screen of the span exists anywhere; resume goes on in the same recording; both are proved.
#[tokio::test]
async fn card_entry_under_a_pause_exists_nowhere_and_the_recording_goes_on() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 10");
    write_noise(&f.dir().join("agent.wav"), 1)?;
    write_noise(&f.dir().join("customer.wav"), 2)?;
    f.scenario.site.start().await?;
    let (_display, mut recorder) = f.scenario.desktop("clock", (WIDTH as u32, HEIGHT as u32), "x11").await?;
    let window = Window::open(&f.scenario).await?;
    let status =
        window.until("the agent", |status| !status.person.as_ref().is_none_or(|p| p.name.is_empty())).await?;
    assert_eq!(status.person.map(|person| person.login).as_deref(), Some(AGENT_LOGIN));
    let mut trace = Trace::start(f.dir(), &f.scenario.site.ports).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let recorded = |status: &DesktopStatus| {
        status.capture == CaptureState::Recording
            && status.monitors == 1
            && status.interactions.iter().any(|view| view.voice == RecordingState::Recording)
    };
    let status = window.until("voice and screens recorded", recorded).await?;
    assert_eq!(status.tray, TrayState::Recording, "{:?}", status.problems);
    let interaction = status.interactions[0].id;
    talk(Duration::from_secs(4)).await;

    let pressed = Timestamp::now();
    let answer = window.recording(interaction, RecordingAction::Pause).await;
    let confirmed = Timestamp::now();
    answer.map_err(anyhow::Error::msg).context("the pause")?;
    let paused = |status: &DesktopStatus| {
        status.tray == TrayState::Paused
            && status.capture == CaptureState::Paused
            && status.interactions.iter().any(|view| view.voice == RecordingState::Paused)
    };
    let status = window.until("voice and screens paused", paused).await?;
    let pause = status.pause.context("the window says why")?;
    assert_eq!((pause.by.as_str(), pause.reason.as_str(), pause.voice_not), (AGENT_LOGIN, REASON, None));
    println!("pressed to confirmed {} ms", confirmed.ms_since(pressed));
    talk(Duration::from_secs(5)).await;

    let released = Timestamp::now();
    window
        .recording(interaction, RecordingAction::Resume)
        .await
        .map_err(anyhow::Error::msg)
        .context("resume")?;
    let resumed = Timestamp::now();
    window.until("voice and screens recorded again", recorded).await?;
    talk(Duration::from_secs(4)).await;
    customer.hang_up().await?;
    window.until("nothing more to record", |status| status.capture == CaptureState::Idle).await?;
    let console = f.console().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    trace.stop().await?;
    recorder.terminate(Duration::from_secs(20)).await?;

    let span = Span { pressed, confirmed, released, resumed };
    span.in_both_manifests(&call)?;
    span.not_seen(&console, &call).await?;
    silent(&console, &call).await?;
    let opened = open_all(&f.scenario, &call)?;
    f.scenario.site.stop().await?;
    span.nowhere(&trace.voice_to_media_server()?, &opened, f.dir())
}

/// When the pause was pressed, confirmed, pressed away, and over.
struct Span {
    pressed: Timestamp,
    confirmed: Timestamp,
    released: Timestamp,
    resumed: Timestamp,
}

impl Span {
    /// One recording each; both signed manifests name the same span and why it is missing.
    fn in_both_manifests(&self, call: &Value) -> Result<()> {
        let begin = unix_ms(&call["startTime"])?;
        for kind in ["voice", "screen"] {
            let files = media(call, kind);
            ensure!(files.len() == 1, "{kind}: {} recordings; the pause began another", files.len());
            let file = files[0];
            let pauses = file["pauses"].as_array().context("pauses")?;
            ensure!(pauses.len() == 1, "{kind}: {pauses:?}");
            assert_eq!(pauses[0]["reason"], REASON, "{kind}");
            let at = begin + file["offsetMs"].as_f64().context("offsetMs")?;
            let from = at + pauses[0]["fromMs"].as_f64().context("fromMs")?;
            let to = at + pauses[0]["toMs"].as_f64().context("toMs")?;
            let ms = |at: Timestamp| at.0 as f64 / 1000.0;
            println!(
                "{kind}: paused {:.0} ms after it was pressed, until {:.0} ms after it was pressed away",
                from - ms(self.pressed),
                to - ms(self.released)
            );
            assert!(from > ms(self.pressed) - 60.0 && from < ms(self.confirmed) + 60.0, "{kind}");
            assert!(to > ms(self.released) - 60.0 && to < ms(self.resumed) + 250.0, "{kind}");
        }
        Ok(())
    }

    /// The screen shows the time; no picture shows one of the pause.
    async fn not_seen(&self, console: &Console, call: &Value) -> Result<()> {
        let file = *media(call, "screen").first().context("no screen")?;
        let movie = console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?;
        let near = self.pressed.0 as u64 / 1000;
        let pictures = frames(&movie)?;
        let seen: Vec<i64> = pictures
            .iter()
            .filter_map(|(_, picture)| read_clock(picture, WIDTH, near))
            .map(|ms| ms as i64)
            .collect();
        let (from, to) = (self.pressed.0 / 1000, self.released.0 / 1000);
        let last = seen.iter().filter(|at| **at < (from + to) / 2).max().context("nothing seen before")?;
        let first = seen.iter().filter(|at| **at >= (from + to) / 2).min().context("nothing seen after")?;
        println!(
            "{} pictures, clock read on {}: the last {} ms after the press, the first {} ms after it was pressed away",
            pictures.len(),
            seen.len(),
            last - from,
            first - to
        );
        // The press reaches the capture over a socket.
        assert!(*last <= from + 50, "a picture of {} ms after the press", last - from);
        // The first picture shows what stands on the screen when the pause ends, drawn up to a moment before.
        assert!(*first >= to - 200, "a picture of {} ms before the end of the pause", to - first);
        Ok(())
    }

    /// What phones said in the span is in no recording, opened or sealed, nor in any other file.
    fn nowhere(&self, packets: &[Packet], opened: &BTreeMap<String, Vec<u8>>, dir: &Path) -> Result<()> {
        let of = |from: Timestamp, to: Timestamp| {
            let mut by_leg: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
            let seconds = |at: Timestamp| at.0 as f64 / 1e6;
            for packet in packets.iter().filter(|p| p.at >= seconds(from) && p.at < seconds(to)) {
                by_leg.entry(packet.to_port).or_default().extend(&packet.payload);
            }
            by_leg
        };
        let mut forbidden = Forbidden::default();
        for voice in of(self.confirmed, self.released).values() {
            ensure!(voice.len() > 30_000, "too little was said in the pause: {} bytes", voice.len());
            forbidden.add(voice);
        }
        let before = Timestamp(self.pressed.0 - 3_000_000);
        let mut recorded = 0;
        let mut control = Forbidden::default();
        // 160 octets a packet: a window within one packet is as it was recorded.
        for packet in
            packets.iter().filter(|p| p.at >= before.0 as f64 / 1e6 && p.at < self.pressed.0 as f64 / 1e6)
        {
            control.add(&packet.payload);
        }
        for (id, media) in opened {
            let found = forbidden.found_in(media);
            ensure!(found == 0, "{found} windows of the paused voice are in recording {id}");
            recorded += control.found_in(media);
        }
        ensure!(recorded > 10_000, "the search finds not even what was recorded: {recorded}");
        let mut searched = 0;
        for root in [dir.join("data"), dir.join("desktop")] {
            for path in files_below(&root)? {
                let bytes = std::fs::read(&path)?;
                searched += bytes.len();
                let found = forbidden.found_in(&bytes);
                ensure!(found == 0, "{found} windows of the paused voice lie in {path:?}");
            }
        }
        println!(
            "{} windows of the pause looked for in {} opened recordings and {} KB of files: none; {recorded} of before it found",
            forbidden.count(),
            opened.len(),
            searched / 1024
        );
        Ok(())
    }
}

/// Replayed, the pause is silence on both tracks, and speech before and after it.
pub async fn silent(console: &Console, call: &Value) -> Result<()> {
    let file = *media(call, "voice").first().context("no voice")?;
    let wave = wave_of(console, file).await?;
    let pause = &file["pauses"][0];
    let (from, to) = (pause["fromMs"].as_u64().context("from")?, pause["toMs"].as_u64().context("to")?);
    for (channel, samples) in wave.channels.iter().enumerate() {
        let loudest = |from: u64, to: u64| {
            let at = |ms: u64| (ms as usize * 8).min(samples.len());
            samples[at(from)..at(to)].iter().fold(0f32, |loudest, sample| loudest.max(sample.abs()))
        };
        assert_eq!(loudest(from + 20, to - 20), 0.0, "channel {channel} has sound in the pause");
        assert!(loudest(from - 1000, from - 100) > 0.1, "channel {channel} before the pause");
        assert!(loudest(to + 200, to + 1200) > 0.1, "channel {channel} after the pause");
    }
    Ok(())
}

/// The media of every recording of a call as it was recorded, by the exported key.
fn open_all(scenario: &Scenario, call: &Value) -> Result<BTreeMap<String, Vec<u8>>> {
    let dir = scenario.dir.join("opened");
    std::fs::create_dir_all(&dir)?;
    let key = dir.join("key.pem");
    run(scenario.site.server()?.args(["key", "export", "--out"]).arg(&key))?;
    let mut opened = BTreeMap::new();
    for file in media(call, "voice").into_iter().chain(media(call, "screen")) {
        let id = file["id"].as_str().context("id")?;
        let exported = dir.join(id);
        run(scenario.site.server()?.args(["recording", "export", id, "--out"]).arg(&exported))?;
        let sealed =
            files_below(&exported)?.into_iter().find(|path| path.extension().is_some_and(|e| e == "sealed"));
        let out = dir.join(format!("{id}.media"));
        run(scenario
            .site
            .server()?
            .args(["recording", "open"])
            .arg(sealed.context("no sealed file")?)
            .arg("--key")
            .arg(&key)
            .args(["--recording", id])
            .arg("--out")
            .arg(&out))?;
        opened.insert(id.to_owned(), std::fs::read(&out)?);
    }
    Ok(opened)
}

/// The server is gone when the pause is pressed: the screens are paused all the same, the window says that the voice is
/// not, and the server is asked as soon as it is back.
#[tokio::test]
async fn a_pause_pressed_while_the_server_is_away_holds_the_screens_and_reaches_the_voice_later() -> Result<()>
{
    let mut f = Fixture::new("frame_rate = 10");
    f.scenario.site.start_apart().await?;
    let (_display, mut recorder) = f.scenario.desktop("clock", (WIDTH as u32, HEIGHT as u32), "x11").await?;
    let window = Window::open(&f.scenario).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let both =
        |status: &DesktopStatus| status.capture == CaptureState::Recording && !status.interactions.is_empty();
    let interaction = window.until("the call", both).await?.interactions[0].id;
    f.scenario.site.kill("web-services")?;
    window.until("no link", |status| status.link == hindsight_wire::local::LinkState::Down).await?;
    let pressed = Timestamp::now();
    let refused = window.recording(interaction, RecordingAction::Pause).await.expect_err("nobody to ask");
    assert!(refused.contains("the screens are paused, the voice is not"), "{refused}");
    let held = |status: &DesktopStatus| {
        status.capture == CaptureState::Paused
            && status.pause.as_ref().is_some_and(|pause| pause.voice_not.is_some())
    };
    window.until("paused, and why the voice is not", held).await?;
    f.scenario.site.start_roles("web-services", &["web-services"]).await?;
    let whole = |status: &DesktopStatus| {
        status.pause.as_ref().is_some_and(|pause| pause.voice_not.is_none())
            && status.interactions.iter().any(|view| view.voice == RecordingState::Paused)
    };
    window.until("the voice paused too", whole).await?;
    let released = Timestamp::now();
    window
        .recording(interaction, RecordingAction::Resume)
        .await
        .map_err(anyhow::Error::msg)
        .context("resume")?;
    window.until("recorded again", both).await?;
    talk(Duration::from_secs(2)).await;
    customer.hang_up().await?;
    let console = f.console().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    recorder.terminate(Duration::from_secs(20)).await?;
    let span = Span { pressed, confirmed: pressed, released, resumed: released };
    span.not_seen(&console, &call).await?;
    f.scenario.site.stop().await
}
