//! Comparing what was played with what was recorded: normalised cross-correlation.

use anyhow::{Context, Result, ensure};
use realfft::RealFftPlanner;
use std::path::Path;

/// PCM of one WAV file: samples per channel, in [-1, 1].
pub struct Wave {
    pub rate: u32,
    pub channels: Vec<Vec<f32>>,
}

impl Wave {
    pub fn read(path: &Path) -> Result<Self> {
        let reader = hound::WavReader::open(path).with_context(|| format!("WAV {path:?}"))?;
        Self::collect(reader)
    }

    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::collect(hound::WavReader::new(bytes).context("WAV")?)
    }

    fn collect<R: std::io::Read>(reader: hound::WavReader<R>) -> Result<Self> {
        let spec = reader.spec();
        ensure!(spec.bits_per_sample == 16, "{} bits a sample", spec.bits_per_sample);
        let mut channels = vec![Vec::new(); usize::from(spec.channels)];
        for (i, sample) in reader.into_samples::<i16>().enumerate() {
            channels[i % usize::from(spec.channels)].push(f32::from(sample?) / 32768.0);
        }
        Ok(Self { rate: spec.sample_rate, channels })
    }

    /// The same sound at 8 kHz: what is below 4 kHz of it, so that it compares with speech of a telephone.
    pub fn narrowed(self) -> Self {
        let factor = (self.rate / 8000).max(1) as usize;
        let narrow = |channel: Vec<f32>| {
            let passed = low_pass(&channel, factor);
            passed.iter().step_by(factor).copied().collect()
        };
        let channels = self.channels.into_iter().map(|c| if factor == 1 { c } else { narrow(c) }).collect();
        Self { rate: self.rate / factor as u32, channels }
    }

    pub fn seconds(&self) -> f64 {
        self.channels.first().map_or(0.0, |c| c.len() as f64 / f64::from(self.rate))
    }
}

/// What of a sound is below a half of the `factor`th part of its sample rate: a windowed sinc of 16 zero crossings a side.
fn low_pass(sound: &[f32], factor: usize) -> Vec<f32> {
    let half = 16 * factor as i64;
    let kernel: Vec<f32> = (-half..=half)
        .map(|n| {
            let x = std::f32::consts::PI * n as f32 / factor as f32;
            let sinc = if n == 0 { 1.0 } else { x.sin() / x };
            let window = 0.5 + 0.5 * (std::f32::consts::PI * n as f32 / half as f32).cos();
            sinc * window / factor as f32
        })
        .collect();
    let at = |n: i64| usize::try_from(n).ok().and_then(|n| sound.get(n)).copied().unwrap_or(0.0);
    (0..sound.len() as i64)
        .map(|n| (-half..=half).zip(&kernel).map(|(k, weight)| at(n + k) * weight).sum())
        .collect()
}

/// How `recorded` follows `played`.
#[derive(Clone, Copy, Debug)]
pub struct Match {
    /// Where the start of `played` lies in `recorded`, samples (negative: the recording began later).
    pub lag: i64,
    /// Normalised correlation over the overlap at that lag, 0 to 1.
    pub coefficient: f64,
}

/// Finds `played` in `recorded`. A phone that repeats its file is given `played` as long as the recording.
pub fn find(played: &[f32], recorded: &[f32]) -> Match {
    let size = (played.len() + recorded.len()).next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let forward = planner.plan_fft_forward(size);
    let inverse = planner.plan_fft_inverse(size);
    let spectrum = |samples: &[f32]| {
        let mut padded = vec![0.0f32; size];
        padded[..samples.len()].copy_from_slice(samples);
        let mut out = forward.make_output_vec();
        forward.process(&mut padded, &mut out).expect("the lengths are the plan's own");
        out
    };
    let a = spectrum(played);
    let mut product = spectrum(recorded);
    for (r, p) in product.iter_mut().zip(&a) {
        *r *= p.conj();
    }
    product[0].im = 0.0;
    if let Some(last) = product.last_mut() {
        last.im = 0.0;
    }
    let mut correlation = inverse.make_output_vec();
    inverse.process(&mut product, &mut correlation).expect("the lengths are the plan's own");
    let best = (0..size).max_by(|&i, &j| correlation[i].total_cmp(&correlation[j])).unwrap_or(0);
    let lag = if best < recorded.len() { best as i64 } else { best as i64 - size as i64 };
    Match { lag, coefficient: coefficient_at(played, recorded, lag) }
}

/// Samples compared at a time by [`follow`], and how much apart from the one before a piece may come: where the machine
/// stands still for a moment, a phone is silent for it and goes on where it was, or catches up in small steps.
const PIECE: usize = 8_000;
const LATER: i64 = 4_000;
/// No more than this is lost that way altogether, samples.
const MOST_LATER: i64 = 8_000;
/// Nor does it come earlier than it began by more than this, samples.
const EARLIER: i64 = 400;

/// As [`find`]; where a single lag does not explain the recording, piece by piece. The lag is that of the first piece.
pub fn follow(played: &[f32], recorded: &[f32]) -> Match {
    let whole = find(played, recorded);
    if whole.coefficient >= 0.95 {
        return whole;
    }
    let first = find(&played[..played.len().min(2 * PIECE)], recorded).lag;
    let (mut lag, mut sums) = (first, [0.0f64; 3]);
    for (n, piece) in (0i64..).zip(played.chunks(PIECE)) {
        let start = n * PIECE as i64;
        let at = |lag: i64| products(piece, recorded, start + lag);
        let score = |lag: i64| coefficient(at(lag));
        let here = score(lag);
        let around = (lag - LATER).max(first - EARLIER)..=(lag + LATER).min(first + MOST_LATER);
        let better = around.max_by(|&a, &b| score(a).total_cmp(&score(b)));
        lag = better.filter(|&better| score(better) > here.max(0.5)).unwrap_or(lag);
        sums.iter_mut().zip(at(lag)).for_each(|(sum, product)| *sum += product);
    }
    Match { lag: first, coefficient: coefficient(sums) }
}

fn coefficient_at(played: &[f32], recorded: &[f32], lag: i64) -> f64 {
    coefficient(products(played, recorded, lag))
}

fn coefficient([xy, xx, yy]: [f64; 3]) -> f64 {
    if xx == 0.0 || yy == 0.0 { 0.0 } else { xy / (xx * yy).sqrt() }
}

/// Sums of the products of both and of the squares of each, over the overlap.
fn products(played: &[f32], recorded: &[f32], lag: i64) -> [f64; 3] {
    let from = lag.max(0) as usize;
    let skip = (-lag).max(0) as usize;
    let (Some(recorded), Some(played)) = (recorded.get(from..), played.get(skip..)) else { return [0.0; 3] };
    let (mut xy, mut xx, mut yy) = (0.0f64, 0.0f64, 0.0f64);
    for (&x, &y) in played.iter().zip(recorded) {
        xy += f64::from(x) * f64::from(y);
        xx += f64::from(x) * f64::from(x);
        yy += f64::from(y) * f64::from(y);
    }
    [xy, xx, yy]
}

/// Where Debian keeps the prompts of `asterisk-core-sounds-en-wav`: recorded human speech, 8 kHz, mono.
const PROMPTS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

/// Writes a WAV of these prompts, one after the other, for a phone to speak.
pub fn prompts(names: &[&str], to: &Path) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(to, spec)?;
    for name in names {
        let path = Path::new(PROMPTS).join(format!("{name}.wav"));
        let mut reader = hound::WavReader::open(&path)
            .with_context(|| format!("{path:?}: packaging/setup.sh installs the speech prompts"))?;
        ensure!(reader.spec() == spec, "{path:?} is not 8 kHz mono 16 bit");
        for sample in reader.samples::<i16>() {
            writer.write_sample(sample?)?;
        }
    }
    Ok(writer.finalize()?)
}

/// `samples` repeated without a break to at least `len`.
pub fn repeated(samples: &[f32], len: usize) -> Vec<f32> {
    samples.iter().copied().cycle().take(if samples.is_empty() { 0 } else { len }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn noise(len: usize, seed: u64) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn a_shifted_copy_is_found_and_a_stranger_is_not() {
        let played = noise(8000, 1);
        let mut recorded = vec![0.0; 1234];
        recorded.extend(&played);
        let found = find(&played, &recorded);
        assert_eq!(found.lag, 1234);
        assert!(found.coefficient > 0.999);
        let late = find(&played, &played[500..]);
        assert_eq!(late.lag, -500);
        assert!(find(&played, &noise(8000, 2)).coefficient < 0.2);
    }

    #[test]
    fn a_phone_that_stood_still_is_followed_and_one_that_says_something_else_is_not() {
        let (played, other) = (noise(40_000, 1), noise(40_000, 2));
        let mut recorded = vec![0.0; 40];
        recorded.extend(&played[..17_000]);
        recorded.extend([0.0; 1_640]);
        recorded.extend(&played[17_000..]);
        assert!(find(&played, &recorded).coefficient < 0.8);
        let found = follow(&played, &recorded);
        assert_eq!(found.lag, 40);
        assert!(found.coefficient >= 0.95, "{found:?}");
        assert!(follow(&other, &recorded).coefficient < 0.3);
    }
}
