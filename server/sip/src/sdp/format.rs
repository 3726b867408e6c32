//! What goes in one RTP payload format (RFC 3551, RFC 7587, RFC 4733, RFC 3389).

/// How a voice is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus (RFC 6716).
    Opus,
}

impl Codec {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus];

    /// Encoding name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// By encoding name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// RTP clock rate, Hz: 8000 for G.722 too, by an old mistake that stands (RFC 3551 4.5.2).
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Opus => 48_000,
        }
    }

    /// Samples a second of the sound.
    pub fn sample_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
            Self::G722 => 16_000,
            Self::Opus => 48_000,
        }
    }

    /// Payload type that needs no negotiation (RFC 3551 table 4).
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus => None,
        }
    }

    /// By such a payload type.
    pub fn from_static(payload_type: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.static_payload_type() == Some(payload_type))
    }

    /// RTP clock units that a payload lasts. An Opus packet says so itself (RFC 6716 3.1, 3.2); 0 where it is malformed.
    pub fn ticks(self, payload: &[u8]) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => u32::try_from(payload.len()).unwrap_or(u32::MAX),
            Self::Opus => opus_ticks(payload),
        }
    }
}

/// Length of an Opus packet at 48 kHz.
fn opus_ticks(packet: &[u8]) -> u32 {
    const LONGEST: u32 = 5_760; // 120 ms
    let Some(&toc) = packet.first() else { return 0 };
    let config = u32::from(toc >> 3);
    let frame = match config {
        // SILK: 10, 20, 40, 60 ms
        0..=11 => [480, 960, 1_920, 2_880][(config % 4) as usize],
        // Hybrid: 10, 20 ms
        12..=15 => [480, 960][(config % 2) as usize],
        // CELT: 2.5, 5, 10, 20 ms
        _ => [120, 240, 480, 960][(config % 4) as usize],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u32::from(count & 0x3f)),
    };
    let ticks = frame * frames;
    if ticks > LONGEST { 0 } else { ticks }
}

/// What a payload type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A voice.
    Voice(Codec),
    /// Where a voice was suppressed (RFC 3389).
    ComfortNoise,
    /// DTMF as RTP events (RFC 4733).
    TelephoneEvent,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Voice(codec) => codec.name(),
            Self::ComfortNoise => "CN",
            Self::TelephoneEvent => "telephone-event",
        }
    }
}

/// A payload type and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// 0 to 127.
    pub payload_type: u8,
    /// What it stands for.
    pub encoding: Encoding,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
    /// Parameters, passed on as they are.
    pub fmtp: Option<String>,
}

impl Format {
    /// A voice under a payload type.
    pub fn voice(payload_type: u8, codec: Codec) -> Self {
        Self { payload_type, encoding: Encoding::Voice(codec), clock_rate: codec.clock_rate(), fmtp: None }
    }

    /// Telephone events 0 to 15 under a payload type.
    pub fn events(payload_type: u8, clock_rate: u32) -> Self {
        let fmtp = Some("0-15".to_owned());
        Self { payload_type, encoding: Encoding::TelephoneEvent, clock_rate, fmtp }
    }

    /// Everything that we carry, for a call whose caller makes no offer.
    pub fn everything() -> Vec<Self> {
        vec![
            Self::voice(0, Codec::Pcmu),
            Self::voice(8, Codec::Pcma),
            Self::voice(9, Codec::G722),
            Self::voice(96, Codec::Opus),
            Self::events(101, 8_000),
            Self::events(97, 48_000),
        ]
    }

    /// The voice codec, where it is one.
    pub fn codec(&self) -> Option<Codec> {
        match self.encoding {
            Encoding::Voice(codec) => Some(codec),
            Encoding::ComfortNoise | Encoding::TelephoneEvent => None,
        }
    }

    /// The first voice of `answered` that `offered` has under the same payload type; telephone events in that voice's
    /// clock (else in any) and comfort noise, where both have them under one: the relay does not rewrite payload types.
    /// `None`: nothing in common.
    pub fn agreed(offered: &[Self], answered: &[Self]) -> Option<Vec<Self>> {
        let shared = |format: &&Self| {
            offered.iter().any(|other| {
                (other.encoding, other.payload_type, other.clock_rate)
                    == (format.encoding, format.payload_type, format.clock_rate)
            })
        };
        let voice = answered.iter().filter(|format| format.codec().is_some()).find(shared)?;
        let of = |encoding| answered.iter().filter(move |format| format.encoding == encoding).filter(shared);
        let events = of(Encoding::TelephoneEvent)
            .find(|format| format.clock_rate == voice.clock_rate)
            .or_else(|| of(Encoding::TelephoneEvent).next());
        let noise = of(Encoding::ComfortNoise).find(|format| format.clock_rate == voice.clock_rate);
        Some(std::iter::once(voice).chain(noise).chain(events).cloned().collect())
    }

    /// A payload type of an m-line and what `rtpmap` and `fmtp` say of it; `None`: nothing that we carry.
    pub(super) fn read(media: &sdp_types::Media, text: &str) -> Option<Self> {
        let payload_type: u8 = text.parse().ok().filter(|pt| *pt < 128)?;
        let said = |name| {
            super::audio::values(&media.attributes, name)
                .find_map(|value| of_payload_type(value, payload_type))
        };
        let (encoding, clock_rate) = match (said("rtpmap"), payload_type) {
            (Some(mapped), _) => from_rtpmap(mapped)?,
            (None, 13) => (Encoding::ComfortNoise, 8_000),
            (None, _) => {
                let codec = Codec::from_static(payload_type)?;
                (Encoding::Voice(codec), codec.clock_rate())
            }
        };
        Some(Self { payload_type, encoding, clock_rate, fmtp: said("fmtp").map(str::to_owned) })
    }

    /// What stands in `rtpmap` after the payload type.
    pub(super) fn rtpmap(&self) -> String {
        let channels = if self.encoding == Encoding::Voice(Codec::Opus) { "/2" } else { "" };
        format!("{}/{}{channels}", self.encoding.name(), self.clock_rate)
    }
}

fn from_rtpmap(mapped: &str) -> Option<(Encoding, u32)> {
    let mut parts = mapped.split('/').map(str::trim);
    let (name, rate) = (parts.next()?, parts.next()?.parse().ok()?);
    let channels = parts.next().unwrap_or("1");
    if let Some(codec) = Codec::from_name(name) {
        let expected = if codec == Codec::Opus { "2" } else { "1" };
        return (rate == codec.clock_rate() && channels == expected)
            .then_some((Encoding::Voice(codec), rate));
    }
    let encoding = [Encoding::ComfortNoise, Encoding::TelephoneEvent]
        .into_iter()
        .find(|encoding| encoding.name().eq_ignore_ascii_case(name))?;
    (matches!(rate, 8_000 | 16_000 | 32_000 | 48_000) && channels == "1").then_some((encoding, rate))
}

fn of_payload_type(value: &str, payload_type: u8) -> Option<&str> {
    let (pt, rest) = value.split_once(' ')?;
    (pt.parse() == Ok(payload_type)).then(|| rest.trim())
}
