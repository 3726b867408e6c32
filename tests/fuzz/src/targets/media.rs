//! Packets: RTP, RTCP, SRTP. An input is a sequence of packets, each behind one byte for its length and one for the time
//! that passes before it.

use super::Target;
use hindsight_rtp::{
    Arrived, Packet, Reception, Stream, packet,
    reception::Sent,
    rtcp::{self, Report},
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

fn rtcp_words(count: u8, kind: u8, words: &[u32]) -> Vec<u8> {
    let length = u16::try_from(words.len()).unwrap_or(u16::MAX);
    let head = [&[0x80 | count, kind][..], &length.to_be_bytes()].concat();
    head.into_iter().chain(words.iter().flat_map(|word| word.to_be_bytes())).collect()
}

fn rtcp_inputs() -> Vec<Vec<u8>> {
    let block = |ssrc: u32, last: u32| [ssrc, 0x4000_0003, 0x0001_0203, 77, last, 0x0001_8000];
    let sender_report = |ntp: u32, timestamp: u32, blocks: &[[u32; 6]]| {
        let own = [1, 0xe000_0000 + ntp, 0x8000_0000, timestamp, 300, 48_000];
        let all: Vec<u32> = own.into_iter().chain(blocks.iter().flatten().copied()).collect();
        rtcp_words(u8::try_from(blocks.len()).unwrap_or(0), 200, &all)
    };
    let receiver_report = rtcp_words(1, 201, &[&[2][..], &block(1, 0x0001_8000)].concat());
    let description = [&[0x81, 202, 0, 3, 0, 0, 0, 1, 1, 5][..], b"a@b.c\0"].concat();
    let goodbye = rtcp_words(1, 203, &[1]);
    let extended = rtcp_words(0, 207, &[1, 0x0400_0002, 5, 6, 0x0700_0008, 1, 2, 3, 4, 5, 6, 7, 8]);
    let application = rtcp_words(0, 204, &[1, 0x4142_4344, 9]);
    let feedback = rtcp_words(1, 205, &[1, 2, 3]);
    let compound = |ntp: u32| [sender_report(ntp, ntp * 8_000, &[block(2, 7)]), description.clone()].concat();
    let longest: Vec<[u32; 6]> = (0..7).map(|n| block(n, n)).collect();
    // A stream that is reported on, for as long as its clock is watched.
    let mut call = Vec::new();
    for second in 0..20u32 {
        for n in 0..2 {
            let number = u16::try_from(second * 2 + n).unwrap_or(0);
            call.push(rtp_packet(0x80, 0, number, second * 8_000 + n * 160, 1));
        }
        call.push(compound(second));
        call.push(receiver_report.clone());
    }
    vec![
        framed(&[compound(1), receiver_report.clone(), compound(2), extended.clone(), feedback.clone()]),
        framed(&[[receiver_report, description.clone(), extended, goodbye, application].concat()]),
        framed(&[[feedback, sender_report(5, 5, &longest), description].concat()]),
        framed(&call),
    ]
}

/// RTCP: relayed as it is; read for its reports. None on the RTP port is taken for voice, and no report moves a voice out
/// of the call.
pub const RTCP: Target = Target {
    name: "rtcp",
    feed: rtcp,
    inputs: rtcp_inputs,
    words: &[
        b"\x80\xc8",
        b"\x81\xc8\x00\x0c",
        b"\x81\xc9\x00\x07",
        b"\x81\xca",
        b"\x81\xcb",
        b"\x80\xcc",
        b"\x8f\xcd",
        b"\x80\xcf",
        b"\xa0\xc9",
        b"\x00\x06",
        b"\x00\x00\x00\x01",
        b"\x80\x00\x00\x00",
        b"\xff\xff",
    ],
};

fn rtcp(bytes: &[u8]) {
    let mut receiver = Receiver::new(Protection::CounterMode { tag: 10 }, &[7; 16], &[9; 14]);
    let (mut stream, mut sent, mut reception) = (Stream::new(8000), Sent::default(), Reception::default());
    let (mut at_us, mut given) = (0, 0);
    for (wait, piece) in packets(bytes) {
        at_us += wait * wait * 15_000;
        let is_rtcp = packet::is_rtcp(piece);
        let parsed = Packet::parse(piece);
        assert!(!is_rtcp || parsed.is_err(), "RTCP taken for voice");
        let _ = packet::header_len(piece);
        if let Some(receiver) = &mut receiver {
            assert!(receiver.open(piece).is_err(), "opened without its key");
            assert!(receiver.open_control(piece).is_err(), "opened without its key");
        }
        if let Ok(packet) = parsed {
            stream.push(&Arrived { packet, at_us, ticks: 160, wanted: true }, &mut |frame| {
                assert!((0..=at_us + 2_100_000).contains(&frame.at_us), "{frame:?} at {at_us}");
                true
            });
            continue;
        }
        let mut found = Vec::new();
        let read = rtcp::read(piece, &mut |report| found.push(report));
        assert!(found.len() * 20 <= piece.len(), "more reports than fit");
        let again = rtcp::read(piece, &mut |_| ());
        assert_eq!(read, again);
        for report in found {
            match report {
                Report::Sender(report) => {
                    stream.report(&report, at_us);
                    sent.pass(&report, at_us);
                }
                Report::Reception(report) => {
                    let round_trip_us = sent.round_trip_us(&report, at_us);
                    assert!(round_trip_us.is_none_or(|us| (0..=60_000_000).contains(&us)));
                    given += u64::from(reception.take(&report, 8_000, round_trip_us));
                }
            }
        }
    }
    let (last, worst) = (reception.last, reception.worst);
    assert_eq!(reception.reports, given);
    assert!(last.fraction_lost <= worst.fraction_lost && last.jitter_us <= worst.jitter_us);
    assert!(last.round_trip_us <= worst.round_trip_us);
}

/// SRTP and SRTCP with a wrong key: nothing opens, nothing panics, nothing is remembered without bound. The packets of
/// libsrtp's own check open; changed they do not.
pub const SRTP: Target = Target {
    name: "srtp",
    feed: srtp,
    inputs: || {
        let mut inputs = rtp_inputs();
        inputs.push(framed(&[LIBSRTP.to_vec(), LIBSRTP_CONTROL.to_vec()]));
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

const LIBSRTP_CONTROL: [u8; 38] = [
    0x81, 0xc8, 0x00, 0x0b, 0xca, 0xfe, 0xba, 0xbe, 0x71, 0x28, 0x03, 0x5b, 0xe4, 0x87, 0xb9, 0xbd, 0xbe,
    0xf8, 0x90, 0x41, 0xf9, 0x77, 0xa5, 0xa8, 0x80, 0x00, 0x00, 0x01, 0x99, 0x3e, 0x08, 0xcd, 0x54, 0xd6,
    0xc1, 0x23, 0x07, 0x98,
];

fn srtp(bytes: &[u8]) {
    for (protection, key, salt) in [
        (Protection::CounterMode { tag: 10 }, &KEY[..], &SALT[..]),
        (Protection::CounterMode { tag: 4 }, &[3; 32], &SALT[..]),
        (Protection::Gcm, &[5; 16], &[6; 12]),
    ] {
        let Some(mut receiver) = Receiver::new(protection, key, salt) else { continue };
        for (_, piece) in packets(bytes) {
            if let Ok(opened) = receiver.open_control(piece) {
                assert!(key == KEY && piece == LIBSRTP_CONTROL, "opened without its key");
                assert_eq!(opened.len() + 14, piece.len());
            }
            match receiver.open(piece) {
                // Four octets of tag: one of four thousand million inputs may open.
                Ok(opened) => assert!(opened.len() < piece.len()),
                Err(_) => continue,
            }
        }
    }
}
