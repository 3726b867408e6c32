//! Structural similarity, as ffmpeg computes it.
//!
//! `luma`: of the brightness, as the measure is defined (Wang, Bovik, Sheikh and Simoncelli 2004, section III.B), with the
//! reference brought to the matrix of the recording: ours is BT.709, ffmpeg's are BT.601. `rgb`: mean of the three colours,
//! which also sees what 4:2:0 takes away.
//!
//! Pictures are compared in their order: files count time in different units, and a picture that is a digit of time early
//! would be compared with the one before.

use anyhow::Context as _;
use std::{path::Path, process::Command};

/// How alike pictures are, 0 to 1.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Similarity {
    luma: f64,
    rgb: f64,
}

/// The matrix of a recording's colours, as ffmpeg names it.
#[derive(Clone, Copy, Debug)]
pub enum Matrix {
    /// Ours.
    Bt709,
    /// ffmpeg's, unasked.
    Bt601,
}

/// Of the pictures of two files at which `select` (ffmpeg's) is true.
pub fn compare(
    one: &Path,
    matrix: Matrix,
    reference: &Path,
    frame_rate: u32,
    select: &str,
) -> anyhow::Result<Similarity> {
    let picked = picked(frame_rate, select);
    filtered(&[one, reference], &format!("[0:v]{picked}[a];[1:v]{picked}[b];{}", both(matrix)))
}

/// Of a file and what 4:2:0 leaves of it.
pub fn limit(reference: &Path, frame_rate: u32, select: &str) -> anyhow::Result<Similarity> {
    let picked = picked(frame_rate, select);
    let graph = format!("[0:v]{picked},split[c][b];[c]format=yuv420p[a];{}", both(Matrix::Bt601));
    filtered(&[reference], &graph)
}

/// Of `a` and the RGB `b`: the colours, then the brightness.
fn both(matrix: Matrix) -> String {
    let matrix = match matrix {
        Matrix::Bt709 => "bt709",
        Matrix::Bt601 => "bt601",
    };
    format!(
        "[a]split[a1][a2];[b]split[b1][b2];[a1]format=gbrp[ca];[b1]format=gbrp[cb];[ca][cb]ssim,nullsink;\
         [a2]extractplanes=y[ya];\
         [b2]scale=out_color_matrix={matrix}:out_range=tv,format=yuv444p,extractplanes=y[yb];[ya][yb]ssim"
    )
}

/// One picture each tick of the frame rate, then those selected, numbered.
fn picked(frame_rate: u32, select: &str) -> String {
    format!("fps={frame_rate},select='{select}',settb=1/1000000,setpts=N*1000")
}

fn filtered(inputs: &[&Path], graph: &str) -> anyhow::Result<Similarity> {
    let mut command = Command::new("ffmpeg");
    command.arg("-nostdin");
    for input in inputs {
        command.arg("-i").arg(input);
    }
    let output = command.args(["-lavfi", graph, "-vsync", "passthrough", "-f", "null", "-"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let of = |planes: &str| -> anyhow::Result<f64> {
        let line = said.lines().find(|line| line.contains(&format!("SSIM {planes}:")));
        let all =
            line.and_then(|line| line.rsplit_once("All:")).with_context(|| format!("no SSIM: {said}"))?.1;
        Ok(all.split(' ').next().unwrap_or_default().parse()?)
    };
    Ok(Similarity { luma: of("Y")?, rgb: of("R")? })
}
