//! The picture as the encoder wants it: 4:2:0, BT.709, limited range.

use super::{EncodeError, scale::PlaneScale};
use crate::capture::{Frame, Rect};
use openh264::formats::YUVSource;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvGrayImageMut, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
};

/// Luma of what is not shown: paused or masked.
const NEUTRAL_LUMA: u8 = 0x40;
/// Chroma of what has no colour.
const NO_COLOUR: u8 = 0x80;

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
        Self {
            width,
            height,
            y: vec![NEUTRAL_LUMA; pixels],
            u: vec![NO_COLOUR; pixels / 4],
            v: vec![NO_COLOUR; pixels / 4],
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Takes over all of another picture of the same size, without a new allocation.
    pub fn copy_from(&mut self, other: &Picture) {
        self.clone_from(other);
    }

    /// Converts rows `top..bottom` of a frame of the same size, both even.
    pub(super) fn convert(
        &mut self,
        frame: &Frame,
        top: u32,
        bottom: u32,
        greyscale: bool,
    ) -> Result<(), EncodeError> {
        let stride = frame.stride();
        let rows = &frame.data()[top as usize * stride..bottom as usize * stride];
        let (width, height) = (self.width, bottom - top);
        let luma = top as usize * width as usize..bottom as usize * width as usize;
        let chroma = top as usize / 2 * (width as usize / 2)..bottom as usize / 2 * (width as usize / 2);
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt709);
        let y_plane = BufferStoreMut::Borrowed(&mut self.y[luma]);
        let converted = if greyscale {
            let mut plane = YuvGrayImageMut { y_plane, y_stride: width, width, height };
            yuv::bgra_to_yuv400(&mut plane, rows, stride as u32, range, matrix)
        } else {
            let mut planes = YuvPlanarImageMut {
                y_plane,
                y_stride: width,
                u_plane: BufferStoreMut::Borrowed(&mut self.u[chroma.clone()]),
                u_stride: width / 2,
                v_plane: BufferStoreMut::Borrowed(&mut self.v[chroma]),
                v_stride: width / 2,
                width,
                height,
            };
            let mode = YuvConversionMode::Balanced;
            yuv::bgra_to_yuv420(&mut planes, rows, stride as u32, range, matrix, mode)
        };
        converted.map_err(|error| EncodeError::Convert(error.to_string()))
    }

    /// Overwrites `rect` (within the picture, all edges even) with the neutral grey.
    pub(super) fn fill_neutral(&mut self, rect: &Rect) {
        let width = self.width as usize;
        fill(&mut self.y, width, rect, 1, NEUTRAL_LUMA);
        fill(&mut self.u, width / 2, rect, 2, NO_COLOUR);
        fill(&mut self.v, width / 2, rect, 2, NO_COLOUR);
    }

    /// Makes anew what stands for rows `top..bottom` (even) of a larger picture.
    pub(super) fn shrink_from(&mut self, large: &Picture, top: u32, bottom: u32) {
        let size = |picture: &Picture, part: u32| {
            ((picture.width / part) as usize, (picture.height / part) as usize)
        };
        let luma = PlaneScale { from: size(large, 1), to: size(self, 1) };
        luma.shrink(&large.y, &mut self.y, top as usize..bottom as usize);
        let chroma = PlaneScale { from: size(large, 2), to: size(self, 2) };
        let rows = top as usize / 2..bottom as usize / 2;
        chroma.shrink(&large.u, &mut self.u, rows.clone());
        chroma.shrink(&large.v, &mut self.v, rows);
    }
}

fn fill(plane: &mut [u8], stride: usize, rect: &Rect, part: usize, value: u8) {
    let (left, top) = (rect.x as usize / part, rect.y as usize / part);
    let (width, height) = (rect.width as usize / part, rect.height as usize / part);
    for row in plane.chunks_exact_mut(stride).skip(top).take(height) {
        row[left..left + width].fill(value);
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
