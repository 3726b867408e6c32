//! The operating system's key store, a real one: gnome-keyring on a session bus of its own.

// A test's fixtures may fail the test; clippy knows only the test functions themselves.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use hindsight_agent_core::key_store::{DeviceKeyPlace, KeyStoreSetting, Keys};
use hindsight_link::KeyPlace as _;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

/// Set for the half of this test that runs on the bus.
const INSIDE: &str = "HINDSIGHT_TEST_KEY_STORE";

/// Runs this test's other half on a bus of its own, with an unlocked keyring.
fn on_a_bus(home: &Path, half: &str) {
    let script = "printf secret | gnome-keyring-daemon --unlock --components=secrets >/dev/null && exec \"$0\" --exact \"$1\" --nocapture";
    let output = Command::new("dbus-run-session")
        .args(["--", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(half)
        .env(INSIDE, home)
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("XDG_DATA_HOME", home.join("share"))
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .stdin(Stdio::null())
        .output()
        .expect("dbus-run-session (packaging/setup.sh installs it)");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn secrets_are_in_the_systems_key_store_and_in_no_file() {
    if let Some(home) = std::env::var_os(INSIDE) {
        return inside(Path::new(&home));
    }
    let home = tempfile::tempdir().unwrap();
    on_a_bus(home.path(), "secrets_are_in_the_systems_key_store_and_in_no_file");
}

fn inside(home: &Path) {
    let data = home.join("data");
    fs::create_dir_all(data.join("identity")).unwrap();
    // From a time without a key store.
    fs::write(data.join("identity/device.key"), "a device key").unwrap();
    fs::write(data.join("session.json"), "an old session").unwrap();
    let keys = Arc::new(Keys::open(KeyStoreSetting::System, &data));
    assert_eq!(keys.problem(), None);
    assert_eq!(keys.session().unwrap().unwrap().as_str(), "an old session");
    keys.keep_session("a session").unwrap();
    let place = DeviceKeyPlace(keys.clone());
    assert_eq!(place.load().unwrap().unwrap().as_str(), "a device key");
    assert!(!data.join("identity/device.key").exists() && !data.join("session.json").exists(), "moved");

    let again = Arc::new(Keys::open(KeyStoreSetting::System, &data));
    assert_eq!(again.session().unwrap().unwrap().as_str(), "a session");
    assert_eq!(DeviceKeyPlace(again.clone()).load().unwrap().unwrap().as_str(), "a device key");
    again.forget_session().unwrap();
    assert!(again.session().unwrap().is_none());
    // Another data directory has secrets of its own.
    let other = Arc::new(Keys::open(KeyStoreSetting::System, &home.join("other")));
    assert!(DeviceKeyPlace(other).load().unwrap().is_none());
}

#[test]
fn without_a_key_store_files_are_used_and_people_are_told() {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    // The bus of this session, if there is one, is nobody's business: the store is asked for in a process without.
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_half_without_a_bus", "--nocapture", "--ignored"])
        .env(INSIDE, home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run by the test above, in a process without a bus"]
fn the_half_without_a_bus() {
    let Some(home) = std::env::var_os(INSIDE) else { return };
    let keys = Keys::open(KeyStoreSetting::System, Path::new(&home));
    assert!(keys.problem().unwrap().contains("secrets are kept in files"), "{:?}", keys.problem());
    keys.keep_session("a session").unwrap();
    assert_eq!(keys.session().unwrap().unwrap().as_str(), "a session");
    assert!(Path::new(&home).join("session.json").exists());
}
