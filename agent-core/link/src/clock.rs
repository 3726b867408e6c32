//! The device's clock against the server's: the formula of NTP (RFC 5905, 8), the best of several round trips, and a
//! drift from measurements far enough apart. Pure: every time is an argument.

use hindsight_wire::ClockOffset;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Exchanges per measurement; the one with the smallest round trip is kept.
pub const EXCHANGES: u32 = 5;
/// Between the exchanges of one measurement.
const EXCHANGE_GAP: Duration = Duration::from_millis(200);
/// From one measurement to the next.
const MEASUREMENT_GAP: Duration = Duration::from_secs(60);
/// The first measurements of a link come sooner, so that short recordings have a drift too.
const EARLY_GAP: Duration = Duration::from_secs(15);
const EARLY: u32 = 3;

/// Measurements kept: half an hour.
const KEPT: usize = 30;
/// A drift needs measurements at least this far apart, microseconds,
const MIN_SPAN_US: i64 = 10_000_000;
/// and known to at most this error, parts per million.
const MAX_DRIFT_ERROR_PPM: f64 = 200.0;
/// No clock drifts faster, parts per million: what does was set.
const MAX_DRIFT_PPM: f64 = 20_000.0;
/// Allowed beside the error of the measurements before a clock counts as set, microseconds.
const STEP_US: f64 = 20_000.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measurement {
    /// Device clock.
    at_us: i64,
    offset_us: i64,
    round_trip_us: u64,
}

/// Turns clock exchanges into an offset and a drift.
#[derive(Clone, Debug, Default)]
pub struct ClockEstimator {
    kept: VecDeque<Measurement>,
    best: Option<Measurement>,
}

impl ClockEstimator {
    /// Takes one exchange: sent and received by the device's clock, in between by the server's; microseconds. One that
    /// cannot be (a clock was set meanwhile) is ignored.
    pub fn sample(&mut self, sent_us: i64, server_received_us: i64, server_sent_us: i64, received_us: i64) {
        let there = i128::from(server_received_us) - i128::from(sent_us);
        let back = i128::from(server_sent_us) - i128::from(received_us);
        let (Ok(offset_us), Ok(round_trip_us)) =
            (i64::try_from((there + back) / 2), u64::try_from(there - back))
        else {
            return;
        };
        if self.best.is_none_or(|best| round_trip_us < best.round_trip_us) {
            self.best = Some(Measurement { at_us: received_us, offset_us, round_trip_us });
        }
    }

    /// Ends a measurement: the best of its exchanges is kept.
    pub fn finish_measurement(&mut self) {
        let Some(best) = self.best.take() else { return };
        if self.kept.back().is_some_and(|last| was_set(*last, best)) {
            self.kept.clear();
        }
        self.kept.push_back(best);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// Forgets everything: the device's clock was set.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The offset as known now; `None` before the first exchange.
    pub fn offset(&self) -> Option<ClockOffset> {
        let newest = self.kept.back().copied().or(self.best)?;
        Some(ClockOffset {
            offset_us: newest.offset_us,
            round_trip_us: newest.round_trip_us,
            measured_at_us: newest.at_us,
            drift_ppm: self.drift_ppm(newest).unwrap_or(0.0),
        })
    }

    /// Slope between the newest measurement and the older one that bounds its error best.
    fn drift_ppm(&self, newest: Measurement) -> Option<f64> {
        let candidates = self.kept.iter().filter_map(|older| {
            let span_us = newest.at_us.checked_sub(older.at_us).filter(|span| *span >= MIN_SPAN_US)? as f64;
            let error_ppm = uncertainty_us(*older, newest) / span_us * 1e6;
            let drift_ppm = (newest.offset_us - older.offset_us) as f64 / span_us * 1e6;
            (error_ppm <= MAX_DRIFT_ERROR_PPM).then_some((error_ppm, drift_ppm))
        });
        candidates.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, drift_ppm)| drift_ppm)
    }
}

/// How far the difference of two offsets may be off: half of each round trip.
fn uncertainty_us(a: Measurement, b: Measurement) -> f64 {
    (a.round_trip_us as f64 + b.round_trip_us as f64) / 2.0
}

/// Whether a clock was set between two measurements.
fn was_set(older: Measurement, newer: Measurement) -> bool {
    let span_us = newer.at_us.saturating_sub(older.at_us);
    let change_us = newer.offset_us.saturating_sub(older.offset_us).unsigned_abs() as f64;
    span_us < 0 || change_us > span_us as f64 * MAX_DRIFT_PPM / 1e6 + uncertainty_us(older, newer) + STEP_US
}

/// When to ask the server for its clock.
#[derive(Clone, Debug)]
pub struct ClockSchedule {
    next: Instant,
    sent: u32,
    measurements: u32,
}

/// What the schedule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockTask {
    /// One exchange.
    Exchange,
    /// The exchanges of a measurement are over.
    Finish,
}

impl ClockSchedule {
    /// A link opened: measure at once.
    pub fn new(now: Instant) -> Self {
        Self { next: now, sent: 0, measurements: 0 }
    }

    /// When [`ClockSchedule::poll`] has something next.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// What is due.
    pub fn poll(&mut self, now: Instant) -> Option<ClockTask> {
        if now < self.next {
            return None;
        }
        if self.sent < EXCHANGES {
            self.sent += 1;
            self.next = now + EXCHANGE_GAP;
            return Some(ClockTask::Exchange);
        }
        self.sent = 0;
        self.measurements += 1;
        self.next = now + if self.measurements < EARLY { EARLY_GAP } else { MEASUREMENT_GAP };
        Some(ClockTask::Finish)
    }
}

/// Notices that the system clock was set, by comparing it with the monotonic one.
#[derive(Clone, Copy, Debug)]
pub struct StepDetector {
    at: Instant,
    clock_us: i64,
}

impl StepDetector {
    /// Starts comparing.
    pub fn new(at: Instant, clock_us: i64) -> Self {
        Self { at, clock_us }
    }

    /// Whether the clock jumped since the last look.
    pub fn stepped(&mut self, at: Instant, clock_us: i64) -> bool {
        let elapsed_us = at.saturating_duration_since(self.at).as_micros() as f64;
        let moved_us = (clock_us.saturating_sub(self.clock_us)) as f64;
        *self = Self { at, clock_us };
        (moved_us - elapsed_us).abs() > elapsed_us * MAX_DRIFT_PPM / 1e6 + STEP_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    /// The device's clock when the server's shows `server_us`.
    fn device(server_us: i64, behind_us: i64, drift: f64) -> i64 {
        server_us - behind_us - (server_us as f64 * drift) as i64
    }

    fn measure(estimator: &mut ClockEstimator, rng: &mut StdRng, at_us: i64, behind_us: i64, drift: f64) {
        for exchange in 0..i64::from(EXCHANGES) {
            let sent = at_us + exchange * 200_000;
            let received = sent + 300 + rng.random_range(0..20_000);
            let answered = received + rng.random_range(0..500);
            let back = answered + 300 + rng.random_range(0..20_000);
            let device = |at| device(at, behind_us, drift);
            estimator.sample(device(sent), received, answered, device(back));
        }
        estimator.finish_measurement();
    }

    #[test]
    fn a_clock_three_seconds_slow_and_drifting_is_followed_through_jitter() {
        for seed in 0..50 {
            let (mut estimator, mut rng) = (ClockEstimator::default(), StdRng::seed_from_u64(seed));
            for minute in 0..20 {
                measure(&mut estimator, &mut rng, minute * 60_000_000, 3_000_000, 0.000_4);
            }
            let clock = estimator.offset().unwrap();
            let server = 25 * 60_000_000;
            let told = clock.to_server(hindsight_wire::Timestamp(device(server, 3_000_000, 0.000_4))).0;
            assert!((told - server).abs() < 15_000, "seed {seed}: {} µs off", told - server);
            assert!((clock.drift_ppm - 400.0).abs() < 20.0, "seed {seed}: drift {}", clock.drift_ppm);
        }
    }

    #[test]
    fn the_exchange_with_the_smallest_round_trip_wins() {
        let mut estimator = ClockEstimator::default();
        estimator.sample(0, 105_000, 105_000, 110_000);
        estimator.sample(200_000, 300_500, 300_500, 201_000);
        estimator.sample(400_000, 590_000, 590_000, 600_000);
        estimator.finish_measurement();
        let clock = estimator.offset().unwrap();
        assert_eq!((clock.offset_us, clock.round_trip_us), (100_000, 1_000));
        assert_eq!(clock.drift_ppm, 0.0);
    }

    #[test]
    fn no_drift_is_told_from_measurements_too_close_or_too_coarse() {
        let mut estimator = ClockEstimator::default();
        for (at, offset, round_trip) in [(0, 0, 100), (5_000_000, 40, 100), (14_000_000, 500, 200_000)] {
            estimator.sample(at, at + offset + round_trip / 2, at + offset + round_trip / 2, at + round_trip);
            estimator.finish_measurement();
            assert_eq!(estimator.offset().unwrap().drift_ppm, 0.0);
        }
    }

    #[test]
    fn a_clock_that_was_set_is_measured_anew() {
        let (mut estimator, mut rng) = (ClockEstimator::default(), StdRng::seed_from_u64(7));
        measure(&mut estimator, &mut rng, 0, 0, 0.0);
        measure(&mut estimator, &mut rng, 60_000_000, 0, 0.0);
        measure(&mut estimator, &mut rng, 120_000_000, 3_600_000_000, 0.0);
        let clock = estimator.offset().unwrap();
        assert!((clock.offset_us - 3_600_000_000).abs() < 20_000);
        assert_eq!(clock.drift_ppm, 0.0);
    }

    #[test]
    fn exchanges_that_cannot_be_are_ignored() {
        let mut estimator = ClockEstimator::default();
        estimator.sample(1_000, 5, 5, 0);
        estimator.sample(i64::MIN, i64::MAX, i64::MIN, i64::MAX);
        assert_eq!(estimator.offset(), None);
    }

    #[test]
    fn a_link_is_measured_at_once_then_each_minute() {
        let start = Instant::now();
        let mut schedule = ClockSchedule::new(start);
        let (mut now, mut finished) = (start, Vec::new());
        while finished.len() < 5 {
            match schedule.poll(now) {
                Some(ClockTask::Finish) => finished.push((now - start).as_secs()),
                Some(ClockTask::Exchange) => {}
                None => now = schedule.next(),
            }
        }
        assert_eq!(finished, [1, 17, 33, 94, 155]);
    }

    #[test]
    fn a_set_clock_is_noticed_and_a_drifting_one_is_not() {
        let start = Instant::now();
        let mut detector = StepDetector::new(start, 0);
        assert!(!detector.stepped(start + Duration::from_secs(5), 5_050_000));
        assert!(detector.stepped(start + Duration::from_secs(10), 8_000_000));
        assert!(!detector.stepped(start + Duration::from_secs(15), 13_000_000));
    }
}
