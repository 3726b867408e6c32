//! One byte range of a representation (RFC 9110 14).

use std::ops::Range;

/// What a request asks of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of it: 200.
    Whole,
    /// This part: 206.
    Part(Range<u64>),
    /// A part that does not exist: 416.
    Unsatisfiable,
}

/// Reads `Range` and `If-Range` for a representation of `len` bytes with this (strong) entity tag.
///
/// What is not understood, several ranges, or an outdated `If-Range` is answered with the whole (14.2, 13.1.5).
pub fn asked(range: Option<&str>, if_range: Option<&str>, etag: &str, len: u64) -> Asked {
    let Some(range) = range.filter(|_| if_range.is_none_or(|tag| tag == etag)) else { return Asked::Whole };
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|set| set.split_once('-')) else {
        return Asked::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(0) => Asked::Unsatisfiable,
            Some(_) if len == 0 => Asked::Unsatisfiable,
            Some(count) => Asked::Part(len.saturating_sub(count)..len),
            None => Asked::Whole,
        },
        (first, last) => {
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match number(first).zip(last) {
                Some((first, last)) if first > last => Asked::Whole,
                Some((first, _)) if first >= len => Asked::Unsatisfiable,
                Some((first, last)) => Asked::Part(first..last.saturating_add(1).min(len)),
                None => Asked::Whole,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str) -> Asked {
        asked(Some(range), None, "\"a\"", 1000)
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        assert_eq!(asked(None, None, "\"a\"", 1000), Asked::Whole);
        assert_eq!(of("bytes=0-0"), Asked::Part(0..1));
        assert_eq!(of("bytes=500-"), Asked::Part(500..1000));
        assert_eq!(of("bytes=500-4000"), Asked::Part(500..1000));
        assert_eq!(of("bytes=-300"), Asked::Part(700..1000));
        assert_eq!(of("bytes=-3000"), Asked::Part(0..1000));
        assert_eq!(of("bytes=1000-"), Asked::Unsatisfiable);
        assert_eq!(of("bytes=-0"), Asked::Unsatisfiable);
    }

    #[test]
    fn what_is_not_understood_gets_the_whole() {
        for odd in ["", "bytes", "bytes=", "items=0-1", "bytes=0-1,5-6", "bytes=9-3", "bytes=a-b", "bytes=-"]
        {
            assert_eq!(of(odd), Asked::Whole, "{odd}");
        }
        assert_eq!(of("bytes=0-18446744073709551615"), Asked::Part(0..1000));
        assert_eq!(of("bytes=0-18446744073709551616"), Asked::Whole);
    }

    #[test]
    fn an_outdated_representation_is_sent_anew() {
        assert_eq!(asked(Some("bytes=5-6"), Some("\"a\""), "\"a\"", 10), Asked::Part(5..7));
        assert_eq!(asked(Some("bytes=5-6"), Some("\"b\""), "\"a\"", 10), Asked::Whole);
        assert_eq!(asked(Some("bytes=5-6"), Some("W/\"a\""), "\"a\"", 10), Asked::Whole);
    }
}
