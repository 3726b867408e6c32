//! What parties say, each codec's packets of it, and comparing it with what was recorded.

use hindsight_sip::sdp::Codec;
use std::{f64::consts::PI, path::Path};

/// Where Debian keeps the prompts of `asterisk-core-sounds-en-wav`: recorded human speech, 8 kHz, mono.
const PROMPTS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
/// Packets a second.
pub const PACKETS: usize = 50;
/// Lags that are tried, either way, samples at 8 kHz.
const MOST_LAG: i64 = 240;
/// Parts of a sample in which the lag is then looked for.
const FINE: usize = 8;

/// One party's speech, at 8 kHz.
pub fn speech(side: usize) -> Vec<i16> {
    let names = [["demo-congrats", "conf-adminmenu-162"], ["priv-callee-options", "demo-echotest"]][side];
    names.iter().flat_map(|name| prompt(name)).collect()
}

fn prompt(name: &str) -> Vec<i16> {
    let bytes = std::fs::read(Path::new(PROMPTS).join(format!("{name}.wav")))
        .expect("packaging/setup.sh installs the speech prompts");
    let data = bytes.windows(4).position(|window| window == b"data").unwrap() + 8;
    bytes[data..].chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
}

/// The same sound at `factor` times its sample rate.
fn raised(sound: &[i16], factor: usize) -> Vec<i16> {
    if factor == 1 {
        return sound.to_vec();
    }
    let half = 12i64;
    let weight = |x: f64| {
        let window = 0.5 + 0.5 * (PI * x / half as f64).cos();
        if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) * window }
    };
    let phases: Vec<Vec<f64>> = (0..factor)
        .map(|phase| (1 - half..=half).map(|k| weight(phase as f64 / factor as f64 - k as f64)).collect())
        .collect();
    let at = |n: i64| usize::try_from(n).ok().and_then(|n| sound.get(n)).map_or(0.0, |s| f64::from(*s));
    (0..sound.len() as i64 * factor as i64)
        .map(|n| {
            let (base, phase) = (n / factor as i64, (n % factor as i64) as usize);
            (1 - half..=half).zip(&phases[phase]).map(|(k, weight)| at(base + k) * weight).sum::<f64>() as i16
        })
        .collect()
}

/// The same sound at 8 kHz: what is below 4 kHz of it.
pub fn narrowed(sound: &[i16], factor: usize) -> Vec<f32> {
    if factor == 1 {
        return sound.iter().map(|sample| f32::from(*sample)).collect();
    }
    let half = 12 * factor as i64;
    let kernel: Vec<f32> = (-half..=half)
        .map(|n| {
            let x = PI * n as f64 / factor as f64;
            let sinc = if n == 0 { 1.0 } else { x.sin() / x };
            (sinc * (0.5 + 0.5 * (PI * n as f64 / half as f64).cos()) / factor as f64) as f32
        })
        .collect();
    let at = |n: i64| usize::try_from(n).ok().and_then(|n| sound.get(n)).map_or(0.0, |s| f32::from(*s));
    let places = (0..sound.len() as i64).step_by(factor);
    places.map(|n| (-half..=half).zip(&kernel).map(|(k, weight)| at(n + k) * weight).sum()).collect()
}

/// The payloads of a codec for a sound at 8 kHz, 20 ms each; `loss_told`: an Opus packet tells of the one before it too.
pub fn encoded(codec: Codec, sound: &[i16], loss_told: bool) -> Vec<Vec<u8>> {
    let rate = codec.sample_rate() as usize;
    let sound = raised(sound, rate / 8_000);
    let frames = sound.chunks_exact(rate / PACKETS);
    match codec {
        Codec::Pcmu => frames.map(|frame| frame.iter().map(|sample| mu_law(*sample)).collect()).collect(),
        Codec::Pcma => frames.map(|frame| frame.iter().map(|sample| a_law(*sample)).collect()).collect(),
        Codec::G722 => {
            use ezk_g722::libg722::{Bitrate, encoder::Encoder};
            let mut encoder = Encoder::new(Bitrate::Mode1_64000, false, false);
            frames.map(|frame| encoder.encode(frame)).collect()
        }
        Codec::Opus => {
            use opusic_c::{Application, Channels, Encoder, InbandFec, SampleRate};
            let mut encoder = Encoder::new(Channels::Mono, SampleRate::Hz48000, Application::Voip).unwrap();
            if loss_told {
                encoder.set_inband_fec(InbandFec::Mode1).unwrap();
                encoder.set_packet_loss(10).unwrap();
            }
            frames
                .map(|frame| {
                    let frame: Vec<u16> = frame.iter().map(|sample| sample.cast_unsigned()).collect();
                    let mut packet = vec![0; 1500];
                    let length = encoder.encode_to_slice(&frame, &mut packet).unwrap();
                    packet.truncate(length);
                    packet
                })
                .collect()
        }
    }
}

/// ITU-T G.711, table 2.
fn mu_law(sample: i16) -> u8 {
    let magnitude = i32::from(sample).abs().min(32_635) + 0x84;
    let exponent = (31 - magnitude.leading_zeros() as i32 - 7).max(0);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (exponent << 4) | mantissa) as u8
}

/// ITU-T G.711, table 1.
fn a_law(sample: i16) -> u8 {
    let positive = sample >= 0;
    let magnitude = (if positive { i32::from(sample) } else { -i32::from(sample) - 1 }).min(32_767) >> 4;
    let exponent =
        if magnitude < 32 { i32::from(magnitude >= 16) } else { 28 - magnitude.leading_zeros() as i32 };
    let mantissa = (magnitude >> (exponent - 1).max(0)) & 0x0f;
    ((exponent << 4 | mantissa) as u8 | if positive { 0x80 } else { 0 }) ^ 0x55
}

/// How a recorded stretch follows what was said: added up over stretches, each at its own lag.
#[derive(Clone, Copy, Debug, Default)]
pub struct Likeness {
    xy: f64,
    xx: f64,
    yy: f64,
    /// Where the said lies in the recorded, the furthest of all stretches, samples at 8 kHz; positive: later.
    pub lag: i64,
}

impl Likeness {
    /// Normalised correlation.
    pub fn coefficient(&self) -> f64 {
        self.xy / (self.xx * self.yy).sqrt().max(1.0)
    }

    /// The furthest lag, milliseconds.
    pub fn offset_ms(&self) -> f64 {
        self.lag as f64 / 8.0
    }

    /// Of two sounds of one length that should be the same.
    pub fn of(said: &[f32], recorded: &[f32]) -> Self {
        let at = |said: &[f32], lag: i64| {
            let (said, recorded) = if lag >= 0 {
                (said, recorded.get(lag as usize..).unwrap_or_default())
            } else {
                (said.get(-lag as usize..).unwrap_or_default(), recorded)
            };
            let mut found = Self { lag, ..Self::default() };
            for (x, y) in said.iter().zip(recorded) {
                found.xy += f64::from(x * y);
                found.xx += f64::from(x * x);
                found.yy += f64::from(y * y);
            }
            found
        };
        let best = |of: &mut dyn Iterator<Item = Self>| {
            of.max_by(|a, b| a.coefficient().total_cmp(&b.coefficient())).unwrap_or_default()
        };
        let whole = best(&mut (-MOST_LAG..=MOST_LAG).map(|lag| at(said, lag)));
        // Between two samples of 8 kHz too: a codec's delay is no whole number of them, and a clock drifts.
        let shifted = (1..FINE).map(|part| {
            let samples: Vec<i16> = said.iter().map(|sample| *sample as i16).collect();
            let fine = raised(&samples, FINE);
            fine.iter().skip(part).step_by(FINE).map(|sample| f32::from(*sample)).collect::<Vec<f32>>()
        });
        let between = shifted.flat_map(|said| [at(&said, whole.lag), at(&said, whole.lag + 1)]);
        best(&mut std::iter::once(whole).chain(between))
    }

    /// Whether anything was said to speak of: the lag of silence means nothing.
    pub fn is_telling(&self) -> bool {
        self.xx > 8_000.0 * 100.0 * 100.0
    }

    pub fn add(&mut self, other: &Self) {
        self.xy += other.xy;
        self.xx += other.xx;
        self.yy += other.yy;
        if other.is_telling() && other.lag.abs() > self.lag.abs() {
            self.lag = other.lag;
        }
    }
}
