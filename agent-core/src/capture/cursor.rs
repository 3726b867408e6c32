//! Drawing the mouse cursor into a frame, and taking it out again.

use super::{Frame, Rect};

/// The look of a cursor: premultiplied ARGB, as XFIXES gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorImage {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Column of the point that points.
    pub hot_x: i32,
    /// Row of the point that points.
    pub hot_y: i32,
    /// `width * height` pixels, 0xAARRGGBB.
    pub pixels: Vec<u32>,
}

impl CursorImage {
    /// The area it covers when it points at `x`, `y`.
    pub fn area_at(&self, x: i32, y: i32) -> Rect {
        Rect { x: x - self.hot_x, y: y - self.hot_y, width: self.width, height: self.height }
    }
}

/// What lies under the cursor drawn into one frame, so that the frame can be had without it.
#[derive(Default)]
pub struct Stamp {
    drawn: Option<Drawn>,
    under: Vec<u8>,
}

struct Drawn {
    area: Rect,
    serial: u32,
    at: (i32, i32),
}

impl Stamp {
    /// Whether the frame already shows the cursor of this serial at this place (`None`: no cursor).
    pub fn shows(&self, cursor: Option<(u32, (i32, i32))>) -> bool {
        self.drawn.as_ref().map(|drawn| (drawn.serial, drawn.at)) == cursor
    }

    /// Takes the cursor out of `frame`; gives the area that changed.
    pub fn lift(&mut self, frame: &mut Frame) -> Option<Rect> {
        let area = self.drawn.take()?.area;
        frame.put(&area, &self.under);
        Some(area)
    }

    /// Draws `image` pointing at `at` (of the frame); gives the area that changed. Lift the old one first.
    pub fn draw(
        &mut self,
        frame: &mut Frame,
        image: &CursorImage,
        serial: u32,
        at: (i32, i32),
    ) -> Option<Rect> {
        let whole = image.area_at(at.0, at.1);
        let area = whole.intersection(&frame.area())?;
        self.under.clear();
        for row in 0..area.height {
            self.under.extend_from_slice(frame.row(&area, row));
        }
        let skip_x = (area.x - whole.x) as usize;
        let skip_y = (area.y - whole.y) as usize;
        for row in 0..area.height {
            let from = (skip_y + row as usize) * image.width as usize + skip_x;
            let Some(source) = image.pixels.get(from..from + area.width as usize) else { break };
            for (pixel, &argb) in frame.row_mut(&area, row).chunks_exact_mut(4).zip(source) {
                blend(pixel, argb);
            }
        }
        self.drawn = Some(Drawn { area, serial, at });
        Some(area)
    }

    /// Forgets what was drawn: the frame was filled anew.
    pub fn forget(&mut self) {
        self.drawn = None;
    }
}

/// Premultiplied "over" (Porter and Duff).
fn blend(pixel: &mut [u8], argb: u32) {
    let [alpha, red, green, blue] = argb.to_be_bytes();
    let keep = 255 - u32::from(alpha);
    for (channel, source) in pixel.iter_mut().zip([blue, green, red]) {
        let kept = (u32::from(*channel) * keep + 127) / 255;
        *channel = (kept + u32::from(source)).min(255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_drawn_at_the_edge_and_leaves_no_trace() {
        let mut frame = Frame::new(8, 8);
        frame.put(&Rect::of_size(8, 8), &[100; 256]);
        let before = frame.data().to_vec();
        let image = CursorImage { width: 4, height: 4, hot_x: 1, hot_y: 1, pixels: vec![0xFFFF_0000; 16] };
        let mut stamp = Stamp::default();
        let area = stamp.draw(&mut frame, &image, 1, (0, 7)).unwrap();
        assert_eq!(area, Rect { x: 0, y: 6, width: 3, height: 2 });
        assert_eq!(frame.row(&area, 0)[..4], [0, 0, 255, 100]);
        assert!(stamp.shows(Some((1, (0, 7)))) && !stamp.shows(None));
        assert_eq!(stamp.lift(&mut frame), Some(area));
        assert_eq!(frame.data(), before);
    }

    #[test]
    fn half_transparent_pixels_are_mixed() {
        let mut pixel = [200, 200, 200, 0];
        blend(&mut pixel, 0x8040_0000);
        assert_eq!(pixel[..3], [100, 100, 164]);
    }
}
