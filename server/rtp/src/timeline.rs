//! Where a packet belongs in wall-clock time.
//!
//! Within a run of packets RTP time is exact and arrival is jittered, so RTP time decides. Across a jump (a sender that
//! stopped its clock on hold, another SSRC, a clock that drifts) only arrival keeps the recording as long as the call,
//! so arrival decides: the *deviation* of a packet is its arrival less its place by RTP time, and the smallest deviation
//! of several packets is that of the one with the least delay.
//!
//! Drift is what arrival shows over tens of seconds. A sender whose reports say the same tells it better
//! ([`crate::sender_clock`]): then its word decides, and a network that is late for minutes moves nothing.

use crate::sender_clock::SenderClock;

/// A deviation beyond this is a jump, microseconds.
pub const JUMP_US: i64 = 200_000;
/// Drift is watched over spans of this length, microseconds: long enough for a busy sender to be in time once.
const DRIFT_WINDOW_US: i64 = 20_000_000;
/// At the start of a run, and while it is [`FAR_US`] off, over spans of this length, microseconds.
const SHORT_WINDOW_US: i64 = 5_000_000;
/// So far off is a sender that stood still and has caught up, not a clock that drifts, microseconds.
const FAR_US: i64 = 20_000;
/// A drift smaller than this is left alone, microseconds.
const DRIFT_LIMIT_US: i64 = 4_000;
/// The largest step by which drift is corrected at a time, microseconds. Half of what is found is corrected, so that a
/// clock that drifts moves by a millisecond or two now and then, which nobody hears, and a longer way is followed soon.
const DRIFT_STEP_US: i64 = 10_000;
/// A drift smaller than this by the sender's own word is left alone, microseconds.
const SENDER_LIMIT_US: i64 = 2_000;
/// The first packet of a run may have come so much later or earlier than those that follow; that is no drift, and the run
/// stays where it began, microseconds.
const FIRST_LIMIT_US: i64 = 10_000;

/// RTP time of one source mapped to microseconds since the start of the recording.
#[derive(Clone, Debug)]
pub struct Timeline {
    clock_rate: i64,
    /// Extended RTP time `anchor_ticks` is at `anchor_us`.
    anchor_ticks: i64,
    anchor_us: i64,
    /// The least deviation of the run's first span: that of the first packet, not of the clock.
    first_us: Option<i64>,
    /// How long the next span is.
    watch_us: i64,
    window: Option<Window>,
    sender: SenderClock,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    until_us: i64,
    least_us: i64,
}

impl Timeline {
    /// Starts with RTP time `ticks` at `us`.
    pub fn start(clock_rate: u32, ticks: i64, us: i64) -> Self {
        Self {
            clock_rate: i64::from(clock_rate.max(1)),
            anchor_ticks: ticks,
            anchor_us: us,
            first_us: None,
            watch_us: SHORT_WINDOW_US,
            window: None,
            sender: SenderClock::default(),
        }
    }

    /// The place of a packet by its RTP time.
    pub fn place(&self, ticks: i64) -> i64 {
        self.anchor_us + self.since_anchor_us(ticks)
    }

    fn since_anchor_us(&self, ticks: i64) -> i64 {
        let (ticks, rate) = (ticks - self.anchor_ticks, self.clock_rate);
        ticks / rate * 1_000_000 + ticks % rate * 1_000_000 / rate
    }

    /// Arrival less place.
    pub fn deviation(&self, ticks: i64, arrival_us: i64) -> i64 {
        arrival_us - self.place(ticks)
    }

    /// Moves everything that follows.
    pub fn shift(&mut self, by_us: i64) {
        self.anchor_us += by_us;
        self.first_us = None;
        self.watch_us = SHORT_WINDOW_US;
        self.window = None;
        self.sender.restart();
    }

    /// Takes a report of the sender that arrived: RTP time `ticks` was at `ntp` (32.32 bits of seconds) of its wall clock.
    pub fn report(&mut self, ntp: u64, ticks: i64, arrival_us: i64) {
        self.sender.report(ntp, self.since_anchor_us(ticks), arrival_us);
        self.follow_sender(arrival_us);
    }

    /// Corrects by the sender's word; false when it is not believed.
    fn follow_sender(&mut self, now_us: i64) -> bool {
        let Some(lag_us) = self.sender.lag_us(now_us) else { return false };
        if lag_us.abs() > SENDER_LIMIT_US {
            self.step(lag_us);
        }
        true
    }

    /// Half of what is found, and not far at a time.
    fn step(&mut self, drift_us: i64) {
        let by_us = (drift_us / 2).clamp(-DRIFT_STEP_US, DRIFT_STEP_US);
        self.anchor_us += by_us;
        self.sender.moved(by_us);
        // What the window has seen was seen from where the timeline was.
        if let Some(window) = self.window.as_mut() {
            window.least_us -= by_us;
        }
    }

    /// Watches a delivered packet for drift; corrects in small steps, seldom.
    pub fn observe(&mut self, ticks: i64, arrival_us: i64) {
        let deviation = self.deviation(ticks, arrival_us);
        let until_us = arrival_us + self.watch_us;
        let window = self.window.get_or_insert(Window { until_us, least_us: deviation });
        window.least_us = window.least_us.min(deviation);
        if arrival_us < window.until_us {
            return;
        }
        let least = window.least_us;
        self.window = None;
        let first = *self.first_us.get_or_insert(least.clamp(-FIRST_LIMIT_US, FIRST_LIMIT_US));
        let drift = least - first;
        self.sender.compare(drift, arrival_us);
        if self.follow_sender(arrival_us) {
            self.watch_us = DRIFT_WINDOW_US;
            return;
        }
        self.watch_us = if drift.abs() > FAR_US { SHORT_WINDOW_US } else { DRIFT_WINDOW_US };
        if drift.abs() > DRIFT_LIMIT_US {
            self.step(drift);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_packet_that_came_at_another_pace_moves_nothing() {
        for first_us in [-9_000, 9_000] {
            let mut timeline = Timeline::start(8000, 0, first_us);
            for n in 1..3_000i64 {
                timeline.observe(n * 160, n * 20_000 + n % 7 * 500);
                assert_eq!(timeline.place(n * 160), n * 20_000 + first_us);
            }
        }
    }

    #[test]
    fn a_drifting_sender_stays_within_fourteen_milliseconds_of_the_wall_clock() {
        for ppm in [-200i64, 200] {
            let mut timeline = Timeline::start(8000, 0, 0);
            let mut worst = 0;
            for n in 0..180_000i64 {
                let wall = n * 20_000 + n * 20_000 * ppm / 1_000_000 + (n % 7) * 1_000;
                worst = worst.max((timeline.place(n * 160) - (wall - (n % 7) * 1_000)).abs());
                timeline.observe(n * 160, wall);
            }
            assert!(worst <= 14_000, "{ppm} ppm: {worst} us");
        }
    }

    #[test]
    fn jitter_alone_moves_nothing() {
        let mut timeline = Timeline::start(8000, 0, 0);
        for n in 0..10_000i64 {
            timeline.observe(n * 160, n * 20_000 + (n * 7919 % 150) * 1_000);
        }
        assert_eq!(timeline.place(10_000 * 160), 200_000_000);
    }
}
