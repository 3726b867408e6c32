//! What a recorder reads of RTCP (RFC 3550 6): sender and reception reports of compound packets and of reduced-size ones
//! (RFC 5506). Everything else in them (SDES, BYE, APP, XR, feedback) is passed over.

use rtcp_types::{Compound, Packet, ReportBlock, RtcpParseError};

/// A sender reports on itself (RFC 3550 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// The source.
    pub ssrc: u32,
    /// Its wall clock, 32.32 bits of seconds; 0: it has none.
    pub ntp: u64,
    /// Its RTP time at that moment.
    pub timestamp: u32,
}

/// A receiver reports on a source that it hears (RFC 3550 6.4.1, 6.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptionReport {
    /// The source that is heard.
    pub ssrc: u32,
    /// Packets lost since its report before, of 256.
    pub fraction_lost: u8,
    /// Packets lost since it began to hear the source; negative where more came than were sent.
    pub lost: i32,
    /// Interarrival jitter, RTP clock units of the source.
    pub jitter: u32,
    /// Middle 32 bits of the wall clock in the source's newest sender report that it got; 0: none.
    pub last_report: u32,
    /// How long ago it got that, 1/65536 s.
    pub since_report: u32,
}

/// A report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Of a sender.
    Sender(SenderReport),
    /// Of a receiver.
    Reception(ReceptionReport),
}

/// Why bytes are no RTCP. Always the sender's fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("RTCP that cannot be read: {0}")]
pub struct RtcpError(#[from] RtcpParseError);

/// Reads the reports in the order in which they stand; those before an error have been given.
pub fn read(bytes: &[u8], give: &mut impl FnMut(Report)) -> Result<(), RtcpError> {
    for packet in Compound::parse(bytes)? {
        match packet? {
            Packet::Sr(report) => {
                give(Report::Sender(SenderReport {
                    ssrc: report.ssrc(),
                    ntp: report.ntp_timestamp(),
                    timestamp: report.rtp_timestamp(),
                }));
                report.report_blocks().for_each(|block| give(reception(&block)));
            }
            Packet::Rr(report) => report.report_blocks().for_each(|block| give(reception(&block))),
            Packet::App(_)
            | Packet::Bye(_)
            | Packet::Sdes(_)
            | Packet::TransportFeedback(_)
            | Packet::PayloadFeedback(_)
            | Packet::Xr(_)
            | Packet::Unknown(_) => {}
        }
    }
    Ok(())
}

fn reception(block: &ReportBlock<'_>) -> Report {
    Report::Reception(ReceptionReport {
        ssrc: block.ssrc(),
        fraction_lost: block.fraction_lost(),
        // 24 bits with a sign.
        lost: (block.cumulative_lost() << 8) as i32 >> 8,
        jitter: block.interarrival_jitter(),
        last_report: block.last_sender_report_timestamp(),
        since_report: block.delay_since_last_sender_report_timestamp(),
    })
}

#[cfg(test)]
mod tests;
