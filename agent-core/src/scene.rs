//! A clock that a program can read off a picture. For tests: the scene `clock` of the example `screen_scene` draws
//! it, tests find it in decoded video.
//!
//! # Layout
//!
//! 48 cells of 32 × 32 pixels in 12 columns and 4 rows, 384 × 128 pixels, row by row from the upper left corner of
//! [`CLOCK_AT`]. White is 1, black is 0.
//!
//! | cells | bits |
//! |---|---|
//! | 0–3 | `1010`: the pattern is here, and this is white and that is black |
//! | 4–39 | 36 bits, most significant first: time in units of 10 ms since the Unix epoch, modulo 2³⁶, Gray coded |
//! | 40–47 | checksum of those 36 bits: the five bytes of the Gray code, most significant first, CRC-8 (polynomial 0x07, start 0xFF) |
//!
//! Gray coded: a picture taken while the next value is being drawn shows one of the two or fails the checksum.

/// Columns of cells.
pub const CLOCK_COLUMNS: u32 = 12;
/// Rows of cells.
pub const CLOCK_ROWS: u32 = 4;
/// Pixels along each side of a cell.
pub const CELL: u32 = 32;
/// Upper left corner of the pattern on the screen.
pub const CLOCK_AT: (u32, u32) = (64, 64);

const CELLS: usize = (CLOCK_COLUMNS * CLOCK_ROWS) as usize;
const MARK: [bool; 4] = [true, false, true, false];
const TIME_BITS: u32 = 36;

/// The cells for a time, milliseconds since the Unix epoch.
pub fn clock_cells(unix_ms: u64) -> [bool; CELLS] {
    let value = (unix_ms / 10) & ((1 << TIME_BITS) - 1);
    let gray = value ^ (value >> 1);
    let mut cells = [false; CELLS];
    cells[..4].copy_from_slice(&MARK);
    for bit in 0..TIME_BITS as usize {
        cells[4 + bit] = gray >> (TIME_BITS as usize - 1 - bit) & 1 == 1;
    }
    let sum = checksum(gray);
    for bit in 0..8 {
        cells[40 + bit] = sum >> (7 - bit) & 1 == 1;
    }
    cells
}

/// Reads the clock off a picture: 8-bit luma, `stride` bytes a row. `near_ms` is any time within 11 years, since the
/// pattern repeats. `None`: no clock there, or a torn picture.
pub fn read_clock(luma: &[u8], stride: usize, near_ms: u64) -> Option<u64> {
    let mut cells = [false; CELLS];
    for (number, cell) in cells.iter_mut().enumerate() {
        let column = number as u32 % CLOCK_COLUMNS;
        let row = number as u32 / CLOCK_COLUMNS;
        let brightness = mean(luma, stride, CLOCK_AT.0 + column * CELL, CLOCK_AT.1 + row * CELL)?;
        *cell = match brightness {
            0..=80 => false,
            170..=255 => true,
            _ => return None,
        };
    }
    if cells[..4] != MARK {
        return None;
    }
    let bits = |range: std::ops::Range<usize>| {
        cells[range].iter().fold(0u64, |value, &bit| value << 1 | u64::from(bit))
    };
    let gray = bits(4..40);
    if bits(40..48) != u64::from(checksum(gray)) {
        return None;
    }
    let value = (0..TIME_BITS).fold(0, |value, shift| value ^ (gray >> shift));
    // The pattern repeats every 2³⁶ · 10 ms: take the time nearest to the one given.
    let near = near_ms / 10;
    let period = 1u64 << TIME_BITS;
    let candidates = [near / period, (near / period).saturating_sub(1), near / period + 1];
    candidates
        .iter()
        .map(|turn| turn * period + value)
        .min_by_key(|time| time.abs_diff(near))
        .map(|time| time * 10)
}

/// Mean brightness of the middle of a cell: its edges may be blurred.
fn mean(luma: &[u8], stride: usize, x: u32, y: u32) -> Option<u8> {
    let inset = CELL / 4;
    let mut sum = 0u64;
    for row in y + inset..y + CELL - inset {
        let start = row as usize * stride + (x + inset) as usize;
        sum +=
            luma.get(start..start + (CELL - 2 * inset) as usize)?.iter().map(|&v| u64::from(v)).sum::<u64>();
    }
    Some((sum / u64::from((CELL - 2 * inset) * (CELL - 2 * inset))) as u8)
}

fn checksum(gray: u64) -> u8 {
    gray.to_be_bytes()[3..].iter().fold(0xFF, |crc, &byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(cells: &[bool], stride: usize) -> Vec<u8> {
        let mut luma = vec![128; stride * 300];
        for (number, &white) in cells.iter().enumerate() {
            let x = (CLOCK_AT.0 + number as u32 % CLOCK_COLUMNS * CELL) as usize;
            let y = (CLOCK_AT.1 + number as u32 / CLOCK_COLUMNS * CELL) as usize;
            for row in y..y + CELL as usize {
                luma[row * stride + x..row * stride + x + CELL as usize].fill(if white { 230 } else { 20 });
            }
        }
        luma
    }

    #[test]
    fn the_clock_is_read_back_to_ten_milliseconds() {
        for unix_ms in [1_795_000_000_000, 1_795_000_000_015, 687_194_767_359, 687_194_767_360] {
            let luma = picture(&clock_cells(unix_ms), 640);
            assert_eq!(read_clock(&luma, 640, unix_ms + 40_000), Some(unix_ms / 10 * 10));
        }
    }

    #[test]
    fn one_wrong_cell_is_noticed() {
        let mut cells = clock_cells(1_795_000_000_000);
        for wrong in 0..cells.len() {
            cells[wrong] = !cells[wrong];
            assert_eq!(read_clock(&picture(&cells, 640), 640, 1_795_000_000_000), None, "cell {wrong}");
            cells[wrong] = !cells[wrong];
        }
    }
}
