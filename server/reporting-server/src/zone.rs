//! Hours and days as the people of the site count them, daylight saving time included.

use crate::ReportError;
use hindsight_wire::Timestamp;
use jiff::{Timestamp as Instant, civil, tz::TimeZone};

/// Quarters of an hour, microseconds: every zone in use begins its hours at one of them.
pub const QUARTER: i64 = 15 * 60 * 1_000_000;

/// A time zone with its name.
#[derive(Clone, Debug)]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

/// How long the spans of a report are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// A quarter of an hour.
    Quarter,
    /// An hour by the clock on the wall: the one that daylight saving repeats is two.
    Hour,
    /// From midnight to midnight.
    Day,
}

impl Per {
    /// The longest report in such spans, days.
    pub fn longest_days(self) -> i64 {
        match self {
            Per::Quarter => 8,
            Per::Hour => 35,
            Per::Day => 400,
        }
    }
}

/// One span of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its first instant.
    pub start: Timestamp,
    /// The same as the site's clocks show it, with the offset to UTC.
    pub label: String,
}

impl Zone {
    /// By its IANA name; empty: that of this host.
    pub fn named(name: &str) -> Result<Self, ReportError> {
        let unknown = || ReportError::Zone { name: name.to_owned() };
        let zone = match name {
            "" => TimeZone::system(),
            name => TimeZone::get(name).map_err(|_| unknown())?,
        };
        let name = zone.iana_name().unwrap_or("UTC").to_owned();
        // A host whose zone has no name is not guessed at.
        let zone = if zone.iana_name().is_some() { zone } else { TimeZone::UTC };
        Ok(Self { zone, name })
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A day (its midnight), a time of the site's clocks, or an instant with its offset.
    pub fn instant(&self, text: &str) -> Result<Timestamp, ReportError> {
        let refused = || ReportError::Instant { text: text.to_owned(), zone: self.name.clone() };
        if let Ok(at) = text.parse::<Instant>() {
            return Ok(Timestamp(at.as_microsecond()));
        }
        let local: civil::DateTime = text.parse().map_err(|_| refused())?;
        let at = self.zone.to_timestamp(local).map_err(|_| refused())?;
        Ok(Timestamp(at.as_microsecond()))
    }

    /// Midnight of the day of an instant, and of the next one.
    pub fn day_of(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        let day = || -> Option<(Timestamp, Timestamp)> {
            let start = self.shown(at)?.start_of_day().ok()?;
            let next = start.tomorrow().ok()?.start_of_day().ok()?;
            let micros = |at: jiff::Zoned| Timestamp(at.timestamp().as_microsecond());
            Some((micros(start), micros(next)))
        };
        day().unwrap_or((at, at))
    }

    /// As the site's clocks show it, with the offset to UTC.
    pub fn label(&self, at: Timestamp) -> String {
        self.shown(at)
            .map_or_else(|| at.to_string(), |shown| shown.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    /// The spans from `from` to `to`; the first and the last may be parts of one. Both are moved outwards to a quarter of
    /// an hour.
    pub fn buckets(&self, from: Timestamp, to: Timestamp, per: Per) -> Result<Buckets, ReportError> {
        let longest = per.longest_days() * 96 * QUARTER;
        let (start, end) = (from.0.div_euclid(QUARTER) * QUARTER, -(-to.0).div_euclid(QUARTER) * QUARTER);
        // A day more, for the hour that daylight saving adds.
        if end <= start || end - start > longest + 96 * QUARTER {
            let days = per.longest_days();
            return Err(ReportError::Span { from: self.label(from), to: self.label(to), days });
        }
        let mut list: Vec<Bucket> = Vec::new();
        let mut last = None;
        for at in (start..end).step_by(QUARTER as usize) {
            let key = self.key(Timestamp(at), per);
            if last.as_ref() != Some(&key) {
                list.push(Bucket { start: Timestamp(at), label: self.label(Timestamp(at)) });
                last = Some(key);
            }
        }
        Ok(Buckets { list, end: Timestamp(end) })
    }

    /// What all quarters of one span have in common.
    fn key(&self, at: Timestamp, per: Per) -> (Option<civil::Date>, i8, i32, i64) {
        let Some(shown) = self.shown(at) else { return (None, 0, 0, at.0) };
        let (date, hour, offset) = (Some(shown.date()), shown.hour(), shown.offset().seconds());
        match per {
            Per::Quarter => (date, hour, offset, at.0),
            Per::Hour => (date, hour, offset, 0),
            Per::Day => (date, 0, 0, 0),
        }
    }

    fn shown(&self, at: Timestamp) -> Option<jiff::Zoned> {
        Some(Instant::from_microsecond(at.0).ok()?.to_zoned(self.zone.clone()))
    }
}

/// The spans of a report, in order, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Never empty.
    pub list: Vec<Bucket>,
    /// The end of the last.
    pub end: Timestamp,
}

impl Buckets {
    /// The start of the first.
    pub fn start(&self) -> Timestamp {
        self.list.first().map_or(self.end, |bucket| bucket.start)
    }

    /// First instant of each, and first instant after it.
    pub fn spans(&self) -> Vec<(Timestamp, Timestamp)> {
        let after = self.list.iter().skip(1).map(|bucket| bucket.start).chain([self.end]);
        self.list.iter().map(|bucket| bucket.start).zip(after).collect()
    }

    /// Which of them an instant lies in.
    pub fn index(&self, at: Timestamp) -> Option<usize> {
        if at >= self.end {
            return None;
        }
        self.list.partition_point(|bucket| bucket.start <= at).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(zone: &str, from: &str, to: &str, per: Per) -> Vec<String> {
        let zone = Zone::named(zone).unwrap();
        let buckets = zone.buckets(zone.instant(from).unwrap(), zone.instant(to).unwrap(), per).unwrap();
        buckets.list.into_iter().map(|bucket| bucket.label).collect()
    }

    #[test]
    fn the_day_on_which_clocks_go_forward_has_23_hours_and_the_one_back_25() {
        let hours = labels("Europe/Berlin", "2026-03-29", "2026-03-30", Per::Hour);
        assert_eq!(hours.len(), 23);
        assert_eq!(&hours[1..3], ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"]);
        let hours = labels("Europe/Berlin", "2026-10-25", "2026-10-26", Per::Hour);
        assert_eq!(hours.len(), 25);
        assert_eq!(&hours[2..4], ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]);
        assert_eq!(labels("Europe/Berlin", "2026-03-28", "2026-03-31", Per::Day).len(), 3);
    }

    #[test]
    fn zones_that_are_not_whole_hours_from_utc_have_their_own_hours() {
        let hours = labels("Asia/Kathmandu", "2026-01-01T00:00", "2026-01-01T03:00", Per::Hour);
        let expected =
            ["2026-01-01T00:00:00+05:45", "2026-01-01T01:00:00+05:45", "2026-01-01T02:00:00+05:45"];
        assert_eq!(hours, expected);
        // Half an hour is saved there: 23.5 hours are 24 spans, one of them short.
        assert_eq!(labels("Australia/Lord_Howe", "2026-10-04", "2026-10-05", Per::Hour).len(), 24);
    }

    #[test]
    fn what_lies_in_a_span_is_found_there() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let at = |text: &str| zone.instant(text).unwrap();
        let buckets = zone.buckets(at("2026-11-23T10:07"), at("2026-11-23T12:00"), Per::Hour).unwrap();
        assert_eq!(buckets.start(), at("2026-11-23T10:00"));
        assert_eq!(buckets.index(at("2026-11-23T10:59:59.999999")), Some(0));
        assert_eq!(buckets.index(at("2026-11-23T11:00")), Some(1));
        assert_eq!(buckets.index(at("2026-11-23T12:00")), None);
        assert_eq!(buckets.index(at("2026-11-23T09:59")), None);
    }

    #[test]
    fn what_is_no_time_zone_or_span_is_refused_with_its_reason() {
        assert!(Zone::named("Europe/Nowhere").unwrap_err().to_string().contains("Europe/Nowhere"));
        let zone = Zone::named("UTC").unwrap();
        for text in ["", "yesterday", "2026-13-01", "2026-02-30T00:00", "99999999999-01-01"] {
            assert!(matches!(zone.instant(text), Err(ReportError::Instant { .. })), "{text}");
        }
        let (from, to) = (zone.instant("2026-01-01").unwrap(), zone.instant("2028-01-01").unwrap());
        for (from, to, per) in [(to, from, Per::Day), (from, from, Per::Day), (from, to, Per::Day)] {
            assert!(matches!(zone.buckets(from, to, per), Err(ReportError::Span { .. })));
        }
    }
}
