//! EBML elements (RFC 8794), as far as a live Matroska writer needs them.

/// Appends an element id.
pub fn id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    out.extend_from_slice(&bytes[skip..]);
}

/// Appends a size in as few bytes as hold it (all ones means unknown, so they are not used).
pub fn size(out: &mut Vec<u8>, size: u64) {
    let mut length = 1u32;
    while length < 8 && size >= (1u64 << (7 * length)) - 1 {
        length += 1;
    }
    let coded = size | 1u64 << (7 * length);
    out.extend_from_slice(&coded.to_be_bytes()[8 - length as usize..]);
}

/// Appends a master element of known size.
pub fn master(out: &mut Vec<u8>, element: u32, content: &[u8]) {
    id(out, element);
    size(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Appends an unsigned integer in as few bytes as hold it.
pub fn uint(out: &mut Vec<u8>, element: u32, value: u64) {
    let bytes = value.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count().min(7);
    master(out, element, &bytes[skip..]);
}

/// Appends a signed integer of eight bytes.
pub fn int(out: &mut Vec<u8>, element: u32, value: i64) {
    master(out, element, &value.to_be_bytes());
}

/// Appends a float of eight bytes.
pub fn float(out: &mut Vec<u8>, element: u32, value: f64) {
    master(out, element, &value.to_be_bytes());
}

/// Appends a string.
pub fn string(out: &mut Vec<u8>, element: u32, value: &str) {
    master(out, element, value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        size(&mut out, value);
        out
    }

    #[test]
    fn sizes_take_as_few_bytes_as_hold_them_and_are_never_unknown() {
        assert_eq!(coded(0), [0x80]);
        assert_eq!(coded(126), [0xfe]);
        assert_eq!(coded(127), [0x40, 0x7f]);
        assert_eq!(coded(16_382), [0x7f, 0xfe]);
        assert_eq!(coded(16_383), [0x20, 0x3f, 0xff]);
        assert_eq!(coded(1 << 40), [0x05, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn integers_take_as_few_bytes_as_hold_them() {
        let mut out = Vec::new();
        uint(&mut out, 0xe7, 0);
        uint(&mut out, 0x2a_d7b1, 1_000_000);
        assert_eq!(out, [0xe7, 0x81, 0, 0x2a, 0xd7, 0xb1, 0x83, 0x0f, 0x42, 0x40]);
    }
}
