//! The few lexical rules of RFC 3261 25.1 that every header shares.

use super::error::Fault;

/// Is this octet allowed in a `token`?
pub fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Is this a non-empty `token`?
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_char)
}

/// Trims SP and HTAB (folding has become SP by then).
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Reads a decimal number: digits only, no sign; `None` on anything else or on overflow of 64 bits.
pub fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The position just after the quoted string that starts at `start` (which holds the opening quote).
pub fn quoted_end(text: &str, start: usize) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err(Fault::syntax("Unterminated Quoted String"))
}

/// Splits at `separator` outside quoted strings and outside `<…>`; pieces are trimmed, empty ones kept.
pub fn split(text: &str, separator: u8) -> Result<Vec<&str>, Fault> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::with_capacity(1);
    let (mut from, mut at, mut angle) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'"' if !angle => {
                at = quoted_end(text, at)?;
                continue;
            }
            b'<' => angle = true,
            b'>' => angle = false,
            b if b == separator && !angle => {
                pieces.push(trim(&text[from..at]));
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    pieces.push(trim(&text[from..]));
    Ok(pieces)
}

/// Takes the quotes and the backslashes off a quoted string; anything else comes back as it is.
pub fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// Writes a quoted string, with backslashes before `"` and `\`.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Decodes `%HH`; a `%` that is no escape stays. The result is an opaque string, never parsed again.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten().and_then(hex_pair);
        match escape {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_angles_do_not_split() {
        let pieces = split(r#""a, \" b" <sip:x,y@h>;p="1,2", <sip:z@h>"#, b',').unwrap();
        assert_eq!(pieces, [r#""a, \" b" <sip:x,y@h>;p="1,2""#, "<sip:z@h>"]);
    }

    #[test]
    fn quoting_is_the_inverse_of_unquoting() {
        assert_eq!(unquote(&quote(r#"a "b" \c"#)), r#"a "b" \c"#);
        assert!(quoted_end(r#""abc\"#, 0).is_err());
        assert!(quoted_end(r#""abc\""#, 0).is_err());
    }

    #[test]
    fn a_percent_that_is_no_escape_stays() {
        assert_eq!(percent_decode("%75se%72%Z%4"), "user%Z%4");
    }
}
