//! A sender's own word on its clocks (RFC 3550 6.4.1): which of its RTP time goes with which of its wall clock. No network
//! stands between these two, so how fast the one runs against the other is told without jitter.
//!
//! A word, not a proof: a phone's wall clock may run as wrong as its RTP clock, step when it is set, or be made up. It is
//! believed after it has said the same as the arrival of the packets for a while, and no longer than it does.
//!
//! All times are microseconds; *lag* is how far the timeline has fallen behind the sender's wall clock since the first
//! report of a row of consistent ones.

/// Between two reports the clocks part by no more than this, beside [`FASTEST_PPM`]: reports are made to a millisecond or
/// two, and by a busy phone.
const UNEVEN_US: i64 = 5_000;
/// No clock of a phone is worse, millionths.
const FASTEST_PPM: i64 = 500;
/// So often reports may not follow from the ones before: then they are not listened to any more.
const MAX_ODD: u8 = 3;
/// How far reports and arrival are apart at first is taken from the windows of so long: the first packets may have been
/// late.
const SETTLE_US: i64 = 30_000_000;
/// For so long reports are compared with arrival before they are believed.
const PROBATION_US: i64 = 90_000_000;
/// Not believed after so long, they are compared anew: the network may have been late at first.
const ANEW_US: i64 = 300_000_000;
/// Reports and arrival say the same when they have come no further apart than this and what arrival is unsure of.
const SAME_US: i64 = 4_000;
/// Reports and arrival contradict each other when they have come further apart than this and what arrival is unsure of.
const OTHER_US: i64 = 6_000;
/// More than this arrival is never held to be unsure of.
const MOST_UNSURE_US: i64 = 10_000;
/// So many windows of arrival in a row contradict the reports the same way: their clock is wrong. One of the network is
/// not so long without a packet in time.
const MAX_OPPOSED: i8 = 5;
/// Without a report for so long, arrival decides again.
const STALE_US: i64 = 30_000_000;

/// What a sender's reports say, and whether it is believed.
#[derive(Clone, Debug, Default)]
pub struct SenderClock {
    row: Option<Row>,
    /// Reports that did not follow from the ones before.
    odd: u8,
    /// Windows in a row that contradicted the reports: later positive, earlier negative.
    opposed: i8,
    believed: bool,
    refuted: bool,
}

/// Consistent reports.
#[derive(Clone, Copy, Debug)]
struct Row {
    since_us: i64,
    last: Reading,
    /// Of the last three reports: how far the wall clock went ahead of RTP time since the first.
    ahead_us: [i64; 3],
    /// By how much the timeline was moved since the first.
    moved_us: i64,
    /// How far arrival and reports were apart at first: sum and number of windows.
    apart_us: (i64, i64),
    /// How far apart they were in the last window.
    last_apart_us: i64,
    /// By how much that changes from one window to the next, which no clock does: what arrival is unsure of.
    unsure_us: i64,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    /// 32.32 bits of seconds.
    ntp: u64,
    /// RTP time.
    media_us: i64,
    at_us: i64,
}

impl Reading {
    /// By how much more than RTP time the wall clock went on since `before`.
    fn ahead_of(&self, before: &Self) -> i64 {
        // The wall clock's 32 bits of seconds wrap in 2036.
        let wall = self.ntp.wrapping_sub(before.ntp) as i64;
        let wall_us = (i128::from(wall) * 1_000_000) >> 32;
        (wall_us as i64).saturating_sub(self.media_us.saturating_sub(before.media_us))
    }
}

impl SenderClock {
    /// Takes a report: RTP time `media_us` was at `ntp` of the sender's wall clock. It arrived at `at_us`.
    pub fn report(&mut self, ntp: u64, media_us: i64, at_us: i64) {
        // Zero: it has no wall clock.
        if self.refuted || ntp == 0 {
            return;
        }
        let now = Reading { ntp, media_us, at_us };
        let Some(row) = self.row.as_mut() else {
            self.row = Some(Row::begin(now));
            return;
        };
        let parted_us = now.ahead_of(&row.last);
        let passed_us = at_us.saturating_sub(row.last.at_us).max(0);
        if parted_us.saturating_abs() > UNEVEN_US + passed_us / 1_000_000 * FASTEST_PPM {
            self.odd += 1;
            self.refuted = self.odd >= MAX_ODD;
            self.restart();
            self.row = (!self.refuted).then(|| Row::begin(now));
            return;
        }
        let [_, second, third] = row.ahead_us;
        row.ahead_us = [second, third, third + parted_us];
        row.last = now;
    }

    /// The timeline was moved.
    pub fn moved(&mut self, by_us: i64) {
        if let Some(row) = self.row.as_mut() {
            row.moved_us += by_us;
        }
    }

    /// RTP time jumped: what the reports said has nothing to do with what they will say.
    pub fn restart(&mut self) {
        (self.row, self.opposed, self.believed) = (None, 0, false);
    }

    /// How far the timeline lags behind, where the sender is believed.
    pub fn lag_us(&self, now_us: i64) -> Option<i64> {
        let row = self.row.as_ref().filter(|row| self.believed && now_us - row.last.at_us <= STALE_US)?;
        Some(row.lag_us())
    }

    /// A window of arrival has ended, by which the timeline lags behind by `arrival_us`.
    pub fn compare(&mut self, arrival_us: i64, now_us: i64) {
        let Some(row) = self.row.as_mut().filter(|row| now_us - row.last.at_us <= STALE_US) else { return };
        let (age_us, apart_us) = (now_us - row.since_us, arrival_us.saturating_sub(row.lag_us()));
        let (sum, count) = row.apart_us;
        if count > 0 {
            let change_us = apart_us.saturating_sub(row.last_apart_us).saturating_abs();
            row.unsure_us = (3 * row.unsure_us + change_us.min(4 * MOST_UNSURE_US)) / 4;
        }
        row.last_apart_us = apart_us;
        let unsure_us = row.unsure_us.min(MOST_UNSURE_US);
        if age_us <= SETTLE_US || count == 0 {
            row.apart_us = (sum.saturating_add(apart_us), count + 1);
            return;
        }
        let apart_us = apart_us.saturating_sub(sum / count);
        if !self.believed {
            self.believed = age_us >= PROBATION_US && apart_us.saturating_abs() <= SAME_US + unsure_us;
            if !self.believed && age_us > ANEW_US {
                self.restart();
            }
            return;
        }
        let other_us = OTHER_US + unsure_us;
        let way = if apart_us > other_us { 1 } else { -i8::from(apart_us < -other_us) };
        self.opposed = if self.opposed.signum() * way < 0 { way } else { (self.opposed + way) * way.abs() };
        if self.opposed.abs() >= MAX_OPPOSED {
            self.refuted = true;
            self.restart();
        }
    }
}

impl Row {
    fn begin(first: Reading) -> Self {
        Self {
            since_us: first.at_us,
            last: first,
            ahead_us: [0; 3],
            moved_us: 0,
            apart_us: (0, 0),
            last_apart_us: 0,
            unsure_us: 0,
        }
    }

    fn lag_us(&self) -> i64 {
        let mut ahead = self.ahead_us;
        ahead.sort_unstable();
        ahead[1].saturating_sub(self.moved_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn ntp(us: i64) -> u64 {
        ((3_900_000_000u64) << 32) + ((i128::from(us) << 32) / 1_000_000) as u64
    }

    /// Reports every five seconds of a clock that is `ppm` slow, compared with an arrival that says the same.
    fn believed(ppm: i64, seconds: i64) -> SenderClock {
        let mut clock = SenderClock::default();
        for n in 0..seconds / 5 {
            let at_us = n * 5 * SECOND;
            clock.report(ntp(at_us), at_us - at_us / SECOND * ppm, at_us);
            clock.compare(at_us / SECOND * ppm, at_us);
        }
        clock
    }

    #[test]
    fn the_same_word_for_long_enough_is_believed_until_the_reports_end() {
        assert_eq!(believed(100, 90).lag_us(85 * SECOND), None);
        let clock = believed(100, 125);
        // The middle one of the last three.
        assert_eq!(clock.lag_us(121 * SECOND), Some(11_500));
        assert_eq!(clock.lag_us(120 * SECOND + STALE_US + 1), None);
    }

    #[test]
    fn a_clock_that_arrival_contradicts_is_refuted_for_good() {
        let mut clock = believed(0, 125);
        for n in 1..=20 {
            let at_us = (120 + n * 20) * SECOND;
            clock.report(ntp(at_us), at_us, at_us);
            clock.compare(if n % 5 == 0 { 3_000 } else { 60_000 }, at_us);
            assert!(clock.lag_us(at_us).is_some(), "a packet in time now and then: the network is late");
        }
        for n in 21..=26 {
            let at_us = (120 + n * 20) * SECOND;
            clock.report(ntp(at_us), at_us, at_us);
            clock.compare(-30_000, at_us);
        }
        assert!(clock.refuted && clock.lag_us(121 * SECOND).is_none());
    }

    #[test]
    fn steps_wrong_rates_and_no_clock_at_all_are_never_believed() {
        let told = |wall: fn(i64) -> u64| {
            let mut clock = SenderClock::default();
            for n in 0..720 {
                let at_us = n * 5 * SECOND;
                clock.report(wall(at_us), at_us, at_us);
                clock.compare(0, at_us);
                assert_eq!(clock.lag_us(at_us), None, "{n}");
            }
        };
        told(|_| 0);
        told(|_| ntp(7));
        told(|us| ntp(us + us / 100));
        told(|us| ntp(us / 2));
        told(|us| ntp(us).swap_bytes());
        told(|us| ntp(us + us / (40 * SECOND) * 3_600 * SECOND));
    }

    #[test]
    fn one_step_begins_another_probation_and_the_wrap_of_2036_is_none() {
        let mut clock = SenderClock::default();
        let mut away = 0;
        for n in 0..100 {
            let at_us = n * 5 * SECOND;
            let hour = if n >= 40 { 3_600 * SECOND } else { 0 };
            // A minute before the wrap.
            clock.report(ntp(at_us + hour).wrapping_add((394_967_236) << 32), at_us, at_us);
            clock.compare(0, at_us);
            away += i32::from(clock.lag_us(at_us).is_none());
        }
        assert_eq!((clock.odd, away), (1, 36));
    }
}
