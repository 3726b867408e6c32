//! What the encoder gets to see of one monitor: converted, masked, without colour and smaller where policy says so.

use super::{EncodeError, Picture, Scale};
use crate::capture::{Frame, Rect, Region};

/// Kept in planes from picture to picture; only what changed is converted. No masked pixel is ever in what
/// [`Canvas::picture`] gives.
pub struct Canvas {
    scale: Scale,
    greyscale: bool,
    full: Picture,
    /// `None`: the picture has the monitor's size.
    scaled: Option<Picture>,
    /// What is masked in it; all edges even.
    mask: Region,
}

impl Canvas {
    /// A neutral canvas for frames of this (even) size.
    pub fn new(width: u32, height: u32, scale: Scale, greyscale: bool) -> Self {
        let scaled = (!scale.is_full()).then(|| Picture::neutral(scale.size().0, scale.size().1));
        Self { scale, greyscale, full: Picture::neutral(width, height), scaled, mask: Region::default() }
    }

    /// Takes over what `changed` of `frame`, without what `mask` covers. False: nothing that can be seen changed.
    pub fn update(&mut self, frame: &Frame, changed: &[Rect], mask: &Region) -> Result<bool, EncodeError> {
        let (width, height) = self.full.size();
        let even = |rect: &Rect| even(rect).intersection(&Rect::of_size(width, height));
        let mut dirty: Region = changed.iter().filter_map(even).collect();
        let mask: Region = mask.rects().iter().filter_map(even).collect();
        if mask == self.mask {
            let mut visible = dirty.clone();
            visible.remove_all(&mask);
            if visible.is_empty() {
                return Ok(false);
            }
        } else {
            dirty.add_all(&self.mask);
            dirty.add_all(&mask);
            self.mask = mask;
        }
        for (top, bottom) in bands(dirty.rects()) {
            self.full.convert(frame, top, bottom, self.greyscale)?;
            let band = Rect { x: 0, y: top as i32, width, height: bottom - top };
            for rect in self.mask.within(&band).rects() {
                self.full.fill_neutral(rect);
            }
            if let Some(scaled) = &mut self.scaled {
                scaled.shrink_from(&self.full, top, bottom);
            }
        }
        Ok(true)
    }

    /// For the encoder.
    pub fn picture(&self) -> &Picture {
        self.scaled.as_ref().unwrap_or(&self.full)
    }

    /// Forgets everything that was on the screen.
    pub fn clear(&mut self) {
        let (width, height) = self.full.size();
        *self = Self::new(width, height, self.scale, self.greyscale);
    }
}

/// The smallest rectangle with even edges that holds `rect`: a pixel of chroma stands for four.
fn even(rect: &Rect) -> Rect {
    let (left, top) = (rect.x & !1, rect.y & !1);
    Rect {
        x: left,
        y: top,
        width: (rect.right().saturating_sub(left).max(0) as u32).next_multiple_of(2),
        height: (rect.bottom().saturating_sub(top).max(0) as u32).next_multiple_of(2),
    }
}

/// Rows touched, joined where they meet.
fn bands(rects: &[Rect]) -> Vec<(u32, u32)> {
    let mut bands: Vec<(u32, u32)> = rects.iter().map(|rect| (rect.y as u32, rect.bottom() as u32)).collect();
    bands.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(bands.len());
    for (top, bottom) in bands {
        match joined.last_mut() {
            Some(last) if top <= last.1 => last.1 = last.1.max(bottom),
            _ => joined.push((top, bottom)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use openh264::formats::YUVSource as _;
    use proptest::prelude::*;

    fn striped(width: u32, height: u32) -> Frame {
        let mut frame = Frame::new(width, height);
        for row in 0..height {
            let area = Rect { x: 0, y: row as i32, width, height: 1 };
            frame.row_mut(&area, 0).fill(if row / 8 % 2 == 0 { 0xFF } else { 0 });
        }
        frame
    }

    fn canvas(width: u32, height: u32, percent: u8, greyscale: bool) -> Canvas {
        Canvas::new(width, height, Scale::for_size(width, height, percent).unwrap(), greyscale)
    }

    fn planes(picture: &Picture) -> (&[u8], &[u8], &[u8]) {
        (picture.y(), picture.u(), picture.v())
    }

    #[test]
    fn converting_what_changed_gives_the_same_picture_as_converting_all() {
        for percent in [100, 66, 50] {
            let mut frame = striped(66, 50);
            let mut by_parts = canvas(66, 50, percent, false);
            assert!(by_parts.update(&frame, &[frame.area()], &Region::default()).unwrap());
            let patch = Rect { x: 11, y: 17, width: 9, height: 5 };
            frame.put(&patch, &[0x33; 9 * 5 * 4]);
            assert!(by_parts.update(&frame, &[patch], &Region::default()).unwrap());
            let mut at_once = canvas(66, 50, percent, false);
            at_once.update(&frame, &[frame.area()], &Region::default()).unwrap();
            assert!(planes(by_parts.picture()) == planes(at_once.picture()), "at {percent} %");
        }
        let mut full = canvas(66, 50, 100, false);
        let frame = striped(66, 50);
        full.update(&frame, &[frame.area()], &Region::default()).unwrap();
        assert_eq!((full.picture().y()[0], full.picture().y()[66 * 8]), (235, 16), "limited range");
    }

    #[test]
    fn without_colour_only_the_brightness_is_kept() {
        let mut frame = Frame::new(32, 32);
        frame.put(&Rect::of_size(32, 32), &[0x20, 0x80, 0xF0, 0].repeat(32 * 32));
        let (mut colour, mut grey) = (canvas(32, 32, 100, false), canvas(32, 32, 100, true));
        for canvas in [&mut colour, &mut grey] {
            canvas.update(&frame, &[frame.area()], &Region::default()).unwrap();
        }
        assert!(colour.picture().y()[0].abs_diff(grey.picture().y()[0]) <= 1);
        assert!(colour.picture().v()[0] > 160);
        assert!(grey.picture().u().iter().chain(grey.picture().v()).all(|&value| value == 128));
    }

    #[test]
    fn what_changes_under_a_mask_is_no_change() {
        let mut frame = Frame::new(64, 64);
        let mask: Region = [Rect { x: 10, y: 10, width: 21, height: 21 }].into_iter().collect();
        let mut canvas = canvas(64, 64, 100, false);
        assert!(canvas.update(&frame, &[frame.area()], &mask).unwrap());
        let under = Rect { x: 12, y: 12, width: 8, height: 8 };
        frame.put(&under, &[0xFF; 256]);
        assert!(!canvas.update(&frame, &[under], &mask).unwrap());
        assert!(canvas.update(&frame, &[], &Region::default()).unwrap(), "the mask went away");
        assert_eq!(canvas.picture().y()[12 * 64 + 12], 235);
    }

    proptest! {
        /// The frame is white, the canvas has seen it under one mask after another: where the last one is, nothing is left.
        #[test]
        fn nothing_white_is_under_a_mask(
            masks in prop::collection::vec((0..60i32, 0..40i32, 0..30u32, 0..30u32), 1..6),
            percent in 30..=100u8,
        ) {
            let mut frame = Frame::new(61, 47);
            frame.put(&Rect::of_size(61, 47), &[0xFF; 61 * 47 * 4]);
            let mut canvas = canvas(62, 48, percent, false);
            let mut last = Region::default();
            for (number, (x, y, width, height)) in masks.into_iter().enumerate() {
                last = [Rect { x, y, width, height }].into_iter().collect();
                let changed = if number == 0 { vec![frame.area()] } else { Vec::new() };
                canvas.update(&frame, &changed, &last).unwrap();
            }
            let (columns, rows) = canvas.picture().size();
            for row in 0..rows {
                for column in 0..columns {
                    // All that this pixel stands for lies within the mask.
                    let (left, right) = (column * 62 / columns, ((column + 1) * 62).div_ceil(columns));
                    let (top, bottom) = (row * 48 / rows, ((row + 1) * 48).div_ceil(rows));
                    let stands_for = Rect {
                        x: left as i32, y: top as i32, width: right - left, height: bottom - top,
                    };
                    if last.covers(&stands_for) {
                        prop_assert_eq!(canvas.picture().y()[(row * columns + column) as usize], 0x40);
                    }
                }
            }
        }
    }
}
