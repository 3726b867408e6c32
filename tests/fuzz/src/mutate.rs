//! Changes to an input.

use rand::{Rng, rngs::StdRng};

/// No input grows beyond it: what is longer is refused by its length alone.
pub const MAX_INPUT: usize = 8 * 1024;

/// A changed copy of `input`; `other` is where pieces may come from, `words` what the format is made of.
pub fn mutate(input: &[u8], other: &[u8], words: &[&[u8]], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 << rng.random_range(0..4) {
        once(&mut bytes, other, words, rng);
    }
    bytes.truncate(MAX_INPUT);
    bytes
}

fn once(bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]], rng: &mut StdRng) {
    let at = rng.random_range(0..=bytes.len());
    let end = (at + rng.random_range(0..64)).min(bytes.len());
    match rng.random_range(0..10) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = rng.random(),
        2 if at < bytes.len() => {
            let edges =
                [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b' ', b'\r', b'\n', b';', b':', b'"', b'<', b'%'];
            bytes[at] = edges[rng.random_range(0..edges.len())];
        }
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].to_vec();
            let times = rng.random_range(1..=8);
            bytes.splice(at..at, piece.repeat(times));
        }
        5 if !other.is_empty() => {
            let from = rng.random_range(0..other.len());
            let to = (from + rng.random_range(1..256)).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        6 if !words.is_empty() => {
            let word = words[rng.random_range(0..words.len())];
            bytes.splice(at..end.min(at + word.len()), word.iter().copied());
        }
        7 if !words.is_empty() => {
            let word = words[rng.random_range(0..words.len())];
            bytes.splice(at..at, word.iter().copied());
        }
        8 => bytes.truncate(at),
        _ => bytes.insert(at, rng.random()),
    }
    if bytes.len() > MAX_INPUT {
        bytes.truncate(MAX_INPUT);
    }
}
