//! What whoever runs a site does wrong, and what happens to it, is told: by `check`, by `run`, and before it costs a
//! recording. The built binary, on data directories of their own.

// In a test an assumption that does not hold is a failure of the test.
#![allow(clippy::unwrap_used)]

mod built;

use built::{Running, free_port, output, refusal, server};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Everything has this long to happen.
const LIMIT: Duration = Duration::from_secs(30);

/// A new site.
fn site(port: u16) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let made = output(&data, &["init", "--json", "--https-port", &port.to_string()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (directory, data)
}

#[test]
fn a_lost_database_is_not_begun_anew_by_running() {
    let (_directory, data) = site(free_port());
    let database = data.join("store/hindsight.db");
    for file in ["hindsight.db", "hindsight.db-wal", "hindsight.db-shm"] {
        let _ = fs::remove_file(data.join("store").join(file));
    }
    for state in ["is missing", "is empty"] {
        for command in [&["run", "--roles", "web-services"][..], &["config", "export"], &["migrate"]] {
            let said = refusal(&data, command);
            assert!(
                said.contains(state) && said.contains("restore it from the backup"),
                "{command:?}: {said}"
            );
        }
        let found = String::from_utf8(output(&data, &["check"]).stdout).unwrap();
        assert!(found.contains("FAIL  database") && found.contains(state), "{found}");
        let left = fs::metadata(&database).map(|file| file.len()).ok();
        assert_eq!(left, (state == "is empty").then_some(0), "nothing was made");
        fs::write(&database, b"").unwrap();
        mode(&database, 0o600);
    }
}

#[test]
fn half_a_line_in_the_key_audit_log_is_set_aside_and_the_server_starts() {
    let (_directory, data) = site(free_port());
    let log = data.join("crypto/audit.jsonl");
    let whole = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{whole}{{\"sequence\":2,\"at\":")).unwrap();
    let found = String::from_utf8(output(&data, &["check"]).stdout).unwrap();
    assert!(found.contains("warn  key audit log") && found.contains("line 2 at the end is torn"), "{found}");
    let environment = [("HINDSIGHT_CRYPTO_SERVER__LISTEN", format!("127.0.0.1:{}", free_port()))];
    let mut running = Running::start(&data, "crypto-server", &environment);
    let warning = running.wait_for("set aside");
    assert!(warning.contains("WARN") && warning.contains("audit.jsonl.torn-"), "{warning}");
    running.wait_for("crypto server ready");
    drop(running);
    assert_eq!(fs::read_to_string(&log).unwrap(), whole);
    let kept = fs::read_dir(data.join("crypto")).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<PathBuf> = kept.filter(|path| path.to_string_lossy().contains(".torn-")).collect();
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "{\"sequence\":2,\"at\":");
}

/// `/readyz`, until it is as expected.
fn ready(data: &Path, port: u16, expected: impl Fn(&serde_json::Value) -> bool) {
    let ca = reqwest::Certificate::from_pem(&fs::read(data.join("ca/ca.pem")).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = client.get(format!("https://localhost:{port}/readyz")).send().await;
            let body: serde_json::Value = match answer {
                Ok(answer) => answer.json().await.unwrap_or_default(),
                Err(_) => serde_json::Value::Null,
            };
            if expected(&body) {
                return;
            }
            assert!(Instant::now() < deadline, "not in time: {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_changed_port_takes_the_sites_own_components_along() {
    let (old, new) = (free_port(), free_port());
    let (_directory, data) = site(old);
    let settings = data.join("hindsight.toml");
    let changed = fs::read_to_string(&settings).unwrap().replace(&old.to_string(), &new.to_string());
    fs::write(&settings, changed).unwrap();
    let found = String::from_utf8(output(&data, &["check"]).stdout).unwrap();
    assert!(found.contains(&format!("ok    link of resource-manager: to 127.0.0.1:{new}")), "{found}");
    assert!(found.contains(&format!("127.0.0.1:{old} of its enrolment is not used")), "{found}");
    let environment = [
        ("HINDSIGHT_RESOURCE_MANAGER__LISTEN", format!("127.0.0.1:{}", free_port())),
        ("HINDSIGHT_LOG__FILTER", "off".to_owned()),
    ];
    let _running = Running::start(&data, "web-services,resource-manager", &environment);
    ready(&data, new, |body| {
        // Which links are open says nothing of whether the web services are well.
        body["ready"] == true
            && body["links"]["resourceManager"] == true
            && body["links"]["sipServer"] == false
    });
}

#[test]
fn a_link_that_cannot_be_opened_is_told_as_a_warning() {
    let (_directory, data) = site(free_port());
    let environment = [("HINDSIGHT_RESOURCE_MANAGER__LISTEN", format!("127.0.0.1:{}", free_port()))];
    let mut running = Running::start(&data, "resource-manager", &environment);
    let warning = running.wait_for("no link to the web services");
    assert!(warning.contains("WARN") && warning.contains("127.0.0.1:"), "{warning}");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What is done to a site, and what `check` and `run` say of it.
type Damage = (&'static str, fn(&Path), &'static str);

const DAMAGES: [Damage; 12] = [
    ("the authority's key is gone", |data| fs::remove_file(data.join("ca/ca.key")).unwrap(), "ca.key"),
    ("the key of HTTPS is garbage", |data| fs::write(data.join("tls/web.key"), "x").unwrap(), "web.key"),
    (
        "the key of HTTPS is of another certificate",
        |data| fs::write(data.join("tls/web.key"), fs::read(data.join("ca/ca.key")).unwrap()).unwrap(),
        "HTTPS and authority",
    ),
    (
        "a component's key is garbage",
        |data| fs::write(data.join("components/sip-server/device.key"), "x").unwrap(),
        "key of sip-server",
    ),
    (
        "a component has another one's identity",
        |data| {
            fs::remove_dir_all(data.join("components/sip-server")).unwrap();
            fs::rename(data.join("components/media-server"), data.join("components/sip-server")).unwrap();
        },
        "the certificate is of a media-server",
    ),
    (
        "the objects are a file",
        |data| {
            fs::remove_dir_all(data.join("objects")).unwrap();
            fs::write(data.join("objects"), "").unwrap();
        },
        "objects cannot be written to: it is no folder",
    ),
    (
        "the objects are where nobody may write",
        |data| {
            fs::remove_dir_all(data.join("objects")).unwrap();
            symlink("/proc", data.join("objects")).unwrap();
        },
        "objects cannot be written to",
    ),
    (
        "what the SIP server keeps is a folder",
        |data| fs::create_dir_all(data.join("sip-server/kept")).unwrap(),
        "sip-server/kept: Is a directory",
    ),
    ("everybody may write to it", |data| mode(data, 0o777), "chmod 700"),
    ("everybody may read the authority's key", |data| mode(&data.join("ca/ca.key"), 0o644), "chmod 600"),
    ("everybody may read the database", |data| mode(&data.join("store/hindsight.db"), 0o604), "chmod 600"),
    (
        "a value that nobody can mean",
        |data| {
            let path = data.join("hindsight.toml");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("[web-services]\n", "[web-services]\nidle_minutes = 0\n")).unwrap();
        },
        "idle_minutes is at least 1",
    ),
];

#[test]
fn what_check_names_run_refuses() {
    for (what, damage, named) in DAMAGES {
        let (_directory, data) = site(free_port());
        damage(&data);
        let check = output(&data, &["check"]);
        let found = [check.stdout, check.stderr].concat();
        let found = String::from_utf8_lossy(&found);
        assert_eq!(check.status.code(), Some(1), "{what}: {found}");
        assert!(found.contains(named), "{what}: {found}");
        let said = refusal(&data, &["run"]);
        assert!(said.contains(named), "{what}: {said}");
    }
}

#[test]
fn settings_that_cannot_go_well_are_named_by_check_and_refused_by_run() {
    let (_directory, data) = site(8443);
    for (variable, value, named) in [
        ("LOG__FILTER", "info,=[", "log.filter"),
        ("MEDIA_SERVER__RTP_FIRST", "30000", "30000-29999"),
        ("MEDIA_SERVER__MEDIA_ADDRESS", "192.0.2.1", "192.0.2.1 is no address of this host"),
        ("SIP_SERVER__TRUSTED", "[\"10.0.0.0/99\"]", "10.0.0.0/99"),
        ("CRYPTO_SERVER__LISTEN", "127.0.0.1:8443", "web-services.listen = 0.0.0.0:8443"),
        ("MEDIA_SERVER__LISTEN", "127.0.0.1:5060", "are the same port"),
        ("RESOURCE_MANAGER__LISTEN", "127.0.0.1:20007", "one of the ports for voice, 20000-29999"),
    ] {
        let with = |arguments: &[&str]| {
            server(&data).args(arguments).env(format!("HINDSIGHT_{variable}"), value).output().unwrap()
        };
        let check = with(&["check"]);
        let found = String::from_utf8(check.stdout).unwrap();
        let line = found.lines().find(|line| line.starts_with("FAIL") && line.contains(named));
        assert!(check.status.code() == Some(1) && line.is_some(), "{variable}: {found}");
        let run = with(&["run"]);
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(!run.status.success() && said.contains(named), "{variable}: {said}");
    }
    // Where it may be meant so there is a warning; where no call can go through, a failure.
    let check = |variables: &[(&str, &str)]| {
        let found = server(&data).arg("check").envs(variables.iter().copied()).output().unwrap();
        (found.status.success(), String::from_utf8(found.stdout).unwrap())
    };
    let (manager, pool) = ("HINDSIGHT_SIP_SERVER__RESOURCE_MANAGER", "HINDSIGHT_RESOURCE_MANAGER__POOL");
    let address = ("HINDSIGHT_ADDRESS", "other.example:8443");
    let (well, found) = check(&[(manager, "192.0.2.7:5070"), (pool, "[\"127.0.0.1:5998\"]"), address]);
    for what in ["resource manager", "pool", "address"] {
        assert!(found.contains(&format!("warn  {what}: ")), "{found}");
    }
    assert!(well && !found.contains("FAIL"), "{found}");
    let (well, found) = check(&[(manager, "127.0.0.1:5999"), (pool, "[]")]);
    for what in ["resource manager", "pool"] {
        let line = found.lines().find(|line| line.starts_with(&format!("FAIL  {what}: ")));
        assert!(line.is_some_and(|line| line.contains("no call will go through")), "{found}");
    }
    assert!(!well, "{found}");
}

#[test]
fn what_the_sip_server_kept_is_missed_with_its_file_and_what_follows() {
    let (_directory, data) = site(free_port());
    let kept = data.join("sip-server/kept");
    let ports = ["HINDSIGHT_SIP_SERVER__LISTEN", "HINDSIGHT_SIP_SERVER__TLS__LISTEN"]
        .map(|key| (key, format!("127.0.0.1:{}", free_port())));
    let start = || Running::start(&data, "sip-server", &ports);
    let check = || String::from_utf8(output(&data, &["check"]).stdout).unwrap();
    let mut first = start();
    first.wait_for("taken up from the process before");
    let (status, log) = first.terminate();
    assert!(status.success(), "{log}");
    assert!(!check().contains("kept calls and registrations"), "nobody was registered, and nothing is wrong");
    assert!(fs::metadata(&kept).unwrap().len() > 0, "a file that we leave behind is never empty");
    for (damage, said) in [("", "it is empty"), ("nonsense\n", "1 line(s) cannot be read")] {
        fs::write(&kept, damage).unwrap();
        let found = check();
        let line = found.lines().find(|line| line.starts_with("warn  kept calls and registrations")).unwrap();
        let path = kept.to_str().unwrap();
        assert!(line.contains(path) && line.contains(said) && line.contains("until they register"), "{line}");
        let mut again = start();
        let line = again.wait_for("what was kept of calls and registrations is lost");
        assert!(line.contains("WARN") && line.contains(path) && line.contains(said), "{line}");
        assert!(again.terminate().0.success());
        assert!(!check().contains("kept calls and registrations"));
    }
    assert_eq!(fs::read(data.join("sip-server/kept.damaged")).unwrap(), b"nonsense\n");
    fs::remove_file(&kept).unwrap();
    assert!(check().contains("it is missing"));
}

#[test]
fn a_database_moved_away_under_a_running_server_is_seen() {
    let port = free_port();
    let (_directory, data) = site(port);
    let environment = [("HINDSIGHT_LOG__FILTER", "off".to_owned())];
    let _running = Running::start(&data, "web-services", &environment);
    let database =
        |well: bool| move |body: &serde_json::Value| body["ready"] == well && body["database"] == well;
    ready(&data, port, database(true));
    let (here, away) = (data.join("store/hindsight.db"), data.join("store/away.db"));
    fs::rename(&here, &away).unwrap();
    ready(&data, port, database(false));
    fs::copy(&away, &here).unwrap();
    ready(&data, port, database(false));
    fs::rename(&away, &here).unwrap();
    ready(&data, port, database(true));
}

#[test]
fn a_certificate_for_phones_that_is_of_no_use_is_named_and_not_its_key() {
    let (directory, data) = site(free_port());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let (key, request, certificate) = (file("phones.key"), file("phones.csr"), file("phones.pem"));
    let curve = "ec_paramgen_curve:P-256";
    openssl(&[
        "req", "-new", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-subj", "/CN=x", "-keyout", &key,
        "-out", &request,
    ]);
    // Without extensions: version 1.
    openssl(&["x509", "-req", "-in", &request, "-signkey", &key, "-out", &certificate]);
    let mut check = server(&data);
    check.arg("check").env("HINDSIGHT_SIP_SERVER__TLS__CERTIFICATE", &certificate);
    let found = check.env("HINDSIGHT_SIP_SERVER__TLS__KEY", &key).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let line = found.lines().find(|line| line.starts_with("FAIL  TLS for phones: ")).unwrap();
    assert!(line.contains(&certificate) && !line.contains(&key), "{line}");
    assert_eq!(line.matches("TLS for phones").count(), 1, "{line}");
}

#[test]
fn init_refuses_nonsense_and_leaves_nothing_half_made() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for arguments in [
        &["--host", "https://rec.example.com"][..],
        &["--host", "rec.example.com:8443"],
        &["--host", "0.0.0.0"],
        &["--host", ""],
        &["--https-port", "0"],
        &["--realm", "two words"],
        &["--administrator", "two words"],
        &["--site", " "],
    ] {
        let said = refusal(&data, &[&["init"], arguments].concat());
        assert!(said.contains(arguments[0].trim_start_matches('-')) || said.contains("two words"), "{said}");
        assert!(!data.exists(), "{arguments:?}");
    }
    // Half-way: the authority is made before the recording key.
    let fails = || {
        let mut init = server(&data);
        init.arg("init").env("HINDSIGHT_KEY_ENCRYPTION_KEY", "nonsense");
        let init = init.output().unwrap();
        assert!(!init.status.success());
        assert!(String::from_utf8(init.stderr).unwrap().contains("key-encryption key"));
    };
    fails();
    assert!(!data.exists(), "what it made is gone again");
    fs::create_dir(&data).unwrap();
    fails();
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "a directory that was there stays, empty");
    fs::write(data.join("precious"), "x").unwrap();
    assert!(refusal(&data, &["init"]).contains("not empty"));
    assert!(data.join("precious").exists(), "what others put there is never removed");
    fs::remove_file(data.join("precious")).unwrap();
    assert!(output(&data, &["init"]).status.success(), "the next try makes a whole site");
    assert!(!data.join(".init").exists());
}

#[test]
fn an_unknown_recording_is_told_as_one() {
    let (directory, data) = site(free_port());
    let id = hindsight_wire::RecordingId::new().to_string();
    let out = directory.path().join("out");
    for arguments in
        [&["recording", "verify", &id][..], &["recording", "export", &id, "--out", out.to_str().unwrap()]]
    {
        let said = refusal(&data, arguments);
        assert!(said.contains(&format!("no recording {id}")) && said.contains("recording list"), "{said}");
        assert!(!said.contains("manifest"), "{said}");
    }
    let elsewhere = directory.path().join("elsewhere");
    assert!(refusal(&elsewhere, &["recording", "verify", &id]).contains("is this the data directory?"));
    assert!(!elsewhere.exists(), "looking makes nothing");
    let listed = output(&data, &["recording", "list"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "no such recordings\n");
    let short = refusal(&data, &["enrol", "new", "--kind", "desktop", "--hours", "0"]);
    assert!(short.contains("--hours"), "{short}");
}
