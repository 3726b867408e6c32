//! Row 4: foreign tools open both recordings with the exported key; what is damaged or mixed up is refused with its reason.

use crate::fixture::Fixture;
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    process::{built, run},
    scenario::{CUSTOMER_DN, talk},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Opens a Tink stream with a keyset in the clear: key set, sealed, associated data, plaintext.
const TINK: &str = r#"
import io, sys
import tink
from tink import cleartext_keyset_handle, streaming_aead
streaming_aead.register()
keyset, sealed, associated, out = sys.argv[1:]
handle = cleartext_keyset_handle.read(tink.JsonKeysetReader(open(keyset).read()))
primitive = handle.primitive(streaming_aead.StreamingAead)
with primitive.new_decrypting_stream(open(sealed, 'rb'), associated.encode()) as stream, open(out, 'wb') as media:
    media.write(stream.read())
"#;

fn python() -> Result<PathBuf> {
    let cache = std::env::var_os("HINDSIGHT_CACHE").map(PathBuf::from).or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
        Some(base.join("hindsight"))
    });
    let python = cache.context("no HOME")?.join("venv/bin/python");
    ensure!(python.is_file(), "{python:?} is missing: packaging/setup.sh test makes it");
    Ok(python)
}

fn ours(file: &Path, key: &Path, id: &str, out: &Path) -> Result<()> {
    let _ = std::fs::remove_file(out);
    let mut command = Command::new(built("hindsight-server")?);
    command
        .args(["recording", "open"])
        .arg(file)
        .arg("--key")
        .arg(key)
        .args(["--recording", id])
        .arg("--out")
        .arg(out);
    run(&mut command).map(drop)
}

#[tokio::test]
async fn openssl_and_tink_open_both_recordings_and_damage_is_refused_with_its_reason() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let (_display, mut recorder) = f.scenario.desktop("office", (800, 600), "x11").await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(8)).await;
    customer.hang_up().await?;
    let call = f.console().await?.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    recorder.terminate(Duration::from_secs(20)).await?;

    let key = f.dir().join("recording-key.pem");
    run(f.scenario.site.server()?.args(["key", "export", "--out"]).arg(&key))?;
    let mut sealed_files = Vec::new();
    for kind in ["voice", "screen"] {
        for file in media(&call, kind) {
            let id = file["id"].as_str().context("id")?.to_owned();
            let out = f.dir().join(format!("exported-{kind}"));
            run(f.scenario.site.server()?.args(["recording", "export", &id, "--out"]).arg(&out))?;
            sealed_files.push((id.clone(), opened_alike(f.dir(), &out, &id, &key, kind)?));
        }
    }
    let [(voice, voice_file), (screen, screen_file), ..] = sealed_files.as_slice() else {
        anyhow::bail!("voice and screen are not both there: {call:#}");
    };
    refusals(f.dir(), voice, voice_file, &key, screen, screen_file)?;
    f.scenario.site.stop().await
}

/// openssl and tink give the bytes that we give; the sealed file.
fn opened_alike(dir: &Path, exported: &Path, id: &str, key: &Path, kind: &str) -> Result<PathBuf> {
    let sealed = find_sealed(exported, id)?;
    let at = |name: &str| dir.join(format!("{kind}-{name}"));
    run(Command::new("openssl")
        .args(["cms", "-decrypt", "-inform", "DER", "-in"])
        .arg(&sealed)
        .arg("-inkey")
        .arg(key)
        .arg("-out")
        .arg(at("keyset.json")))?;
    let bytes = std::fs::read(&sealed)?;
    std::fs::write(at("stream"), &bytes[4096..])?;
    let associated = format!("urn:uuid:{id}");
    run(Command::new(python()?)
        .args(["-c", TINK])
        .arg(at("keyset.json"))
        .arg(at("stream"))
        .arg(&associated)
        .arg(at("tink")))?;
    ours(&sealed, key, id, &at("ours"))?;
    let (theirs, mine) = (std::fs::read(at("tink"))?, std::fs::read(at("ours"))?);
    println!("{kind}: {} sealed bytes, {} bytes of media by openssl and tink", bytes.len(), theirs.len());
    ensure!(theirs.len() > 10_000 && theirs == mine, "{kind}: tink and we differ");
    Ok(sealed)
}

/// The one file of an export that begins with the envelope and goes on with the stream.
fn find_sealed(exported: &Path, id: &str) -> Result<PathBuf> {
    if exported.is_file() {
        return Ok(exported.to_owned());
    }
    std::fs::read_dir(exported)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "sealed"))
        .with_context(|| format!("no sealed file of {id} in {exported:?}"))
}

fn refusals(dir: &Path, id: &str, file: &Path, key: &Path, other_id: &str, other: &Path) -> Result<()> {
    let good = std::fs::read(file)?;
    let foreign = std::fs::read(other)?;
    let other_key = dir.join("other-key.pem");
    run(Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(&other_key))?;
    let refused = |what: &str, bytes: &[u8], id: &str, key: &Path, words: &[&str]| -> Result<()> {
        let damaged = dir.join("damaged.sealed");
        std::fs::write(&damaged, bytes)?;
        let out = dir.join("damaged.out");
        let error = match ours(&damaged, key, id, &out) {
            Ok(()) => anyhow::bail!("{what} was opened"),
            Err(error) => error.to_string().to_lowercase(),
        };
        println!("{what}: {error}");
        ensure!(words.iter().any(|word| error.contains(word)), "{what}: the reason is not told: {error}");
        ensure!(
            !out.exists() || std::fs::metadata(&out)?.len() == 0,
            "{what}: something was written all the same"
        );
        Ok(())
    };
    refused("a wrong key", &good, id, &other_key, &["key"])?;
    let mut flipped = good.clone();
    flipped[4096 + 5000] ^= 1;
    refused("a flipped bit", &flipped, id, key, &["damaged"])?;
    let mut envelope = good.clone();
    envelope[300] ^= 1;
    refused("a flipped bit of the envelope", &envelope, id, key, &["envelope", "key"])?;
    refused("a tail cut inside a segment", &good[..good.len() - 10], id, key, &["damaged", "trunc", "cut"])?;
    let whole = 4096 + (good.len() - 4096) / 4096 * 4096 - 4096;
    refused("a tail cut between segments", &good[..whole], id, key, &["trunc", "cut"])?;
    let mut swapped = foreign[..4096].to_vec();
    swapped.extend(&good[4096..]);
    refused("a swapped envelope", &swapped, id, key, &["envelope"])?;
    refused("a foreign recording id", &good, other_id, key, &["recording"])
}
