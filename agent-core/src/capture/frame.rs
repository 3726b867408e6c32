//! The picture of one monitor: BGRX, 4 bytes a pixel.

use super::Rect;

/// The picture of one monitor. Its memory has an even number of columns and rows, as H.264 with 4:2:0 wants;
/// the added column and row stay black.
pub struct Frame {
    width: u32,
    height: u32,
    stride: usize,
    data: Vec<u8>,
}

impl Frame {
    /// A black frame of this size.
    pub fn new(width: u32, height: u32) -> Self {
        let stride = width.next_multiple_of(2) as usize * 4;
        let rows = height.next_multiple_of(2) as usize;
        Self { width, height, stride, data: vec![0; stride * rows] }
    }

    /// All of the monitor.
    pub fn area(&self) -> Rect {
        Rect::of_size(self.width, self.height)
    }

    /// Columns and rows of the memory, both even.
    pub fn padded_size(&self) -> (u32, u32) {
        (self.width.next_multiple_of(2), self.height.next_multiple_of(2))
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All rows.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Overwrites every pixel with black, so that what was on the screen leaves the memory.
    pub fn blank(&mut self) {
        self.data.fill(0);
    }

    /// One row of `area`, which must lie within the frame.
    pub fn row(&self, area: &Rect, row: u32) -> &[u8] {
        let start = self.offset(area, row);
        &self.data[start..start + area.width as usize * 4]
    }

    /// One row of `area`, which must lie within the frame.
    pub fn row_mut(&mut self, area: &Rect, row: u32) -> &mut [u8] {
        let start = self.offset(area, row);
        &mut self.data[start..start + area.width as usize * 4]
    }

    /// Puts tightly packed pixels into `area`; what does not fit the frame is left out.
    pub fn put(&mut self, area: &Rect, packed: &[u8]) {
        let Some(visible) = area.intersection(&self.area()) else { return };
        let source_stride = area.width as usize * 4;
        let skip_x = (visible.x - area.x) as usize * 4;
        let skip_y = (visible.y - area.y) as usize;
        for row in 0..visible.height {
            let from = (skip_y + row as usize) * source_stride + skip_x;
            let Some(source) = packed.get(from..from + visible.width as usize * 4) else { return };
            self.row_mut(&visible, row).copy_from_slice(source);
        }
    }

    /// Takes over the rows of a picture of the same size that differ (all of them if `all`); gives the band that holds
    /// them. `stride` is the picture's bytes from one row to the next.
    pub fn take_over(&mut self, picture: &[u8], stride: usize, all: bool) -> Option<Rect> {
        let area = self.area();
        let mut band: Option<Rect> = None;
        for (row, source) in (0..area.height).zip(picture.chunks(stride)) {
            let target = self.row_mut(&area, row);
            let Some(source) = source.get(..target.len()) else { break };
            if !all && target == source {
                continue;
            }
            target.copy_from_slice(source);
            let this = Rect { x: 0, y: row as i32, width: area.width, height: 1 };
            band = Some(band.map_or(this, |band| band.union(&this)));
        }
        band
    }

    fn offset(&self, area: &Rect, row: u32) -> usize {
        (area.y as usize + row as usize) * self.stride + area.x as usize * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_monitor_gets_an_even_frame_and_packed_pixels_land_where_they_belong() {
        let mut frame = Frame::new(5, 3);
        assert_eq!(frame.padded_size(), (6, 4));
        frame.put(&Rect { x: 3, y: 1, width: 4, height: 2 }, &[7; 32]);
        assert_eq!(
            frame.row(&Rect { x: 2, y: 1, width: 3, height: 1 }, 0),
            [0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7]
        );
        assert_eq!(frame.data().iter().filter(|&&b| b == 7).count(), 2 * 2 * 4);
    }

    #[test]
    fn only_rows_that_differ_are_taken_over_and_a_short_picture_is_no_panic() {
        let mut frame = Frame::new(2, 4);
        let mut picture = vec![0; 4 * 12];
        picture[12..20].fill(9);
        picture[24..32].fill(9);
        let band = Rect { x: 0, y: 1, width: 2, height: 2 };
        assert_eq!(frame.take_over(&picture, 12, false), Some(band));
        assert_eq!(frame.take_over(&picture, 12, false), None);
        assert_eq!(frame.take_over(&picture, 12, true), Some(frame.area()));
        picture[0..8].fill(1);
        assert_eq!(
            frame.take_over(&picture[..16], 12, false),
            Some(Rect { x: 0, y: 0, width: 2, height: 1 })
        );
    }
}
