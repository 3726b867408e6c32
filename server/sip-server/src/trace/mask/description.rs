//! What session descriptions show (RFC 8866): everything but keys and passwords.

use super::{HIDDEN, is_secret, uris};

/// A description without keys (RFC 4568, 4567, 8866 5.12) and without the passwords of ICE (RFC 8839).
pub fn masked(text: &str) -> String {
    let lines = text.split(['\r', '\n']).filter(|line| !line.is_empty());
    lines.map(line).collect::<Vec<_>>().join("\n")
}

fn line(line: &str) -> String {
    let mut chars = line.chars();
    match (chars.next().map(|kind| kind.to_ascii_lowercase()), chars.next()) {
        (Some('k'), Some('=')) => format!("k={HIDDEN}"),
        (Some('a'), Some('=')) => attribute(line),
        (Some(kind), Some('=')) if kind.is_ascii_lowercase() => uris(line),
        _ => HIDDEN.to_owned(),
    }
}

fn attribute(line: &str) -> String {
    let (name, value) = line[2..].split_once(':').unwrap_or((&line[2..], ""));
    match name.trim().to_ascii_lowercase().as_str() {
        "crypto" => format!("a=crypto:{}", suite(value)),
        "ice-pwd" => format!("a=ice-pwd:{HIDDEN}"),
        "key-mgmt" => format!("a=key-mgmt:{HIDDEN}"),
        name if is_secret(name) => format!("a={HIDDEN}"),
        _ => uris(line),
    }
}

/// `1 AES_CM_128_HMAC_SHA1_80 inline:***`: tag and suite, where they are what they should be.
fn suite(value: &str) -> String {
    let mut words = value.split_whitespace();
    let tag = words.next().filter(|tag| tag.len() <= 9 && tag.bytes().all(|b| b.is_ascii_digit()));
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let is_suite = |suite: &&str| suite.len() <= 40 && suite.contains('_') && suite.bytes().all(plain);
    match (tag, words.next().filter(is_suite)) {
        (Some(tag), Some(suite)) => format!("{tag} {suite} inline:{HIDDEN}"),
        _ => HIDDEN.to_owned(),
    }
}
