//! A view over the bytes of an RTP packet (RFC 3550 5.1).

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 12;

/// Why bytes are no RTP packet. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than its fixed header, contributing sources or extension.
    #[error("RTP packet shorter than its header")]
    Short,
    /// Not version 2.
    #[error("RTP version is not 2")]
    Version,
    /// The padding count is zero or longer than the payload.
    #[error("RTP padding longer than the payload")]
    Padding,
    /// RTCP on the RTP port (RFC 5761 4).
    #[error("RTCP on the RTP port")]
    Rtcp,
}

/// Length of the header with its contributing sources and extension: what SRTP leaves in the clear.
pub fn header_len(bytes: &[u8]) -> Result<usize, PacketError> {
    let first = *bytes.first().ok_or(PacketError::Short)?;
    if first >> 6 != 2 {
        return Err(PacketError::Version);
    }
    let mut length = HEADER_LEN + usize::from(first & 0x0f) * 4;
    if first & 0x10 != 0 {
        let head = bytes.get(length..length + 4).ok_or(PacketError::Short)?;
        length += 4 + usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
    }
    if length > bytes.len() { Err(PacketError::Short) } else { Ok(length) }
}

/// A valid RTP packet, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    header: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Checks the header, contributing sources, extension and padding against the length.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let (header, _) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(PacketError::Short)?;
        let length = header_len(bytes)?;
        if is_rtcp(bytes) {
            return Err(PacketError::Rtcp);
        }
        let mut payload = &bytes[length..];
        if header[0] & 0x20 != 0 {
            let count = usize::from(*payload.last().ok_or(PacketError::Padding)?);
            if count == 0 || count > payload.len() {
                return Err(PacketError::Padding);
            }
            payload = &payload[..payload.len() - count];
        }
        Ok(Self { header, payload })
    }

    /// First packet of a talkspurt, for audio (RFC 3551 4.1).
    pub fn marker(&self) -> bool {
        self.header[1] & 0x80 != 0
    }

    /// 0 to 127.
    pub fn payload_type(&self) -> u8 {
        self.header[1] & 0x7f
    }

    /// Sequence number, 16 bits.
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// RTP time of the first sample.
    pub fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.header[4], self.header[5], self.header[6], self.header[7]])
    }

    /// Synchronisation source.
    pub fn ssrc(&self) -> u32 {
        u32::from_be_bytes([self.header[8], self.header[9], self.header[10], self.header[11]])
    }

    /// The payload, without padding.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Whether a packet on a port shared by both is RTCP: packet types 192 to 223 (RFC 5761 4).
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 2 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0x80, 0x80, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef];
        bytes.extend([7; 160]);
        bytes
    }

    #[test]
    fn a_plain_packet_is_read() {
        let bytes = bytes();
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.marker());
        assert_eq!((packet.payload_type(), packet.sequence(), packet.timestamp()), (0, 0x1234, 160));
        assert_eq!((packet.ssrc(), packet.payload().len()), (0xdead_beef, 160));
    }

    #[test]
    fn contributing_sources_extension_and_padding_are_not_payload() {
        let mut bytes = vec![0xb1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        bytes.extend([0; 4]); // one CSRC
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // extension of one word
        bytes.extend([9, 9, 9, 0, 0, 3]); // three bytes of padding
        assert_eq!(Packet::parse(&bytes).unwrap().payload(), [9, 9, 9]);
    }

    #[test]
    fn every_cut_of_a_packet_is_refused_or_read_without_panic() {
        let mut bytes = bytes();
        bytes[0] = 0xbf;
        for end in 0..bytes.len() {
            let _ = Packet::parse(&bytes[..end]);
        }
        assert_eq!(Packet::parse(&bytes[..11]), Err(PacketError::Short));
        assert_eq!(Packet::parse(&[0x40; 40]), Err(PacketError::Version));
        assert_eq!(Packet::parse(&[0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]), Err(PacketError::Rtcp));
        assert_eq!(Packet::parse(&[0xa0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]), Err(PacketError::Padding));
    }
}
