//! Making pictures smaller: each pixel is the mean of the area that it stands for.

use super::EncodeError;
use std::ops::Range;

/// Longer side of the largest picture that the encoder takes.
const LONG_SIDE_MAX: u32 = 3840;
/// Shorter side of it.
const SHORT_SIDE_MAX: u32 = 2160;
/// Shortest side of the smallest: one macroblock.
const SIDE_MIN: u32 = 16;

/// How a monitor becomes a picture that the encoder takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    from: (u32, u32),
    to: (u32, u32),
}

impl Scale {
    /// For a frame of this (even) size, at `percent` of it; half of it where that is larger than the encoder can take.
    pub fn for_size(width: u32, height: u32, percent: u8) -> Result<Self, EncodeError> {
        if width < SIDE_MIN || height < SIDE_MIN {
            return Err(EncodeError::TooSmall { width, height });
        }
        let at = |percent: u32| {
            let side = |side: u32| (side * percent / 100).next_multiple_of(2).clamp(SIDE_MIN, side);
            Self { from: (width, height), to: (side(width), side(height)) }
        };
        let fits = |scale: &Self| {
            scale.to.0.max(scale.to.1) <= LONG_SIDE_MAX && scale.to.0.min(scale.to.1) <= SHORT_SIDE_MAX
        };
        let percent = u32::from(percent.clamp(1, 100));
        [percent, percent.min(50)]
            .into_iter()
            .map(at)
            .find(fits)
            .ok_or(EncodeError::TooLarge { width, height })
    }

    /// Size of the picture; always even.
    pub fn size(&self) -> (u32, u32) {
        self.to
    }

    /// Whether nothing is to be done.
    pub fn is_full(&self) -> bool {
        self.from == self.to
    }
}

/// Columns and rows of a plane before and after.
#[derive(Clone, Copy)]
pub struct PlaneScale {
    pub from: (usize, usize),
    pub to: (usize, usize),
}

impl PlaneScale {
    /// The rows of the smaller plane that stand for anything of `rows`.
    fn rows_of(&self, rows: Range<usize>) -> Range<usize> {
        let (from, to) = (self.from.1, self.to.1);
        rows.start * to / from..(rows.end * to).div_ceil(from).min(to)
    }

    /// Makes the rows of `small` anew that stand for anything of `rows`.
    pub fn shrink(&self, large: &[u8], small: &mut [u8], rows: Range<usize>) {
        let mut sums = vec![0u32; self.from.0];
        for row in self.rows_of(rows) {
            sums.fill(0);
            for (line, weight) in spans(row, self.from.1, self.to.1) {
                let line = &large[line * self.from.0..(line + 1) * self.from.0];
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum += u32::from(*value) * weight;
                }
            }
            let all = self.from.0 as u64 * self.from.1 as u64;
            let target = &mut small[row * self.to.0..(row + 1) * self.to.0];
            for (column, value) in target.iter_mut().enumerate() {
                let sum: u64 = spans(column, self.from.0, self.to.0)
                    .map(|(at, weight)| u64::from(sums[at]) * u64::from(weight))
                    .sum();
                *value = ((sum + all / 2) / all) as u8;
            }
        }
    }
}

/// What pixel `at` of `to` stands for of `from`: which pixels, and how much of each in parts that add up to `from`.
fn spans(at: usize, from: usize, to: usize) -> impl Iterator<Item = (usize, u32)> {
    let (start, end) = (at * from, (at + 1) * from);
    (start / to..end.div_ceil(to)).map(move |pixel| {
        let part = end.min((pixel + 1) * to) - start.max(pixel * to);
        (pixel, part as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_and_the_encoders_limit_say_how_large_a_picture_is() {
        let size = |width, height, percent| Scale::for_size(width, height, percent).map(|scale| scale.size());
        assert_eq!(size(3840, 2160, 100).unwrap(), (3840, 2160));
        assert_eq!(size(5122, 1442, 100).unwrap(), (2562, 722));
        assert_eq!(size(1920, 1080, 66).unwrap(), (1268, 712));
        assert_eq!(size(1080, 1920, 25).unwrap(), (270, 480));
        assert_eq!(size(7680, 4320, 40).unwrap(), (3072, 1728));
        assert_eq!(size(40, 30, 25).unwrap(), (16, 16));
        assert!(matches!(size(7682, 4320, 100), Err(EncodeError::TooLarge { .. })));
        assert!(matches!(size(8, 600, 100), Err(EncodeError::TooSmall { .. })));
    }

    #[test]
    fn each_pixel_is_the_mean_of_what_it_stands_for() {
        let large: Vec<u8> = [[10, 20, 30], [40, 50, 60], [70, 80, 90]].concat();
        let mut small = vec![0; 4];
        let scale = PlaneScale { from: (3, 3), to: (2, 2) };
        scale.shrink(&large, &mut small, 0..3);
        // (10·4 + 20·2 + 40·2 + 50·1) / 9 and so on.
        assert_eq!(small, [23, 37, 63, 77]);
        let mut part = vec![0; 4];
        scale.shrink(&large, &mut part, 2..3);
        assert_eq!(part, [0, 0, 63, 77]);
    }
}
