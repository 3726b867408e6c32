//! The picture as the encoder wants it: 4:2:0, BT.709, limited range.

use super::EncodeError;
use crate::capture::{Frame, Rect};
use openh264::formats::YUVSource;
use yuv::{BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

/// Longer side of the largest picture that the encoder takes.
const LONG_SIDE_MAX: u32 = 3840;
/// Shorter side of it.
const SHORT_SIDE_MAX: u32 = 2160;

/// How a monitor becomes a picture that the encoder takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Pixel by pixel.
    Full,
    /// Four pixels become one: the monitor is larger than 3840 × 2160.
    Half,
}

impl Scale {
    /// For a frame of this (even) size.
    pub fn for_size(width: u32, height: u32) -> Result<Self, EncodeError> {
        let fits = |width: u32, height: u32| {
            width.max(height) <= LONG_SIDE_MAX && width.min(height) <= SHORT_SIDE_MAX
        };
        let (half_width, half_height) = Scale::Half.apply(width, height);
        if width < 16 || height < 16 {
            Err(EncodeError::TooSmall { width, height })
        } else if fits(width, height) {
            Ok(Scale::Full)
        } else if fits(half_width, half_height) {
            Ok(Scale::Half)
        } else {
            Err(EncodeError::TooLarge { width, height })
        }
    }

    /// Size of the picture for a frame of this size; always even.
    pub fn apply(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Scale::Full => (width, height),
            Scale::Half => ((width / 2).next_multiple_of(2), (height / 2).next_multiple_of(2)),
        }
    }
}

/// A picture in planes: luma, then two of chroma with half the columns and rows.
#[derive(Clone)]
pub struct Picture {
    width: u32,
    height: u32,
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

impl Picture {
    /// A picture of one grey: what is shown while recording is paused. Both sides must be even.
    pub fn neutral(width: u32, height: u32) -> Self {
        let pixels = width as usize * height as usize;
        Self { width, height, y: vec![0x40; pixels], u: vec![0x80; pixels / 4], v: vec![0x80; pixels / 4] }
    }

    /// Columns and rows.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Takes over all of another picture of the same size, without a new allocation.
    pub fn copy_from(&mut self, other: &Picture) {
        self.clone_from(other);
    }

    /// Converts the rows of `frame` that `changed` touches.
    pub fn update(&mut self, frame: &Frame, changed: &[Rect], scale: Scale) -> Result<(), EncodeError> {
        for (top, bottom) in bands(changed, frame.padded_size().1, scale) {
            match scale {
                Scale::Full => {
                    let stride = frame.stride();
                    let rows = &frame.data()[top as usize * stride..bottom as usize * stride];
                    self.convert(rows, stride, top, bottom)?;
                }
                Scale::Half => {
                    let halved = halve(frame, top, bottom.min(self.height * 2), self.width);
                    let rows = (halved.len() / (self.width as usize * 4)) as u32;
                    self.convert(&halved, self.width as usize * 4, top / 2, top / 2 + rows)?;
                }
            }
        }
        Ok(())
    }

    /// Converts BGRX rows into rows `top..bottom`, both even.
    fn convert(&mut self, rows: &[u8], stride: usize, top: u32, bottom: u32) -> Result<(), EncodeError> {
        let width = self.width as usize;
        let luma = top as usize * width..bottom as usize * width;
        let chroma = top as usize / 2 * (width / 2)..bottom as usize / 2 * (width / 2);
        let mut planes = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(&mut self.y[luma]),
            y_stride: self.width,
            u_plane: BufferStoreMut::Borrowed(&mut self.u[chroma.clone()]),
            u_stride: self.width / 2,
            v_plane: BufferStoreMut::Borrowed(&mut self.v[chroma]),
            v_stride: self.width / 2,
            width: self.width,
            height: bottom - top,
        };
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt709);
        yuv::bgra_to_yuv420(&mut planes, rows, stride as u32, range, matrix, YuvConversionMode::Balanced)
            .map_err(|error| EncodeError::Convert(error.to_string()))
    }
}

impl YUVSource for Picture {
    fn dimensions(&self) -> (usize, usize) {
        (self.width as usize, self.height as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        let width = self.width as usize;
        (width, width / 2, width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.y
    }

    fn u(&self) -> &[u8] {
        &self.u
    }

    fn v(&self) -> &[u8] {
        &self.v
    }
}

/// Rows touched, widened to what one row of chroma needs, joined where they meet.
fn bands(changed: &[Rect], rows: u32, scale: Scale) -> Vec<(u32, u32)> {
    let step = match scale {
        Scale::Full => 2,
        Scale::Half => 4,
    };
    let mut bands: Vec<(u32, u32)> = changed
        .iter()
        .map(|rect| {
            let top = rect.y.max(0) as u32;
            let bottom = rect.bottom().max(0) as u32;
            (top / step * step, bottom.next_multiple_of(step).min(rows))
        })
        .filter(|(top, bottom)| top < bottom)
        .collect();
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

/// Rows `top..bottom` of the frame at half size, each pixel the mean of four; `width` columns, rows made even by
/// repeating the last.
fn halve(frame: &Frame, top: u32, bottom: u32, width: u32) -> Vec<u8> {
    let stride = frame.stride();
    let rows = ((bottom - top) / 2).next_multiple_of(2);
    let last_pair = (frame.padded_size().1 / 2 - 1) as usize;
    let last_column = frame.padded_size().0 as usize / 2 - 1;
    let mut halved = Vec::with_capacity(rows as usize * width as usize * 4);
    for row in 0..rows as usize {
        let pair = (top as usize / 2 + row).min(last_pair);
        let (upper, lower) = frame.data()[pair * 2 * stride..(pair * 2 + 2) * stride].split_at(stride);
        for column in 0..width as usize {
            let at = column.min(last_column) * 8;
            for channel in 0..4 {
                let sum = u32::from(upper[at + channel])
                    + u32::from(upper[at + 4 + channel])
                    + u32::from(lower[at + channel])
                    + u32::from(lower[at + 4 + channel]);
                halved.push(((sum + 2) / 4) as u8);
            }
        }
    }
    halved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn striped(width: u32, height: u32) -> Frame {
        let mut frame = Frame::new(width, height);
        for row in 0..height {
            let area = Rect { x: 0, y: row as i32, width, height: 1 };
            frame.row_mut(&area, 0).fill(if row / 8 % 2 == 0 { 0xFF } else { 0 });
        }
        frame
    }

    #[test]
    fn converting_what_changed_gives_the_same_picture_as_converting_all() {
        let mut frame = striped(66, 50);
        let mut by_parts = Picture::neutral(66, 50);
        by_parts.update(&frame, &[frame.area()], Scale::Full).unwrap();
        let patch = Rect { x: 11, y: 17, width: 9, height: 5 };
        frame.put(&patch, &[0x33; 9 * 5 * 4]);
        by_parts.update(&frame, &[patch], Scale::Full).unwrap();
        let mut at_once = Picture::neutral(66, 50);
        at_once.update(&frame, &[frame.area()], Scale::Full).unwrap();
        assert!(by_parts.y == at_once.y && by_parts.u == at_once.u && by_parts.v == at_once.v);
        assert_eq!((at_once.y[0], at_once.y[66 * 8]), (235, 16), "white and black of the limited range");
    }

    #[test]
    fn a_monitor_too_large_for_the_encoder_is_halved_and_one_beyond_that_is_refused() {
        assert_eq!(Scale::for_size(3840, 2160).unwrap(), Scale::Full);
        assert_eq!(Scale::for_size(5120, 1440).unwrap(), Scale::Half);
        assert!(matches!(Scale::for_size(7682, 4320), Err(EncodeError::TooLarge { .. })));
        let frame = striped(5122, 1442);
        let (width, height) = Scale::Half.apply(5122, 1442);
        let mut picture = Picture::neutral(width, height);
        picture.update(&frame, &[frame.area()], Scale::Half).unwrap();
        assert_eq!((width, height), (2562, 722));
        assert_eq!((picture.y[0], picture.y[2562 * 4]), (235, 16));
        assert_eq!(picture.y[2562 * 721], picture.y[2562 * 720]);
    }

    #[test]
    fn touching_bands_are_joined() {
        let rect = |y, height| Rect { x: 0, y, width: 1, height };
        assert_eq!(
            bands(&[rect(5, 3), rect(0, 2), rect(8, 1), rect(20, 90)], 100, Scale::Full),
            [(0, 2), (4, 10), (20, 100)]
        );
    }
}
