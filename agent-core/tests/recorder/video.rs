//! Decoding by ffmpeg: another reader than the writer.

use std::{io::Write as _, process::Command};

pub struct Video {
    pub width: usize,
    /// Of the file, seconds.
    pub duration: f64,
    pub pictures: Vec<Picture>,
}

pub struct Picture {
    /// When it is shown, seconds.
    pub seconds: f64,
    pub luma: Vec<u8>,
    pub rgb: Vec<u8>,
}

impl Video {
    /// Decodes every picture; anything that ffmpeg complains of is a failure.
    pub fn decode(mp4: &[u8]) -> Self {
        let mut file = tempfile::NamedTempFile::with_suffix(".mp4").unwrap();
        file.write_all(mp4).unwrap();
        let path = file.path().to_str().unwrap();
        let probe = |entries: &str| {
            let output = Command::new("ffprobe")
                .args([
                    "-v",
                    "error",
                    "-select_streams",
                    "v:0",
                    "-show_entries",
                    entries,
                    "-of",
                    "csv=p=0",
                    path,
                ])
                .output()
                .expect("ffmpeg is installed (packaging/setup.sh)");
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let shape = probe("stream=width,height,color_space,color_range");
        let shape: Vec<&str> = shape.trim().split(',').collect();
        let (width, height): (usize, usize) = (shape[0].parse().unwrap(), shape[1].parse().unwrap());
        assert!(shape.contains(&"bt709") && shape.contains(&"tv"), "{shape:?}");
        let times = probe("frame=best_effort_timestamp_time");
        let times: Vec<f64> =
            times.lines().filter_map(|line| line.trim().trim_end_matches(',').parse().ok()).collect();
        let duration = probe("format=duration").trim().parse().unwrap();
        let luma = raw(path, "gray");
        let rgb = raw(path, "rgb24");
        assert_eq!(luma.len(), times.len() * width * height, "every picture decodes");
        let pictures = times
            .iter()
            .zip(luma.chunks_exact(width * height))
            .zip(rgb.chunks_exact(width * height * 3))
            .map(|((&seconds, luma), rgb)| Picture { seconds, luma: luma.to_vec(), rgb: rgb.to_vec() })
            .collect();
        Self { width, duration, pictures }
    }
}

fn raw(path: &str, format: &str) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-i",
            path,
            "-fps_mode",
            "passthrough",
            // Times as they are in the file: pictures do not come at a fixed rate.
            "-enc_time_base",
            "-1",
            "-f",
            "rawvideo",
            "-pix_fmt",
            format,
            "-",
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
