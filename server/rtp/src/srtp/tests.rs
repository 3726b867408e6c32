//! Against published vectors, and against a sender that is written here.

use super::*;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

const KEY: &str = "e1f97a0d3e018be0d64fa32c06de4139";
const SALT_HEX: &str = "0ec675ad498afeebb6960b3aabe6";

/// RFC 3711 B.3.
#[test]
fn session_keys_are_those_of_the_rfc() {
    let salt: [u8; SALT] = bytes(SALT_HEX).try_into().unwrap();
    let derived = |label, length| hex::encode(&*derive(&bytes(KEY), &salt, label, length).unwrap());
    assert_eq!(derived(0, 16), "c61e7a93744f39ee10734afe3ff7a087");
    assert_eq!(derived(2, 14), "30cbbc08863d8c85d49db34a9ae1");
    assert!(derived(1, 20).starts_with("cebe321f6ff7716b6fd4ab49af256a156d38baa4"));
}

/// The packet by which libsrtp checks itself: AES-128 in counter mode with a tag of 80 bits.
const LIBSRTP: &str = "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb";

#[test]
fn a_packet_of_libsrtp_opens() {
    let mut receiver =
        Receiver::new(Protection::CounterMode { tag: 10 }, &bytes(KEY), &bytes(SALT_HEX)).unwrap();
    let opened = receiver.open(&bytes(LIBSRTP)).unwrap();
    assert_eq!(hex::encode(opened), format!("800f1234decafbadcafebabe{}", "ab".repeat(16)));
    let mut flipped = bytes(LIBSRTP);
    for at in 0..flipped.len() {
        flipped[at] ^= 1;
        assert!(receiver.open(&flipped).is_err(), "octet {at}");
        flipped[at] ^= 1;
    }
}

/// RFC 7714 16.1.1: AEAD_AES_128_GCM; its session key and salt are given, no master key.
#[test]
fn a_packet_of_rfc_7714_opens() {
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, &bytes("000102030405060708090a0b0c0d0e0f")).unwrap();
    let salt = bytes("517569642070726f2071756f").try_into().unwrap();
    let session = Session::Gcm { key: Box::new(aead::LessSafeKey::new(key)), salt };
    let packet = bytes(
        "8040f17b 8041f8d3 5501a0b2 f24de3a3fb34de6cacba861c9d7e4bca be633bd50d294e6f42a5f47a51c7d19b 36de3adf8833\
         899d7f27beb16a9152cf765ee4390cce",
    );
    let mut out = Vec::new();
    assert!(session.open(&packet, 12, 0, &mut out));
    assert_eq!(&out[12..], b"Gallia est omnis divisa in partes tres");
    assert!(!session.open(&packet, 12, 1, &mut out));
}

/// The RTCP packet by which libsrtp checks itself: AES-128 in counter mode with a tag of 80 bits.
const LIBSRTP_CONTROL: &str =
    "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798";

#[test]
fn a_control_packet_of_libsrtp_opens_and_no_changed_one() {
    // The suite with the short tag has the long one for RTCP.
    for tag in [10, 4] {
        let mut receiver =
            Receiver::new(Protection::CounterMode { tag }, &bytes(KEY), &bytes(SALT_HEX)).unwrap();
        let opened = receiver.open_control(&bytes(LIBSRTP_CONTROL)).unwrap();
        assert_eq!(hex::encode(opened), format!("81c8000bcafebabe{}", "ab".repeat(16)));
        let mut changed = bytes(LIBSRTP_CONTROL);
        for at in 0..changed.len() {
            assert!(receiver.open_control(&changed[..at]).is_err(), "cut to {at}");
            changed[at] ^= 1;
            assert!(receiver.open_control(&changed).is_err(), "octet {at}");
            changed[at] ^= 1;
        }
        assert!(receiver.open(&changed).is_err(), "RTP has other keys");
    }
}

/// RFC 7714 17.1 and 17.3: AEAD_AES_128_GCM, encrypted and only authenticated; session key and salt are given.
#[test]
fn control_packets_of_rfc_7714_open_encrypted_and_not() {
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, &bytes("000102030405060708090a0b0c0d0e0f")).unwrap();
    let salt = bytes("517569642070726f2071756f").try_into().unwrap();
    let session = Session::Gcm { key: Box::new(aead::LessSafeKey::new(key)), salt };
    let plain = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
    let mut out = Vec::new();
    for protected in [
        "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b \
         c84aa45896cf4d2fc5abf87245d9eade 800005d4"
            .to_owned(),
        format!("{plain} 841dd9683dd78ec92ae58790125f62b3 000005d4"),
    ] {
        let mut packet = bytes(&protected);
        assert!(session.open_control(&packet, &mut out).is_some());
        assert_eq!(hex::encode(&out), plain);
        for at in 0..packet.len() {
            packet[at] ^= 0x80;
            assert!(session.open_control(&packet, &mut out).is_none(), "octet {at}");
            packet[at] ^= 0x80;
            assert!(at < 8 || session.open_control(&packet[..at], &mut out).is_none(), "cut to {at}");
        }
    }
}

/// A sender: what [`Receiver`] undoes.
struct Sender {
    session: Session,
    rollovers: u32,
    sequence: u16,
}

impl Sender {
    fn new(protection: Protection, key: &[u8], salt: &[u8], rollovers: u32, sequence: u16) -> Self {
        Self { session: Receiver::new(protection, key, salt).unwrap().session, rollovers, sequence }
    }

    fn next(&mut self) -> Vec<u8> {
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0xca, 0xfe, 0xba, 0xbe]);
        packet.extend([self.sequence as u8; 160]);
        match &self.session {
            Session::CounterMode { key, salt, mac, tag } => {
                let mut iv = [0; 16];
                iv[..SALT].copy_from_slice(salt);
                xor(&mut iv[4..8], &packet[8..12]);
                xor(&mut iv[8..12], &self.rollovers.to_be_bytes());
                xor(&mut iv[12..14], &packet[2..4]);
                assert!(keystream(key, &iv, &mut packet[12..]));
                let signed = [&packet[..], &self.rollovers.to_be_bytes()].concat();
                packet.extend_from_slice(&hmac::sign(mac, &signed).as_ref()[..*tag]);
            }
            Session::Gcm { key, salt } => {
                let mut nonce = *salt;
                xor(&mut nonce[2..6], &packet[8..12]);
                xor(&mut nonce[6..10], &self.rollovers.to_be_bytes());
                xor(&mut nonce[10..12], &packet[2..4]);
                let (head, body) = packet.split_at(12);
                let mut body = body.to_vec();
                let nonce = aead::Nonce::assume_unique_for_key(nonce);
                key.seal_in_place_append_tag(nonce, aead::Aad::from(head), &mut body).unwrap();
                packet = [head, &body].concat();
            }
        }
        let (next, rolled) = self.sequence.overflowing_add(1);
        (self.sequence, self.rollovers) = (next, self.rollovers + u32::from(rolled));
        packet
    }
}

const ALL: [(Protection, usize, usize); 6] = [
    (Protection::CounterMode { tag: 10 }, 16, 14),
    (Protection::CounterMode { tag: 4 }, 16, 14),
    (Protection::CounterMode { tag: 10 }, 32, 14),
    (Protection::CounterMode { tag: 4 }, 32, 14),
    (Protection::Gcm, 16, 12),
    (Protection::Gcm, 32, 12),
];

#[test]
fn a_call_that_is_joined_in_the_middle_opens_and_rolls_over() {
    for (protection, key, salt) in ALL {
        let (key, salt) = (vec![3; key], vec![5; salt]);
        for rollovers in [0, 1, 65] {
            let mut sender = Sender::new(protection, &key, &salt, rollovers, 65_500);
            let mut receiver = Receiver::new(protection, &key, &salt).unwrap();
            for _ in 0..100 {
                let expected = sender.sequence as u8;
                let packet = sender.next();
                assert_eq!(
                    receiver.open(&packet).unwrap()[12..],
                    [expected; 160],
                    "{protection:?}, {rollovers}"
                );
            }
        }
    }
}

#[test]
fn late_packets_open_across_a_rollover() {
    let protection = Protection::CounterMode { tag: 10 };
    let (key, salt) = (bytes(KEY), bytes(SALT_HEX));
    let mut sender = Sender::new(protection, &key, &salt, 7, 65_530);
    let mut packets: Vec<Vec<u8>> = (0..12).map(|_| sender.next()).collect();
    let mut receiver = Receiver::new(protection, &key, &salt).unwrap();
    packets.swap(2, 9);
    for packet in &packets {
        assert!(receiver.open(packet).is_ok());
    }
}

#[test]
fn a_wrong_key_opens_nothing_and_no_bytes_do_harm() {
    for (protection, key, salt) in ALL {
        let mut sender = Sender::new(protection, &vec![3; key], &vec![5; salt], 0, 1);
        let mut receiver = Receiver::new(protection, &vec![4; key], &vec![5; salt]).unwrap();
        for _ in 0..300 {
            assert_eq!(receiver.open(&sender.next()), Err(SrtpError::NotAuthentic));
        }
        let mut right = Receiver::new(protection, &vec![3; key], &vec![5; salt]).unwrap();
        let packet = sender.next();
        assert!(right.open(&packet).is_ok());
        for length in 0..packet.len() {
            assert!(right.open(&packet[..length]).is_err(), "cut to {length}");
        }
        for first in 0..=255u8 {
            let mut odd = packet.clone();
            odd[0] = first;
            let _ = right.open(&odd);
        }
    }
    assert!(Receiver::new(Protection::Gcm, &[0; 15], &[0; 12]).is_none());
    assert!(Receiver::new(Protection::CounterMode { tag: 10 }, &[0; 16], &[0; 15]).is_none());
}
