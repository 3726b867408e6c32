//! Elements that players skip, of an exact size: they push waiting bytes out into a sealed segment.

use crate::SEGMENT_LEN;
use crate::layout::capacity;

/// Bytes of the smallest MP4 box.
pub const MIN_FREE_BOX: usize = 8;
/// Bytes of the smallest EBML element.
pub const MIN_VOID: usize = 2;

/// Padding that releases every byte when `unsealed_len` bytes wait, whichever the segment; 0 when none does.
/// [`crate::Sealer::padding_to_release`] is exact, this is at most 40 bytes more.
pub const fn pad_to_release(unsealed_len: usize) -> usize {
    if unsealed_len == 0 { 0 } else { (capacity(1) + 1).saturating_sub(unsealed_len) }
}

/// An MP4 `free` box (ISO/IEC 14496-12, 8.1.2) of `len` bytes in all; a smaller `len` than [`MIN_FREE_BOX`] is
/// rounded up to it.
pub fn mp4_free_box(len: usize) -> Vec<u8> {
    let len = len.max(MIN_FREE_BOX);
    let mut bytes = Vec::with_capacity(len);
    match u32::try_from(len) {
        Ok(size) => {
            bytes.extend(size.to_be_bytes());
            bytes.extend(b"free");
        }
        Err(_) => {
            bytes.extend(1u32.to_be_bytes());
            bytes.extend(b"free");
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.resize(len, 0);
    bytes
}

/// An EBML Void element (RFC 8794, 11.3.2) of `len` bytes in all; a smaller `len` than [`MIN_VOID`] is rounded up
/// to it.
pub fn ebml_void(len: usize) -> Vec<u8> {
    let len = len.max(MIN_VOID);
    let mut bytes = Vec::with_capacity(len);
    bytes.push(0xec);
    // One byte of size while it can hold the rest (127 means unknown), eight otherwise: any length is reachable.
    if len - MIN_VOID < 127 {
        bytes.push(0x80 | (len - MIN_VOID) as u8);
    } else {
        bytes.extend((1u64 << 56 | (len - 9) as u64).to_be_bytes());
    }
    bytes.resize(len, 0);
    bytes
}

const _: () = assert!(pad_to_release(1) < SEGMENT_LEN);
