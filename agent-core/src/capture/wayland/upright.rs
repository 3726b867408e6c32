//! Pictures as compositors hand them over, made upright and BGRX.

/// The order of the bytes of a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Blue, green, red, and one that means nothing.
    #[default]
    Bgrx,
    /// Red, green, blue, and one that means nothing.
    Rgbx,
}

/// How a picture lies in its buffer: the numbers of `SPA_META_TRANSFORMATION_*` (and of `wl_output.transform`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn(pub u32);

impl Turn {
    const FLIPPED: u32 = 4;

    /// Whether columns and rows change places.
    fn lies(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether nothing is to be done.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The size when upright.
    pub fn upright_size(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.lies() { (height, width) } else { (width, height) }
    }

    /// Where the pixel of the upright picture is found in a buffer of this size.
    fn source(self, x: usize, y: usize, (width, height): (usize, usize)) -> (usize, usize) {
        let upright_width = if self.lies() { height } else { width };
        let x = if self.0 & Self::FLIPPED == 0 { x } else { upright_width - 1 - x };
        match self.0 & 3 {
            0 => (x, y),
            1 => (y, height - 1 - x),
            2 => (width - 1 - x, height - 1 - y),
            _ => (width - 1 - y, x),
        }
    }
}

/// Writes the upright picture, tightly packed, into `into`; a buffer that is too short gives black.
pub fn make_upright(
    pixels: &[u8],
    stride: usize,
    size: (u32, u32),
    turn: Turn,
    order: Order,
    into: &mut Vec<u8>,
) {
    let (width, height) = turn.upright_size(size);
    let size = (size.0 as usize, size.1 as usize);
    into.clear();
    into.reserve(width as usize * height as usize * 4);
    for y in 0..height as usize {
        for x in 0..width as usize {
            let (column, row) = turn.source(x, y, size);
            let at = row * stride + column * 4;
            let pixel =
                pixels.get(at..at + 4).map_or([0; 4], |pixel| [pixel[0], pixel[1], pixel[2], pixel[3]]);
            into.extend_from_slice(&match order {
                Order::Bgrx => pixel,
                Order::Rgbx => [pixel[2], pixel[1], pixel[0], pixel[3]],
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 3 × 2 whose pixels are numbered, with a padded row.
    fn upright(turn: u32, order: Order) -> Vec<u8> {
        let pixel = |number: u8| [number, number + 10, number + 20, 0];
        let mut buffer = Vec::new();
        for row in [[1, 2, 3], [4, 5, 6]] {
            buffer.extend(row.into_iter().flat_map(pixel));
            buffer.extend([99; 4]);
        }
        let mut into = Vec::new();
        make_upright(&buffer, 16, (3, 2), Turn(turn), order, &mut into);
        into
    }

    fn numbers(turn: u32) -> Vec<u8> {
        upright(turn, Order::Bgrx).chunks(4).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn every_turn_is_undone() {
        assert_eq!(numbers(0), [1, 2, 3, 4, 5, 6]);
        assert_eq!(numbers(2), [6, 5, 4, 3, 2, 1]);
        assert_eq!(numbers(4), [3, 2, 1, 6, 5, 4]);
        assert_eq!(numbers(6), [4, 5, 6, 1, 2, 3]);
        assert_eq!(numbers(1), [4, 1, 5, 2, 6, 3]);
        assert_eq!(numbers(3), [3, 6, 2, 5, 1, 4]);
        assert_eq!(numbers(5), [1, 4, 2, 5, 3, 6]);
        assert_eq!(numbers(7), [6, 3, 5, 2, 4, 1]);
        assert_eq!(Turn(7).upright_size((3, 2)), (2, 3));
    }

    #[test]
    fn red_and_blue_change_places_and_a_short_buffer_is_black() {
        assert_eq!(upright(0, Order::Rgbx)[..4], [21, 11, 1, 0]);
        let mut into = Vec::new();
        make_upright(&[7; 4], 8, (2, 1), Turn(0), Order::Bgrx, &mut into);
        assert_eq!(into, [7, 7, 7, 7, 0, 0, 0, 0]);
    }
}
