//! UTC instants in microseconds, and the offset of a device's clock.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, time::SystemTime};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Microseconds since the Unix epoch, UTC. In JSON an RFC 3339 string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The system clock, now. For the edges only: state machines take `now` as an argument.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(since.as_micros() as i64)
    }

    /// Milliseconds from `earlier` to `self`; negative when `self` is before it.
    pub fn ms_since(self, earlier: Timestamp) -> i64 {
        (self.0.saturating_sub(earlier.0)) / 1000
    }

    /// This instant, `ms` milliseconds later.
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("out of range"))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = time::error::Parse;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = OffsetDateTime::parse(text, &Rfc3339)?;
        Ok(Self((at.unix_timestamp_nanos() / 1000) as i64))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// How far a device's clock stands from the server's, as measured over the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClockOffset {
    /// Add this to a time of the device to get the server's, microseconds.
    pub offset_us: i64,
    /// Round-trip time of the measurement kept, microseconds: the error is at most half of it.
    pub round_trip_us: u64,
    /// Device clock at which the offset was measured, microseconds since the Unix epoch.
    pub measured_at_us: i64,
    /// Drift of the device's clock against the server's, parts per million; 0 until two measurements exist.
    pub drift_ppm: f64,
}

impl ClockOffset {
    /// A time of the device's clock, on the server's clock.
    pub fn to_server(&self, device: Timestamp) -> Timestamp {
        let since = (device.0 - self.measured_at_us) as f64;
        Timestamp(device.0 + self.offset_us + (since * self.drift_ppm / 1e6) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_json() {
        let at = Timestamp(1_795_000_000_123_456);
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(
            json,
            "\"2026-11-18T12:26:40.123456Z\"".replace("2026-11-18T12:26:40", &at.to_string()[..19])
        );
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
    }

    #[test]
    fn a_slow_clock_is_brought_to_the_servers() {
        let clock = ClockOffset { offset_us: 3_000_000, drift_ppm: 100.0, ..ClockOffset::default() };
        assert_eq!(clock.to_server(Timestamp(1_000_000)), Timestamp(4_000_100));
    }
}
