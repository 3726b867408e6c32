//! What a party's phone says of how it hears the other (RFC 3550 6.4), over one part of a recording.

use crate::rtcp::{ReceptionReport, SenderReport};
use std::collections::VecDeque;

/// Sender reports of a party that the other may still answer: 40 s of them at the usual pace.
const MAX_SENT: usize = 8;
/// No phone hears voices with more jitter, or answers later, microseconds: what says so is nonsense.
const LONGEST_US: i64 = 60_000_000;
/// The relay and the phone read their clocks at different moments: so much less than nothing is nothing, microseconds.
const UNSURE_US: i64 = 20_000;

/// Figures of one report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets lost since the report before, of 256.
    pub fraction_lost: u8,
    /// Interarrival jitter, microseconds.
    pub jitter_us: i64,
    /// From the media server to the phone and back, microseconds, where it can be known.
    pub round_trip_us: Option<i64>,
}

/// The reports of a phone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// How many were read.
    pub reports: u64,
    /// Packets lost since it began to hear, of all sources that it heard one after the other.
    pub lost: i64,
    /// The newest.
    pub last: Figures,
    /// The largest of each.
    pub worst: Figures,
    source: Option<u32>,
    lost_before: i64,
}

impl Reception {
    /// Takes a report on a source of this RTP clock rate, Hz; `round_trip_us` as [`Sent::round_trip_us`] has it.
    /// False: it is nonsense, nothing of it is kept.
    pub fn take(&mut self, report: &ReceptionReport, clock_rate: u32, round_trip_us: Option<i64>) -> bool {
        let jitter_us = i64::from(report.jitter) * 1_000_000 / i64::from(clock_rate.max(1));
        if jitter_us > LONGEST_US {
            return false;
        }
        if self.source != Some(report.ssrc) {
            self.source = Some(report.ssrc);
            self.lost_before = self.lost;
        }
        self.reports += 1;
        self.lost = self.lost_before + i64::from(report.lost);
        let fraction_lost = report.fraction_lost;
        // Some answer no sender report now and then: what was known stands.
        let round_trip_us = round_trip_us.or(self.last.round_trip_us);
        self.last = Figures { fraction_lost, jitter_us, round_trip_us };
        self.worst = Figures {
            fraction_lost: self.worst.fraction_lost.max(fraction_lost),
            jitter_us: self.worst.jitter_us.max(jitter_us),
            round_trip_us: self.worst.round_trip_us.max(round_trip_us),
        };
        true
    }
}

/// A party's newest sender reports, as they passed by.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    reports: VecDeque<(u32, i64)>,
}

impl Sent {
    /// Notes a report that passed at `at_us`.
    pub fn pass(&mut self, report: &SenderReport, at_us: i64) {
        if self.reports.len() == MAX_SENT {
            self.reports.pop_front();
        }
        self.reports.push_back(((report.ntp >> 16) as u32, at_us));
    }

    /// From here to the other party's phone and back (RFC 3550 6.4.1): from the passing of the report that it answers to
    /// the passing of the answer at `at_us`, less the time that it was with the phone. Microseconds.
    pub fn round_trip_us(&self, answer: &ReceptionReport, at_us: i64) -> Option<i64> {
        let is_answered =
            |(middle, _): &&(u32, i64)| answer.last_report != 0 && *middle == answer.last_report;
        let (_, passed_us) = self.reports.iter().rev().find(is_answered)?;
        let there_us = i64::from(answer.since_report) * 1_000_000 / 65_536;
        let round_trip_us = at_us - passed_us - there_us;
        (-UNSURE_US..=LONGEST_US).contains(&round_trip_us).then_some(round_trip_us.max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: ReceptionReport = ReceptionReport {
        ssrc: 1,
        fraction_lost: 0,
        lost: 0,
        jitter: 0,
        last_report: 0x0001_8000,
        since_report: 65_536 * 2,
    };

    fn sent(ntp: u64) -> SenderReport {
        SenderReport { ssrc: 1, ntp, timestamp: 0 }
    }

    #[test]
    fn the_newest_and_the_largest_of_each_figure_are_kept() {
        let mut reception = Reception::default();
        let first = ReceptionReport { fraction_lost: 64, lost: 30, jitter: 80, ..REPORT };
        assert!(reception.take(&first, 8_000, Some(45_000)));
        let second = ReceptionReport { fraction_lost: 3, lost: 31, jitter: 240, ..REPORT };
        assert!(reception.take(&second, 8_000, None));
        assert_eq!((reception.reports, reception.lost), (2, 31));
        let last = Figures { fraction_lost: 3, jitter_us: 30_000, round_trip_us: Some(45_000) };
        assert_eq!(reception.last, last);
        assert_eq!(reception.worst, Figures { fraction_lost: 64, ..last });
    }

    #[test]
    fn a_new_source_goes_on_with_the_count_and_nonsense_is_not_kept() {
        let mut reception = Reception::default();
        assert!(reception.take(&ReceptionReport { lost: 7, ..REPORT }, 8_000, None));
        assert!(reception.take(&ReceptionReport { ssrc: 2, lost: 2, ..REPORT }, 8_000, None));
        assert!(reception.take(&ReceptionReport { ssrc: 2, lost: 3, ..REPORT }, 8_000, None));
        let before = reception;
        assert!(!reception.take(&ReceptionReport { jitter: u32::MAX, ..REPORT }, 8_000, None));
        assert_eq!((reception, reception.lost), (before, 10));
    }

    #[test]
    fn the_way_there_and_back_is_what_the_phone_did_not_keep_the_report_for() {
        let mut passed = Sent::default();
        assert_eq!(passed.round_trip_us(&REPORT, 0), None);
        passed.pass(&sent(0x0000_0001_8000_0000), 1_000_000);
        passed.pass(&sent(0x0000_0006_8000_0000), 6_000_000);
        // Two seconds with the phone.
        assert_eq!(passed.round_trip_us(&REPORT, 3_042_000), Some(42_000));
        assert_eq!(passed.round_trip_us(&REPORT, 2_995_000), Some(0), "a clock of milliseconds");
        assert_eq!(passed.round_trip_us(&REPORT, 2_000_000), None, "before it was sent");
        assert_eq!(passed.round_trip_us(&REPORT, 90_000_000), None, "after a minute");
        assert_eq!(passed.round_trip_us(&ReceptionReport { last_report: 0, ..REPORT }, 3_000_000), None);
        for n in 0..20 {
            passed.pass(&sent(n << 32), 0);
        }
        assert_eq!(passed.reports.len(), MAX_SENT);
    }
}
