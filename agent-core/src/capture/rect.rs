//! Rectangles of pixels.

/// A rectangle of pixels; `x` and `y` may be negative on a desktop, never within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left edge.
    pub x: i32,
    /// Upper edge.
    pub y: i32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// The rectangle from the upper left corner.
    pub const fn of_size(width: u32, height: u32) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// What both cover, if anything.
    pub fn intersection(&self, other: &Rect) -> Option<Rect> {
        let left = self.x.max(other.x);
        let top = self.y.max(other.y);
        let right = self.right().min(other.right());
        let bottom = self.bottom().min(other.bottom());
        (left < right && top < bottom).then(|| Rect {
            x: left,
            y: top,
            width: (right - left) as u32,
            height: (bottom - top) as u32,
        })
    }

    /// The smallest rectangle that holds both.
    pub fn union(&self, other: &Rect) -> Rect {
        let left = self.x.min(other.x);
        let top = self.y.min(other.y);
        Rect {
            x: left,
            y: top,
            width: (self.right().max(other.right()) - left) as u32,
            height: (self.bottom().max(other.bottom()) - top) as u32,
        }
    }

    /// The same rectangle, seen from a corner at `x`, `y`.
    pub fn relative_to(&self, x: i32, y: i32) -> Rect {
        Rect { x: self.x - x, y: self.y - y, ..*self }
    }

    /// Pixels covered.
    pub fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// First column to the right of it.
    pub fn right(&self) -> i32 {
        self.x.saturating_add_unsigned(self.width)
    }

    /// First row below it.
    pub fn bottom(&self) -> i32 {
        self.y.saturating_add_unsigned(self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_meet_and_join() {
        let a = Rect { x: -10, y: 0, width: 20, height: 10 };
        let b = Rect { x: 5, y: 5, width: 20, height: 10 };
        assert_eq!(a.intersection(&b), Some(Rect { x: 5, y: 5, width: 5, height: 5 }));
        assert_eq!(a.union(&b), Rect { x: -10, y: 0, width: 35, height: 15 });
        assert_eq!(a.intersection(&Rect { x: 10, y: 0, width: 1, height: 1 }), None);
    }
}
