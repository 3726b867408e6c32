//! What is heard where a packet was lost: the voice goes on for a moment in its own pitch and fades (after ITU-T G.711
//! appendix I). Only in replay; what was recorded is never changed.

/// Remembered of what was heard, milliseconds.
const HISTORY_MS: usize = 60;
/// Pitches of voices, as lengths of a period, microseconds: 400 Hz to 66 Hz.
const PERIODS_US: std::ops::RangeInclusive<usize> = 2_500..=15_000;
/// What is compared to find the period, milliseconds.
const TEMPLATE_MS: usize = 12;
/// For so long the voice goes on undiminished, milliseconds.
const FULL_MS: usize = 10;
/// After this it has faded, milliseconds.
const FADED_MS: usize = 60;

/// The last moments of a track.
pub struct Concealer {
    /// Samples a second.
    rate: usize,
    history: Vec<i16>,
}

impl Concealer {
    /// Of a track at this sample rate that has not been heard yet.
    pub fn new(rate: u32) -> Self {
        Self { rate: rate as usize, history: Vec::new() }
    }

    /// Takes what is heard.
    pub fn heard(&mut self, samples: &[i16]) {
        self.history.extend_from_slice(samples);
        let most = HISTORY_MS * self.rate / 1000;
        if self.history.len() > most {
            self.history.drain(..self.history.len() - most);
        }
    }

    /// What was heard last, at most [`HISTORY_MS`].
    pub fn history(&self) -> &[i16] {
        &self.history
    }

    /// How it goes on, undiminished; nothing where nothing was heard.
    pub fn repeat(&self, count: usize) -> Vec<i16> {
        let Some(period) = self.period() else { return vec![0; count] };
        self.history[self.history.len() - period..].iter().copied().cycle().take(count).collect()
    }

    /// The same, as loud as it is sure to: a vowel goes on, a hiss does not.
    pub fn go_on(&self, count: usize) -> Vec<i16> {
        let level = self.period().map_or(0.0, |period| self.likeness(period, 1)).clamp(0.0, 1.0);
        self.repeat(count).into_iter().map(|sample| (f64::from(sample) * level) as i16).collect()
    }

    /// Fades what goes on from the moment of the loss on.
    pub fn fade(&self, samples: &mut [i16]) {
        self.fade_from(0, samples);
    }

    /// The same, `since` samples after that moment.
    pub fn fade_from(&self, since: usize, samples: &mut [i16]) {
        let (full, faded) = (FULL_MS * self.rate / 1000, FADED_MS * self.rate / 1000);
        for (n, sample) in (since..).zip(samples).skip_while(|(n, _)| *n < full) {
            let left = faded.saturating_sub(n) as i64;
            *sample = (i64::from(*sample) * left / (faded - full) as i64) as i16;
        }
    }

    /// The lag at which the last moments are most like what was before them.
    fn period(&self) -> Option<usize> {
        let template = TEMPLATE_MS * self.rate / 1000;
        let [least, most] = [PERIODS_US.start(), PERIODS_US.end()].map(|us| us * self.rate / 1_000_000);
        if self.history.len() < template + most {
            return None;
        }
        // As for a telephone's bandwidth, then to the sample.
        let stride = (self.rate / 8_000).max(1);
        let coarse = (least..=most).step_by(stride);
        let best = coarse.max_by(|a, b| self.likeness(*a, stride).total_cmp(&self.likeness(*b, stride)))?;
        let fine = (best + 1).saturating_sub(stride).max(least)..(best + stride).min(most + 1);
        fine.max_by(|a, b| self.likeness(*a, 1).total_cmp(&self.likeness(*b, 1)))
    }

    fn likeness(&self, lag: usize, stride: usize) -> f64 {
        let end = self.history.len();
        let from = end - TEMPLATE_MS * self.rate / 1000;
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for n in (from..end).step_by(stride) {
            let (x, y) = (f64::from(self.history[n]), f64::from(self.history[n - lag]));
            xy += x * y;
            xx += x * x;
            yy += y * y;
        }
        if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_goes_on_in_its_pitch_and_fades() {
        for rate in [8_000u32, 16_000, 48_000] {
            // 125 Hz with overtones: a period of 8 ms.
            let wave = |n: usize| {
                let phase = std::f64::consts::TAU * 125.0 * n as f64 / f64::from(rate);
                (phase.sin() * 6_000.0 + (3.0 * phase).sin() * 2_000.0) as i16
            };
            let ms = rate as usize / 1000;
            let mut concealer = Concealer::new(rate);
            concealer.heard(&(0..100 * ms).map(wave).collect::<Vec<_>>());
            let mut goes_on = concealer.go_on(80 * ms);
            for (n, sample) in goes_on.iter().enumerate() {
                let off = i32::from(*sample) - i32::from(wave(100 * ms + n));
                assert!(off.abs() < 500, "{rate} Hz, sample {n}: off by {off}");
            }
            concealer.fade(&mut goes_on);
            assert!(goes_on[9 * ms..10 * ms].iter().any(|sample| sample.abs() > 2_000));
            assert!(goes_on[60 * ms..].iter().all(|sample| *sample == 0));
        }
    }

    #[test]
    fn nothing_goes_on_from_nothing() {
        let mut concealer = Concealer::new(8_000);
        assert_eq!(concealer.go_on(5), [0; 5]);
        concealer.heard(&[1000; 20]);
        assert_eq!(concealer.go_on(5), [0; 5]);
    }
}
