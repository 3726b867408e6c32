//! By bytes as the RFC draws them; the library's own writer is not asked.

use super::*;
use proptest::prelude::*;

fn words(head: [u8; 2], words: &[u32]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.extend((words.len() as u16).to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

const BLOCK: [u32; 6] = [0xbb, 0x40_ff_ff_fe, 0x0001_0002, 160, 0x1234_5678, 0x0001_8000];

fn sender_report() -> Vec<u8> {
    let mut all = vec![0xaa, 0xe000_0001, 0x8000_0000, 48_000, 300, 48_000];
    all.extend(BLOCK);
    words([0x81, 200], &all)
}

fn receiver_report(blocks: &[[u32; 6]]) -> Vec<u8> {
    let mut all = vec![0xaa];
    all.extend(blocks.iter().flatten());
    words([0x80 | blocks.len() as u8, 201], &all)
}

fn description() -> Vec<u8> {
    [&[0x81, 202, 0, 2, 0, 0, 0, 0xaa][..], &[1, 1, b'a', 0]].concat()
}

fn all(bytes: &[u8]) -> (Vec<Report>, bool) {
    let mut found = Vec::new();
    let whole = read(bytes, &mut |report| found.push(report)).is_ok();
    (found, whole)
}

const SENT: Report =
    Report::Sender(SenderReport { ssrc: 0xaa, ntp: 0xe000_0001_8000_0000, timestamp: 48_000 });
const HEARD: Report = Report::Reception(ReceptionReport {
    ssrc: 0xbb,
    fraction_lost: 0x40,
    lost: -2,
    jitter: 160,
    last_report: 0x1234_5678,
    since_report: 0x0001_8000,
});

#[test]
fn a_compound_packet_gives_its_reports_and_the_rest_is_passed_over() {
    let goodbye = words([0x81, 203], &[0xaa]);
    let extended = words([0x80, 207], &[0xaa, 0x0400_0002, 1, 2]);
    let bytes = [sender_report(), description(), extended, goodbye].concat();
    assert_eq!(all(&bytes), (vec![SENT, HEARD], true));
    let bytes = [receiver_report(&[BLOCK, BLOCK]), description()].concat();
    assert_eq!(all(&bytes), (vec![HEARD, HEARD], true));
    assert_eq!(all(&receiver_report(&[])), (vec![], true));
}

/// RFC 5506: any packet may stand alone or first.
#[test]
fn reduced_size_packets_are_read() {
    assert_eq!(all(&description()), (vec![], true));
    let feedback = words([0x81, 205], &[0xaa, 0xbb, 1]);
    assert_eq!(all(&[feedback, receiver_report(&[BLOCK])].concat()), (vec![HEARD], true));
}

#[test]
fn what_is_no_rtcp_is_refused_and_what_stood_before_a_broken_packet_is_not_lost() {
    for bytes in [&[][..], &[0x80], &[0x80, 200, 0, 6, 0, 0], &[0x40; 28], &[0x9f, 201, 0, 1, 0, 0, 0, 1]] {
        assert_eq!(all(bytes), (vec![], false), "{bytes:?}");
    }
    // A description whose item is longer than itself.
    let broken = [0x81, 202, 0, 2, 0, 0, 0, 0xaa, 1, 200, b'a', 0];
    assert_eq!(all(&[&sender_report()[..], &broken].concat()), (vec![SENT, HEARD], false));
}

proptest! {
    #[test]
    fn whatever_the_numbers_are_they_are_read_as_sent(
        ssrc: u32, ntp: u64, timestamp: u32, fraction_lost: u8, lost in -0x80_0000i32..0x80_0000,
        jitter: u32, last_report: u32, since_report: u32,
    ) {
        let low = (lost as u32 & 0xff_ffff) | (u32::from(fraction_lost) << 24);
        let head = [ssrc, (ntp >> 32) as u32, ntp as u32, timestamp, 1, 2];
        let block = [!ssrc, low, 3, jitter, last_report, since_report];
        let bytes = words([0x81, 200], &[&head[..], &block[..]].concat());
        let heard =
            ReceptionReport { ssrc: !ssrc, fraction_lost, lost, jitter, last_report, since_report };
        let sent = SenderReport { ssrc, ntp, timestamp };
        prop_assert_eq!(all(&bytes), (vec![Report::Sender(sent), Report::Reception(heard)], true));
    }

    #[test]
    fn no_bytes_do_harm_and_no_more_reports_come_out_than_fit(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (found, _) = all(&bytes);
        prop_assert!(found.len() * 20 <= bytes.len());
    }

    #[test]
    fn no_change_to_a_compound_packet_does_harm(
        changes in proptest::collection::vec((0usize..200, any::<u8>()), 0..12), cut in 0usize..200,
    ) {
        let mut bytes = [sender_report(), description(), receiver_report(&[BLOCK; 3])].concat();
        for (at, with) in changes {
            let place = at % bytes.len();
            bytes[place] = with;
        }
        bytes.truncate(bytes.len() - cut % bytes.len());
        let (found, _) = all(&bytes);
        prop_assert!(found.len() * 20 <= bytes.len());
    }
}
