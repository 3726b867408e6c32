//! Packets: RTP, RTCP, SRTP. An input is a sequence of packets, each behind one byte for its length and one for the time
//! that passes before it.

use super::Target;
use hindsight_rtp::{
    Arrived, Packet, Stream, packet,
    srtp::{Protection, Receiver},
};

/// Packets of an input, each with the milliseconds before it.
fn packets(mut bytes: &[u8]) -> impl Iterator<Item = (i64, &[u8])> {
    std::iter::from_fn(move || {
        let [length, wait, rest @ ..] = bytes else { return None };
        let (piece, others) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = others;
        Some((i64::from(*wait), piece))
    })
}

fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
    let length = |packet: &Vec<u8>| u8::try_from(packet.len()).unwrap_or(u8::MAX);
    packets.iter().flat_map(|packet| [&[length(packet), 20], packet.as_slice()].concat()).collect()
}

fn rtp_packet(first: u8, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![first, payload_type];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0x55; 40]);
    bytes
}

fn rtp_inputs() -> Vec<Vec<u8>> {
    let run = |from: u16, ssrc: u32| -> Vec<Vec<u8>> {
        (0..12).map(|n| rtp_packet(0x80, 0, from.wrapping_add(n), u32::from(n) * 160, ssrc)).collect()
    };
    let mut shuffled = run(7, 1);
    shuffled.swap(3, 6);
    shuffled.remove(9);
    let mut changed = run(65_530, 1);
    changed.extend(run(2, 2));
    let mut odd = vec![rtp_packet(0xb2, 0x80 | 101, 1, 0, 1), rtp_packet(0x90, 13, 2, 160, 1)];
    odd[0].splice(12..12, [0, 0, 0, 9, 0, 0, 0, 8, 0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
    [run(1, 1), shuffled, changed, odd].iter().map(|packets| framed(packets)).collect()
}

/// RTP: parsed, put in order, placed on the timeline.
pub const RTP: Target = Target {
    name: "rtp",
    feed: rtp,
    inputs: rtp_inputs,
    words: &[
        b"\x80\x00",
        b"\x90\x80",
        b"\xbf\x65",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\xbe\xde\x00\x01",
        b"\x0c\x00",
        b"\x34\xff",
    ],
};

fn rtp(bytes: &[u8]) {
    let mut stream = Stream::new(8000);
    let (mut at_us, mut delivered, mut given) = (0, 0, 0);
    for (wait, piece) in packets(bytes) {
        // Up to sixteen minutes of silence.
        at_us += wait * wait * 15_000;
        let Ok(packet) = Packet::parse(piece) else { continue };
        assert!(packet.payload().len() <= piece.len());
        let ticks = u32::try_from(packet.payload().len()).unwrap_or(u32::MAX);
        let arrived = Arrived { packet, at_us, ticks, wanted: packet.payload_type() != 101 };
        given += 1;
        stream.push(&arrived, &mut |_| {
            delivered += 1;
            true
        });
        if wait == 77 {
            stream.change_clock(48_000, &mut |_| true);
        }
        drop(stream.take_jumps());
    }
    stream.poll(at_us + 60_000_000, &mut |_| {
        delivered += 1;
        true
    });
    stream.interrupt(&mut |_| {
        delivered += 1;
        true
    });
    assert!(delivered <= given, "more delivered than came");
    let _ = stream.take_quality();
}

fn rtcp_inputs() -> Vec<Vec<u8>> {
    let sender_report = [&[0x80, 200, 0, 6][..], &[1; 24]].concat();
    let receiver_report = [&[0x81, 201, 0, 7][..], &[2; 28]].concat();
    let description = [&[0x81, 202, 0, 2][..], &[0, 0, 0, 1, 1, 1, b'a', 0]].concat();
    let goodbye = [&[0x81, 203, 0, 1][..], &[0, 0, 0, 1]].concat();
    let compound = [sender_report.clone(), description.clone()].concat();
    let feedback = [&[0x81, 205, 0, 3][..], &[3; 12]].concat();
    vec![framed(&[sender_report, receiver_report, description, goodbye]), framed(&[compound, feedback])]
}

/// RTCP is relayed as it is; what is read of it is whether it is RTCP, so that none on the RTP port is taken for voice.
pub const RTCP: Target = Target {
    name: "rtcp",
    feed: rtcp,
    inputs: rtcp_inputs,
    words: &[
        b"\x80\xc8",
        b"\x81\xc9",
        b"\x81\xca",
        b"\x81\xcb",
        b"\x80\xcc",
        b"\x8f\xcd",
        b"\x00\x06",
        b"\xff\xff",
    ],
};

fn rtcp(bytes: &[u8]) {
    let mut receiver = Receiver::new(Protection::CounterMode { tag: 10 }, &[7; 16], &[9; 14]);
    for (_, piece) in packets(bytes) {
        let is_rtcp = packet::is_rtcp(piece);
        assert!(!is_rtcp || Packet::parse(piece).is_err(), "RTCP taken for voice");
        let _ = packet::header_len(piece);
        if let Some(receiver) = &mut receiver {
            assert!(receiver.open(piece).is_err(), "opened without its key");
        }
    }
}

/// SRTP with a wrong key: nothing opens, nothing panics, nothing is remembered without bound. The packet of libsrtp's own
/// check opens; changed it does not.
pub const SRTP: Target = Target {
    name: "srtp",
    feed: srtp,
    inputs: || {
        let mut inputs = rtp_inputs();
        inputs.push(framed(&[LIBSRTP.to_vec()]));
        inputs
    },
    words: &[
        b"\x80\x0f\x12\x34\xde\xca\xfb\xad\xca\xfe\xba\xbe",
        b"\x80\x00",
        b"\xff\xff",
        b"\x00\x00",
        b"\x90\x80",
        b"\xbe\xde\x00\x01",
    ],
};

const KEY: [u8; 16] =
    [0xe1, 0xf9, 0x7a, 0x0d, 0x3e, 0x01, 0x8b, 0xe0, 0xd6, 0x4f, 0xa3, 0x2c, 0x06, 0xde, 0x41, 0x39];
const SALT: [u8; 14] = [0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6];
const LIBSRTP: [u8; 38] = [
    0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe, 0x4e, 0x55, 0xdc, 0x4c, 0xe7,
    0x99, 0x78, 0xd8, 0x8c, 0xa4, 0xd2, 0x15, 0x94, 0x9d, 0x24, 0x02, 0xb7, 0x8d, 0x6a, 0xcc, 0x99, 0xea,
    0x17, 0x9b, 0x8d, 0xbb,
];

fn srtp(bytes: &[u8]) {
    for (protection, key, salt) in [
        (Protection::CounterMode { tag: 10 }, &KEY[..], &SALT[..]),
        (Protection::CounterMode { tag: 4 }, &[3; 32], &SALT[..]),
        (Protection::Gcm, &[5; 16], &[6; 12]),
    ] {
        let Some(mut receiver) = Receiver::new(protection, key, salt) else { continue };
        for (_, piece) in packets(bytes) {
            match receiver.open(piece) {
                // Four octets of tag: one of four thousand million inputs may open.
                Ok(opened) => assert!(opened.len() < piece.len()),
                Err(_) => continue,
            }
        }
    }
}
