//! Row 10 for screens: two hours with a key frame each minute; a seek costs its own minute, and shows what playing shows.

use crate::seek::{OnDisk, opened, peak_since, recipient};
use anyhow::{Context, Result, ensure};
use hindsight_agent_core::{
    capture::{Frame, Rect, Region},
    encode::{Canvas, Encoder, Scale},
    mux::{Muxer, TrackShape},
};
use hindsight_playback::Screen;
use hindsight_seal::{Recipient, Sealer};
use hindsight_tests::process::run;
use hindsight_wire::manifest::IndexEntry;
use std::{fs::File, io::Write, path::Path, process::Command};
use uuid::Uuid;

const WIDTH: u32 = 160;
const HEIGHT: u32 = 120;
const PICTURE_MS: u64 = 500;

/// A bar of noise, somewhere else in each picture: what is left of the one before shows when one is left out.
fn draw(frame: &mut Frame, number: u32) {
    let area = Rect { x: (number * 7 % (WIDTH - 16)) as i32, y: 0, width: 16, height: HEIGHT };
    for row in 0..HEIGHT {
        let at = Rect { y: row as i32, height: 1, ..area };
        for (column, pixel) in frame.row_mut(&at, 0).chunks_exact_mut(4).enumerate() {
            let value = (column as u32 / 4 * 31 + row / 4 * 17 + number).wrapping_mul(2_654_435_761);
            pixel.copy_from_slice(&value.to_le_bytes());
        }
    }
}

/// As the recorder writes it, padding included.
fn record(path: &Path, certificate: &str, seconds: u64) -> Result<(Uuid, Vec<IndexEntry>)> {
    let id = Uuid::now_v7();
    let (mut sealer, mut sealed) = Sealer::new(id, &[Recipient::from_pem(certificate)?])?;
    let mut file = File::create(path)?;
    let mut frame = Frame::new(WIDTH, HEIGHT);
    let mut canvas = Canvas::new(WIDTH, HEIGHT, Scale::for_size(WIDTH, HEIGHT, 100)?, false);
    let mut encoder = Encoder::new(WIDTH, HEIGHT, 2, 26)?;
    let (mut muxer, mut plain) = (None, Vec::new());
    for number in 0..seconds * 1000 / PICTURE_MS {
        draw(&mut frame, number as u32);
        canvas.update(&frame, &[frame.area()], &Region::default())?;
        let at_us = number * PICTURE_MS * 1000;
        encoder.encode(canvas.picture(), at_us)?;
        let muxer = match &mut muxer {
            Some(muxer) => muxer,
            none => {
                let shape = TrackShape { width: WIDTH, height: HEIGHT, sets: encoder.parameter_sets() };
                none.insert(Muxer::new(&shape, &mut plain)?)
            }
        };
        muxer.push(at_us, encoder.last().key, encoder.last().sample, &mut plain)?;
        if number % 50 == 0 {
            let padding = hindsight_seal::mp4_free_box(2000);
            muxer.padded(padding.len());
            plain.extend(padding);
        }
        sealer.write(&plain, &mut sealed)?;
        plain.clear();
        file.write_all(&sealed)?;
        sealed.clear();
    }
    let mut muxer = muxer.context("no picture")?;
    muxer.finish(seconds * 1_000_000, &mut plain)?;
    sealer.write(&plain, &mut sealed)?;
    sealer.finish(&mut sealed)?;
    file.write_all(&sealed)?;
    Ok((id, muxer.index().to_vec()))
}

/// Size and duration (in ticks) of each reference of the `sidx`, and where the first begins.
fn references(start: &[u8]) -> Result<(u64, Vec<(u64, u32)>)> {
    let word = |at: usize| -> Result<u32> {
        Ok(u32::from_be_bytes(start.get(at..at + 4).context("cut off")?.try_into()?))
    };
    let at = start.windows(4).position(|kind| kind == b"sidx").context("no sidx")? - 4;
    let len = word(at)? as usize;
    let references = (at + 40..at + len).step_by(12).map(|place| Ok((word(place)?.into(), word(place + 4)?)));
    Ok(((at + len) as u64, references.collect::<Result<_>>()?))
}

async fn whole(screen: &Screen<OnDisk>, path: &Path) -> Result<()> {
    let (mut file, mut at) = (File::create(path)?, 0);
    while at < screen.len() {
        let bytes = screen.read(at..screen.len()).await?;
        at += bytes.len() as u64;
        file.write_all(&bytes)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_seek_into_two_hours_of_a_screen_opens_one_minute_in_constant_memory() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (certificate, private) = recipient(dir.path())?;
    let mut costs = Vec::new();
    for seconds in [600u64, 7200] {
        let path = dir.path().join(seconds.to_string());
        let (id, index) = record(&path, &certificate, seconds)?;
        let (plaintext, held) = opened(&path, id, &private).await?;
        let screen = Screen::open(plaintext, &index, seconds * 1000).await?;
        let to_open = screen.segments_opened();
        let (mut at, runs) = references(&screen.read(0..64 * 1024).await?)?;
        ensure!(runs.len() as u64 == seconds / 60, "{} runs", runs.len());
        at += runs.iter().take(runs.len() * 3 / 4).map(|run| run.0).sum::<u64>();
        let moof = screen.read(at..at + 8).await?;
        assert_eq!(&moof[4..], b"moof");
        let (size, of_run) = (std::fs::metadata(&path)?.len(), runs[runs.len() * 3 / 4].0);
        println!(
            "{seconds} s, {} KB: {to_open} segments to open, {} in all for the first byte of a minute of {} KB, peak {} KB of memory",
            size / 1024,
            screen.segments_opened(),
            of_run / 1024,
            peak_since(held) / 1024
        );
        costs.push((screen.segments_opened(), of_run, peak_since(held)));
        if seconds == 600 {
            whole(&screen, &dir.path().join("movie.mp4")).await?;
        }
    }
    for (segments, of_run, _) in &costs {
        assert!(*segments <= of_run / 4000 + 60, "more than its own minute: {costs:?}");
    }
    // A table of key frames grows by 12 bytes a minute, the index by 16 a fragment.
    assert!(costs[1].2 < costs[0].2 + 256 * 1024, "memory grows with the length: {costs:?}");
    plays_and_seeks_alike(&dir.path().join("movie.mp4"))
}

/// Time (milliseconds) and hash of each picture that ffmpeg decodes.
fn decoded(options: &[&str], movie: &Path, most: &str) -> Result<Vec<(u64, String)>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "warning", "-copyts"]).args(options).arg("-i").arg(movie);
    command.args([
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1:1000",
        "-frames:v",
        most,
        "-f",
        "framemd5",
        "-",
    ]);
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && told.is_empty(), "ffmpeg {options:?}: {told}");
    let printed = String::from_utf8(output.stdout)?;
    let lines = printed.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split(',').map(str::trim);
        let at = fields.nth(2).context("pts")?.parse()?;
        Ok((at, fields.next_back().context("hash")?.to_owned()))
    });
    lines.collect()
}

/// Playing gives every picture; a seek, the same from there on; seeks forward and back in one sitting as well.
fn plays_and_seeks_alike(movie: &Path) -> Result<()> {
    let played = decoded(&[], movie, "100000")?;
    assert_eq!(played.len() as u64, 600_000 / PICTURE_MS);
    assert!(played.iter().zip(0..).all(|((at, _), n)| *at == n * PICTURE_MS), "a gap, or a wrong time");
    let distinct: std::collections::HashSet<_> = played.iter().map(|(_, hash)| hash).collect();
    assert!(distinct.len() * 10 > played.len() * 9, "pictures that are alike prove nothing");
    for second in ["0", "3", "59.5", "60", "60.5", "119.9", "431.2", "299", "12", "185.5", "599"] {
        let sought = decoded(&["-ss", second], movie, "9")?;
        let first = sought.first().context("no picture after a seek")?;
        let number = played.iter().position(|picture| picture == first);
        let number =
            number.with_context(|| format!("a seek to {second} s shows what playing never shows"))?;
        assert!(
            (first.0 as f64 - second.parse::<f64>()? * 1000.0).abs() <= PICTURE_MS as f64,
            "{second}: {first:?}"
        );
        assert_eq!(sought, played[number..(number + 9).min(played.len())], "{second}");
    }
    let packets = |intervals: &str| -> Result<Vec<(u64, String)>> {
        let mut command = Command::new("ffprobe");
        command.args([
            "-v",
            "warning",
            "-show_packets",
            "-show_data_hash",
            "md5",
            "-read_intervals",
            intervals,
        ]);
        command.args(["-show_entries", "packet=pts_time,data_hash,flags", "-of", "csv=p=0"]).arg(movie);
        let printed = String::from_utf8(run(&mut command)?)?;
        let parse = |line: &str| {
            let (at, rest) = line.split_once(',').context("pts")?;
            Ok(((at.parse::<f64>()? * 1000.0).round() as u64, rest.to_owned()))
        };
        printed.lines().map(parse).collect()
    };
    let all = packets("%")?;
    // From a key frame before the second asked for, without a gap, to the second before which playing stops. (libavformat
    // 5.1 starts a key frame too early when it goes back to the last one.)
    let sittings = [
        (3, 5),
        (430, 432),
        (59, 62),
        (60, 62),
        (540, 550),
        (12, 14),
        (185, 187),
        (50, 51),
        (541, 542),
        (100, 101),
    ];
    let asked: Vec<_> = sittings.iter().map(|(from, to)| format!("{from}%{to}")).collect();
    let sat = packets(&asked.join(","))?;
    let mut left = sat.as_slice();
    for (from, to) in sittings {
        let (first, _) = left.first().with_context(|| format!("nothing from {from} s on"))?;
        let begin = all.iter().position(|(at, _)| at == first).context("a time that is not played")?;
        assert!(all[begin].1.starts_with('K') && *first <= from * 1000 && *first + 120_000 > from * 1000);
        let wanted: Vec<_> = all[begin..].iter().take_while(|(at, _)| *at < to * 1000).cloned().collect();
        ensure!(
            left.starts_with(&wanted),
            "from {from} s to {to} s, begun at {first} ms: pictures are left out"
        );
        left = &left[wanted.len()..];
    }
    assert!(left.is_empty());
    Ok(())
}
