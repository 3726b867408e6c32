//! Row 8: the console in Chromium.

use crate::fixture::Fixture;
use anyhow::{Context, Result};
use hindsight_tests::{
    console::media,
    process::{project_root, run, run_with_input},
    scenario::{CUSTOMER_DN, SUPERVISOR_LOGIN, talk},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

#[tokio::test]
async fn a_supervisor_finds_the_call_and_replays_voice_and_screen_in_step() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let (_display, mut recorder) = f.scenario.desktop("office", (1280, 720), "x11").await?;
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(20)).await;
    customer.hang_up().await?;
    f.console().await?.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;

    let shots = project_root().join("target/screenshots");
    std::fs::create_dir_all(&shots)?;
    let asked = json!({
        "url": f.scenario.site.url(),
        "spki": public_key_hash(&f.scenario.site.data())?,
        "login": SUPERVISOR_LOGIN,
        "password": f.scenario.secrets.supervisor,
        "number": CUSTOMER_DN,
        "shots": shots,
    });
    let seen = replay(&asked)?;
    assert_eq!(seen["faults"], json!([]), "axe");
    assert_eq!(seen["found"], 1);
    let number = |name: &str| seen[name].as_f64().with_context(|| name.to_owned());
    assert!(number("brightness")? > 0.05, "the screen is black");
    assert!(number("apartFromStart")? <= 100.0);
    assert!(number("apartAfterSeek")? <= 100.0);
    let middle = number("length")? / 2.0;
    for position in seen["sought"].as_array().context("sought")? {
        let at = position["at"].as_f64().context("at")?;
        assert!((at - middle).abs() < 3000.0, "{position} is not near {middle}");
    }
    assert!((1.7..2.3).contains(&number("speed")?), "double speed");
    // A line for each phone, with what it reported of the other.
    let sound = seen["sound"].as_array().context("sound")?;
    let told = |text: &Value| text.as_str().is_some_and(|t| t.contains("Whole") && t.contains("uneven by"));
    assert!(sound.len() == 2 && sound.iter().all(told), "{sound:?}");
    // One line for the sessions of both legs.
    let events = seen["events"].as_array().context("events")?;
    let sessions = events.iter().filter(|text| {
        text.as_str().is_some_and(|t| t.to_lowercase().starts_with("the voices' connections"))
    });
    assert_eq!(sessions.count(), 1, "{events:?}");

    what_is_damaged_is_told_and_the_rest_is_replayed(&f, &asked).await?;
    recorder.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}

/// What the browser saw.
fn replay(asked: &Value) -> Result<Value> {
    let output = Command::new("node")
        .current_dir(project_root().join("ui/console"))
        .args(["e2e/replay.mjs", &asked.to_string()])
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let seen: Value = serde_json::from_str(printed.trim())
        .with_context(|| format!("{printed} {}", String::from_utf8_lossy(&output.stderr)))?;
    println!("{seen:#}");
    assert_eq!(seen["done"], true, "{}", seen["error"]);
    Ok(seen)
}

/// One byte of the stored voice is changed, about five seconds in.
async fn what_is_damaged_is_told_and_the_rest_is_replayed(f: &Fixture, asked: &Value) -> Result<()> {
    let call = f.console().await?.wait_for(CUSTOMER_DN, Duration::from_secs(5), |_| true).await?;
    let voice = *media(&call, "voice").first().context("no voice")?;
    let id = voice["id"].as_str().context("id")?;
    let payload = object(&f.scenario.site.data().join("objects"), &format!("{id}.tink"))?;
    let mut bytes = std::fs::read(&payload)?;
    bytes[80_000] ^= 1;
    std::fs::write(&payload, bytes)?;

    let export = f
        .scenario
        .site
        .server()?
        .args(["recording", "export", id, "--out"])
        .arg(f.dir().join("damaged"))
        .output()?;
    let told = String::from_utf8_lossy(&export.stdout);
    println!("{told}{}", String::from_utf8_lossy(&export.stderr));
    assert!(!export.status.success() && told.contains("missing: 0:0"), "{told}");
    assert!(f.dir().join("damaged").join(format!("{id}.sealed")).is_file());

    let mut asked = asked.clone();
    asked["damaged"] = json!(true);
    let seen = replay(&asked)?;
    let alert = seen["damage"].as_str().context("no word of the damage")?;
    assert!(alert.contains("damaged: 0:0"), "{alert}");
    let took = seen["tookMs"].as_f64().context("tookMs")?;
    assert!(took < 12_000.0, "ten seconds of the call took {took} ms: the player stood still at the damage");
    Ok(())
}

/// A file of this name somewhere below.
fn object(below: &Path, name: &str) -> Result<PathBuf> {
    let mut directories = vec![below.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.file_name().is_some_and(|found| found == name) {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("no {name} below {}", below.display())
}

/// SHA-256 of the HTTPS certificate's public key, base64: the one unknown key that Chromium may accept.
pub fn public_key_hash(data: &Path) -> Result<String> {
    let certificate = data.join("tls/web.pem");
    let key = run(Command::new("openssl").args(["x509", "-pubkey", "-noout", "-in"]).arg(certificate))?;
    let der = run_with_input(Command::new("openssl").args(["pkey", "-pubin", "-outform", "DER"]), &key)?;
    let hash = run_with_input(Command::new("openssl").args(["dgst", "-sha256", "-binary"]), &der)?;
    let text = run_with_input(Command::new("openssl").arg("base64"), &hash)?;
    Ok(String::from_utf8(text)?.trim().to_owned())
}
