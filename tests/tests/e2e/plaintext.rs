//! Row 5: no plaintext of media in any file that the system wrote, at any time.

use crate::{fixture::Fixture, network::Trace};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    process::Program,
    recorder,
    scenario::{CUSTOMER_DN, talk},
};
use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    time::Duration,
};

const WINDOW: usize = 64;
/// Windows with fewer different octets say nothing: silence, zeros, repeated patterns.
const LEAST_DIFFERENT: usize = 12;
const BASE: u64 = 0x0100_0000_01b3;

/// Hashes of every telling 64-byte window of something that must not be found.
#[derive(Default)]
pub struct Forbidden(HashSet<u64>);

impl Forbidden {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, bytes: &[u8]) {
        for_each_window(bytes, |window, hash| {
            let mut seen = [false; 256];
            window.iter().for_each(|&octet| seen[usize::from(octet)] = true);
            if seen.iter().filter(|seen| **seen).count() >= LEAST_DIFFERENT {
                self.0.insert(hash);
            }
        });
    }

    pub fn found_in(&self, bytes: &[u8]) -> usize {
        let mut found = 0;
        for_each_window(bytes, |_, hash| found += usize::from(self.0.contains(&hash)));
        found
    }
}

/// A rolling polynomial hash over each window.
fn for_each_window(bytes: &[u8], mut each: impl FnMut(&[u8], u64)) {
    if bytes.len() < WINDOW {
        return;
    }
    let leaving = (1..WINDOW).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = 0u64;
    for (n, &octet) in bytes.iter().enumerate() {
        if n >= WINDOW {
            hash = hash.wrapping_sub(u64::from(bytes[n - WINDOW] ^ 0x5a).wrapping_mul(leaving));
        }
        hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(octet ^ 0x5a));
        if n + 1 >= WINDOW {
            each(&bytes[n + 1 - WINDOW..=n], hash);
        }
    }
}

/// `strace` of every way to write to a file; sockets are told apart by `-yy`.
pub fn tracer(log: &Path) -> Vec<String> {
    let calls = "write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,splice,vmsplice,io_uring_setup,memfd_create";
    let mut words: Vec<String> =
        ["strace", "-f", "-yy", "-xx", "-s", "16777216", "-e"].map(str::to_owned).into();
    words.push(format!("trace={calls}"));
    words.extend(["-e".to_owned(), "signal=none".to_owned(), "-o".to_owned(), log.display().to_string()]);
    words
}

/// What was written to regular files, per file in the order written; how many bytes in all.
pub fn written(log: &Path) -> Result<std::collections::BTreeMap<String, Vec<u8>>> {
    let mut files: std::collections::BTreeMap<String, Vec<u8>> = Default::default();
    for line in BufReader::new(File::open(log)?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        ensure!(!line.contains("io_uring_setup("), "io_uring is not traced: {line}");
        let Some((_, arguments)) = line.split_once('(') else { continue };
        let Some(name) =
            arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(name, _)| name)
        else {
            continue;
        };
        // Regular files have a path; sockets, pipes and anonymous descriptors have `kind:`. strace -xx writes it in hex.
        let name = unescape(name);
        let name = String::from_utf8_lossy(&name).into_owned();
        if !name.starts_with('/') || name.starts_with("/dev/") || name.starts_with("/proc/") {
            continue;
        }
        let file = files.entry(name).or_default();
        let mut rest = arguments.split_once('>').map_or("", |(_, rest)| rest);
        while let Some((_, after)) = rest.split_once('"') {
            let Some((data, after)) = after.split_once('"') else { break };
            file.extend(unescape(data));
            rest = after;
        }
    }
    Ok(files)
}

/// `\x..` to bytes; anything else as it stands.
fn unescape(text: &str) -> Vec<u8> {
    if !text.contains("\\x") {
        return text.as_bytes().to_vec();
    }
    text.split("\\x").skip(1).filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}

fn linear(mu_law: &[u8]) -> Vec<u8> {
    mu_law
        .iter()
        .flat_map(|octet| {
            let inverted = !octet;
            let magnitude = (((i32::from(inverted & 15) << 3) + 0x84) << (inverted >> 4 & 7)) - 0x84;
            (if inverted & 0x80 != 0 { -magnitude } else { magnitude } as i16).to_le_bytes()
        })
        .collect()
}

#[test]
fn the_search_finds_what_is_there_and_nothing_else() {
    let media: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut forbidden = Forbidden::default();
    forbidden.add(&media);
    forbidden.add(&[0; 500]);
    let mut file = vec![7; 1000];
    assert_eq!(forbidden.found_in(&file), 0);
    assert_eq!(forbidden.found_in(&[0; 1000]), 0);
    file.extend(&media[100..164]);
    file.extend([9; 100]);
    assert_eq!(forbidden.found_in(&file), 1);
    assert_eq!(unescape("\\x2f\\x61"), b"/a");
}

#[tokio::test]
async fn no_write_of_any_process_holds_plaintext_media() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    let (server_log, recorder_log) = (f.dir().join("server.strace"), f.dir().join("recorder.strace"));
    f.scenario.site.wrapper = tracer(&server_log);
    f.scenario.site.start().await?;
    f.scenario.site.wrapper.clear();
    let desktop = f.dir().join("desktop");
    std::fs::create_dir_all(&desktop)?;
    let mut display = hindsight_tests::display::Display::start(&desktop, 800, 600).await?;
    display.show("office", &desktop)?;
    let agent_desktop = f.scenario.agent(&display.name, "x11");
    let mut command = recorder::command(&f.scenario.site, &desktop, &agent_desktop, &tracer(&recorder_log))?;
    let mut recorder = Program::spawn("hindsight-recorder", &mut command, &desktop.join("recorder.log"))?;
    recorder.wait_for_log("link is open", Duration::from_secs(40)).await?;
    let mut trace = Trace::start(f.dir(), &f.scenario.site.ports).await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(10)).await;
    customer.hang_up().await?;
    let console = f.console().await?;
    let call = console.wait_until_complete(CUSTOMER_DN, Duration::from_secs(90)).await?;
    trace.stop().await?;
    // Replaying must leave no trace either.
    let mut movies = Vec::new();
    for file in media(&call, "screen") {
        movies.push(console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?);
    }
    for file in media(&call, "voice") {
        console.bytes(file["mediaUrl"].as_str().context("mediaUrl")?).await?;
        console.get(file["peaksUrl"].as_str().context("peaksUrl")?).await?;
    }
    // strace hands a signal for itself on to nobody: the traced programs are asked one by one.
    end_traced(&mut recorder).await?;
    end_traced(f.scenario.site.program("server")?).await?;

    let mut forbidden = Forbidden::default();
    let packets = trace.voice_to_media_server()?;
    let mut by_leg: std::collections::BTreeMap<u16, Vec<u8>> = Default::default();
    for packet in &packets {
        forbidden.add(&packet.payload);
        by_leg.entry(packet.to_port).or_default().extend(&packet.payload);
    }
    for mu_law in by_leg.values() {
        forbidden.add(mu_law);
        forbidden.add(&linear(mu_law));
    }
    for movie in &movies {
        forbidden.add(movie);
    }
    println!(
        "{} packets, {} KB of H.264: {} telling windows",
        packets.len(),
        movies.iter().map(Vec::len).sum::<usize>() / 1024,
        forbidden.count()
    );
    ensure!(forbidden.count() > 100_000, "there is not enough to look for");

    let mut searched = 0;
    for log in [&server_log, &recorder_log] {
        let files = written(log)?;
        let bytes: usize = files.values().map(Vec::len).sum();
        println!("{:?}: {} files, {} KB written", log.file_name(), files.len(), bytes / 1024);
        ensure!(bytes > 50_000, "the trace saw too little: {:?}", files.keys().collect::<Vec<_>>());
        for (name, bytes) in &files {
            let found = forbidden.found_in(bytes);
            ensure!(found == 0, "{found} windows of plaintext were written to {name}");
        }
        searched += bytes;
    }
    // And what lies on the disk in the end, by whatever way it came there.
    for directory in [f.scenario.site.data(), desktop.join("data")] {
        for path in files_below(&directory)? {
            let found = forbidden.found_in(&std::fs::read(&path)?);
            ensure!(found == 0, "{found} windows of plaintext lie in {path:?}");
        }
    }
    println!("{} KB searched", searched / 1024);
    Ok(())
}

/// SIGTERM for the children of strace; strace ends after them.
pub async fn end_traced(strace: &mut Program) -> Result<()> {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", strace.pid()))?;
    for pid in children.split_whitespace() {
        // SAFETY: the children of our own strace, which has not been waited for.
        unsafe { libc::kill(pid.parse()?, libc::SIGTERM) };
    }
    hindsight_tests::process::eventually("the traced program's end", Duration::from_secs(40), || {
        let running = strace.is_running();
        async move {
            ensure!(!running, "still running");
            Ok(())
        }
    })
    .await
}

pub fn files_below(directory: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}
