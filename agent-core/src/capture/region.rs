//! Sets of pixels, as rectangles that do not overlap.

use super::Rect;

/// A set of pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    rects: Vec<Rect>,
}

impl Region {
    /// The rectangles, none of which overlaps another.
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// Whether there is no pixel in it.
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// Puts all pixels of `rect` in.
    pub fn add(&mut self, rect: &Rect) {
        if rect.area() == 0 || self.rects.iter().any(|own| own.intersection(rect) == Some(*rect)) {
            return;
        }
        self.remove(rect);
        self.rects.push(*rect);
    }

    /// Puts all pixels of `other` in.
    pub fn add_all(&mut self, other: &Region) {
        other.rects.iter().for_each(|rect| self.add(rect));
    }

    /// Takes all pixels of `rect` out.
    pub fn remove(&mut self, rect: &Rect) {
        if self.rects.iter().all(|own| own.intersection(rect).is_none()) {
            return;
        }
        self.rects = self.rects.iter().flat_map(|own| difference(own, rect)).collect();
    }

    /// Takes all pixels of `other` out.
    pub fn remove_all(&mut self, other: &Region) {
        other.rects.iter().for_each(|rect| self.remove(rect));
    }

    /// The pixels that are in `rect` too.
    pub fn within(&self, rect: &Rect) -> Region {
        self.rects.iter().filter_map(|own| own.intersection(rect)).collect()
    }

    /// The same pixels, seen from a corner at `x`, `y`.
    pub fn relative_to(&self, x: i32, y: i32) -> Region {
        Region { rects: self.rects.iter().map(|rect| rect.relative_to(x, y)).collect() }
    }

    /// Whether every pixel of `rect` is in it.
    pub fn covers(&self, rect: &Rect) -> bool {
        let mut left = Region { rects: vec![*rect] };
        left.remove_all(self);
        left.is_empty()
    }
}

impl FromIterator<Rect> for Region {
    fn from_iter<I: IntoIterator<Item = Rect>>(rects: I) -> Self {
        let mut region = Self::default();
        rects.into_iter().for_each(|rect| region.add(&rect));
        region
    }
}

/// What is left of `one` without `other`: above, below, left and right of it.
fn difference(one: &Rect, other: &Rect) -> impl Iterator<Item = Rect> + use<> {
    let span = |from: i32, to: i32| to.saturating_sub(from).max(0) as u32;
    let parts = match one.intersection(other) {
        None => [Some(*one), None, None, None],
        Some(cut) => {
            let part = |x: i32, y: i32, width: u32, height: u32| {
                (width > 0 && height > 0).then_some(Rect { x, y, width, height })
            };
            [
                part(one.x, one.y, one.width, span(one.y, cut.y)),
                part(one.x, cut.bottom(), one.width, span(cut.bottom(), one.bottom())),
                part(one.x, cut.y, span(one.x, cut.x), cut.height),
                part(cut.right(), cut.y, span(cut.right(), one.right()), cut.height),
            ]
        }
    };
    parts.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIDE: i32 = 24;

    fn rect() -> impl Strategy<Value = Rect> {
        (0..SIDE, 0..SIDE, 0..12u32, 0..12u32).prop_map(|(x, y, width, height)| Rect { x, y, width, height })
    }

    fn holds(rects: &[Rect], x: i32, y: i32) -> usize {
        let pixel = Rect { x, y, width: 1, height: 1 };
        rects.iter().filter(|rect| rect.intersection(&pixel).is_some()).count()
    }

    proptest! {
        #[test]
        fn every_pixel_is_in_the_region_once_or_not_at_all(
            steps in prop::collection::vec((any::<bool>(), rect()), 0..12),
        ) {
            let mut region = Region::default();
            let mut pixels = vec![false; 40 * 40];
            for (add, rect) in &steps {
                if *add { region.add(rect) } else { region.remove(rect) }
                for y in rect.y..rect.bottom() {
                    for x in rect.x..rect.right() {
                        pixels[(y * 40 + x) as usize] = *add;
                    }
                }
            }
            for y in 0..40 {
                for x in 0..40 {
                    prop_assert_eq!(holds(region.rects(), x, y), usize::from(pixels[(y * 40 + x) as usize]));
                }
            }
            let window = Rect { x: 5, y: 7, width: 11, height: 9 };
            let covered = (7..16).all(|y| (5..16).all(|x| pixels[y * 40 + x]));
            prop_assert_eq!(region.covers(&window), covered);
            let inside = region.within(&window);
            prop_assert_eq!(inside.rects().iter().map(Rect::area).sum::<u64>(),
                (7..16).map(|y| (5..16).filter(|x| pixels[y * 40 + x]).count() as u64).sum::<u64>());
        }
    }
}
