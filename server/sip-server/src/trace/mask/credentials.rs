//! What challenges and their answers show (RFC 7616, RFC 8760).

use super::{HIDDEN, uris};

/// Schemes that are named.
const SCHEMES: [&str; 3] = ["Digest", "Basic", "Bearer"];
/// Parameters that are shown with their value.
const SHOWN: [&str; 8] = ["username", "realm", "uri", "algorithm", "qop", "nc", "stale", "domain"];
/// Parameters that are named.
const NAMED: [&str; 8] =
    ["nonce", "response", "cnonce", "opaque", "nextnonce", "rspauth", "userhash", "auts"];

/// Of a challenge or an answer to it. Whatever is not Digest is hidden as a whole.
pub fn masked(value: &str) -> String {
    let (scheme, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    match SCHEMES.iter().find(|known| known.eq_ignore_ascii_case(scheme)) {
        Some(scheme) if *scheme == "Digest" => format!("{scheme} {}", parameters(rest)),
        Some(scheme) if !rest.is_empty() => format!("{scheme} {HIDDEN}"),
        _ => HIDDEN.to_owned(),
    }
}

/// Of a list `name=value, …`.
pub fn parameters(list: &str) -> String {
    split(list).into_iter().map(parameter).collect::<Vec<_>>().join(", ")
}

fn parameter(text: &str) -> String {
    let Some((name, value)) = text.split_once('=') else { return HIDDEN.to_owned() };
    let (name, value) = (name.trim(), value.trim());
    let is = |known: &&&str| known.eq_ignore_ascii_case(name);
    match (SHOWN.iter().find(is), NAMED.iter().find(is)) {
        (Some(name), _) if is_sound(value) => format!("{name}={}", uris(value)),
        (Some(name), _) | (None, Some(name)) => format!("{name}={HIDDEN}"),
        (None, None) => HIDDEN.to_owned(),
    }
}

/// A token, or a quoted string without anything that could end it early.
fn is_sound(value: &str) -> bool {
    match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(inner) => !inner.contains(['"', '\\']),
        None => value.chars().all(|c| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)),
    }
}

/// At commas outside of quotes; a quote that does not end takes the rest.
fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in list.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[from..]);
    parts
}
