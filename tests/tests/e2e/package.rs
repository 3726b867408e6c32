//! The desktop's deb on a clean Debian 12: installed with everything it needs, started by a session manager at login,
//! updated when nobody records, gone without rest.

use crate::fixture::KeptOnFailure;
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    debian::{Debian, USER},
    display::Display,
    process::{Program, built, eventually, project_root, run},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const PACKAGE: &str = "hindsight-desktop";
const SPOOL: &str = "/var/spool/hindsight-update";
const STATE: &str = "/var/lib/hindsight-update/state.json";
/// A version that this one is older than.
pub const NEXT: &str = "99.0.0";

/// Keys and packages of a site.
pub struct Packages {
    dir: PathBuf,
}

impl Packages {
    /// Makes a key whose updates are believed, and one whose are not.
    pub fn new(dir: &Path) -> Result<Self> {
        let this = Self { dir: dir.to_owned() };
        for name in ["site", "stranger"] {
            fs::create_dir_all(dir.join(name))?;
            let (public, secret) = (dir.join(name).join("update.pub"), dir.join(name).join("update.key"));
            run(Command::new("minisign").args(["-G", "-W", "-p"]).arg(public).arg("-s").arg(secret))?;
        }
        Ok(this)
    }

    /// Makes the desktop's deb of the built programs; `None`: in the version that they are of.
    pub fn deb(&self, version: Option<&str>) -> Result<PathBuf> {
        let out = self.dir.join(version.unwrap_or("own"));
        let release = built("hindsight-recorder")?;
        let target = release.ancestors().nth(2).context("no target directory")?;
        let mut packages = Command::new(project_root().join("packaging/packages.sh"));
        packages.args(["deb", "desktop"]).env("CARGO_TARGET_DIR", target);
        packages.env("OUT", &out).env("UPDATE_KEYS", self.dir.join("site")).env("COMPRESSION", "none");
        if let Some(version) = version {
            packages.env("VERSION", version);
        }
        run(&mut packages)?;
        let made = fs::read_dir(&out)?.flatten().map(|entry| entry.path());
        made.into_iter().find(|path| path.extension().is_some_and(|e| e == "deb")).context("no deb was made")
    }

    /// Describes and signs it, beside it.
    pub fn sign(&self, deb: &Path, version: &str, key: &str) -> Result<()> {
        let mut describe = Command::new(built("hindsight-update")?);
        run(describe.args(["manifest", "--version", version]).arg(deb))?;
        let manifest = deb.with_file_name("update.json");
        let secret = self.dir.join(key).join("update.key");
        run(Command::new("minisign").arg("-SHm").arg(manifest).arg("-s").arg(secret)).map(drop)
    }

    /// The same package, which cannot be installed.
    fn broken(&self, deb: &Path) -> Result<PathBuf> {
        let (tree, out) = (self.dir.join("tree"), self.dir.join("broken"));
        fs::create_dir_all(&out)?;
        run(Command::new("dpkg-deb").arg("-R").arg(deb).arg(&tree))?;
        fs::write(tree.join("DEBIAN/postinst"), "#!/bin/sh\nexit 3\n")?;
        let broken = out.join(deb.file_name().context("no name")?);
        run(Command::new("dpkg-deb").args(["--root-owner-group", "-Zgzip", "-b"]).arg(&tree).arg(&broken))?;
        Ok(broken)
    }
}

pub fn version(machine: &Debian) -> Result<String> {
    machine.root(&["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Version}", PACKAGE])
}

pub fn outcome(machine: &Debian) -> Result<String> {
    let state: Value = serde_json::from_str(&machine.read(STATE)?)?;
    state["outcome"].as_str().map(str::to_owned).context("no outcome")
}

/// What a recorder does with an update: as the user, who may not look into the directory.
fn hand_over(machine: &Debian, deb: &Path) -> Result<()> {
    let beside = |name: &str| fs::read_to_string(deb.with_file_name(name));
    let request = serde_json::json!({ "manifest": beside("update.json")?, "signature": beside("update.json.minisig")? });
    machine.write("/tmp/request", &request.to_string())?;
    fs::copy(deb, machine.root.join("tmp/package"))?;
    let copy = format!(
        "cp /tmp/package {SPOOL}/1.package && cp /tmp/request {SPOOL}/1.part && mv {SPOOL}/1.part {SPOOL}/1.request"
    );
    run(&mut machine.command(true, &["sh", "-c", &copy])).map(drop)
}

/// A session of the user by a real session manager, on this display.
fn log_in(machine: &Debian, dir: &Path, display: &Display) -> Result<Program> {
    let display = format!("DISPLAY={}", display.name);
    let session = "mkdir -p -m 700 /tmp/runtime && cd && exec dbus-run-session -- lxsession -s LXDE -e LXDE";
    let software = ["LIBGL_ALWAYS_SOFTWARE=1", "WEBKIT_DISABLE_DMABUF_RENDERER=1", "GDK_BACKEND=x11"];
    let start = ["env", &display, "XDG_RUNTIME_DIR=/tmp/runtime", "XDG_CONFIG_DIRS=/etc/xdg"];
    let command = [&start[..], &software, &["sh", "-c", session]].concat();
    Program::spawn("the session", &mut machine.command(true, &command), &dir.join("session.log"))
}

pub async fn until(what: &str, seconds: u64, condition: impl Fn() -> Result<bool>) -> Result<()> {
    eventually(what, Duration::from_secs(seconds), || async {
        ensure!(condition()?, "not yet");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deb_lives_on_a_clean_debian_from_the_installation_to_the_purge() {
    let dir = KeptOnFailure::new();
    life(dir.path()).await.unwrap();
}

async fn life(dir: &Path) -> Result<()> {
    let packages = Packages::new(&dir.join("packages"))?;
    let (deb, next) = (packages.deb(None)?, packages.deb(Some(NEXT))?);
    let machine = Debian::start(dir).await?;
    let deb = machine.bring(&deb)?;
    // From nothing at all: everything that it needs is in Debian.
    let nothing = ["--simulate", "--option", "Dir::State::status=/dev/null"];
    let plan = machine.apt(&[&["install"][..], &nothing, &[&deb]].concat())?;
    let brought = plan.lines().filter(|line| line.starts_with("Inst ")).count();
    ensure!(
        plan.contains(&format!("Inst {PACKAGE} ")) && brought > 100,
        "apt would install {brought}: {plan}"
    );

    let before = machine.files()?;
    let began = Instant::now();
    machine.apt(&["install", &deb])?;
    println!("installed in {:.1} s; on an empty system {brought} packages", began.elapsed().as_secs_f64());
    ensure!(version(&machine)?.starts_with("ii"), "{}", version(&machine)?);
    for entry in ["etc/xdg/autostart", "usr/share/applications"] {
        let entry = machine.root.join(entry).join("hindsight-desktop.desktop");
        run(Command::new("desktop-file-validate").arg(entry))?;
    }
    let _session = starts_at_login(&machine, dir).await?;
    updates(&machine, &packages, &next).await?;

    // A recording that was never sent.
    let waiting = format!("/home/{USER}/.local/share/hindsight/spool/0190/sealed");
    machine.write(&waiting, "sealed")?;
    let said = machine.apt(&["purge", PACKAGE])?;
    ensure!(said.contains(&format!("1 recording(s) of {USER} have not been uploaded")), "{said}");
    ensure!(machine.read(&waiting)? == "sealed", "the recording stays");
    for program in ["/usr/bin/hindsight-desktop", "/usr/bin/hindsight-recorder"] {
        ensure!(machine.running(program).is_empty(), "{program} runs on");
    }
    let own = format!("/home/{USER}/");
    let left: Vec<String> = machine
        .files()?
        .into_iter()
        .filter(|(name, at)| before.get(name) != Some(at))
        .map(|(name, _)| name)
        .collect();
    let rest: Vec<&String> = left.iter().filter(|name| !name.starts_with(&own)).collect();
    ensure!(rest.is_empty(), "left after a purge: {rest:?}");
    // Of the person's own: what we keep, and nothing that would start a program which is gone.
    for entry in [".config/autostart", ".local/share/applications"] {
        let entry = machine.root.join("home").join(USER).join(entry);
        let ours = |name: &fs::DirEntry| name.file_name().to_string_lossy().contains("hindsight");
        let stays = fs::read_dir(entry).into_iter().flatten().flatten().any(|name| ours(&name));
        ensure!(!stays, "an entry for a program that is gone stays in the home");
    }
    Ok(())
}

/// Whether a recorder of the machine keeps installers waiting.
pub fn is_recording(machine: &Debian) -> bool {
    let alone = ["flock", "--nonblock", "/run/hindsight/recording.lock", "true"];
    !machine.command(false, &alone).status().is_ok_and(|status| status.success())
}

/// The session manager starts the tray program, that one the recorder; the recorder sees the screen.
async fn starts_at_login(machine: &Debian, dir: &Path) -> Result<(Display, Program)> {
    let display = Display::start(dir, 1024, 768).await?;
    let probe = machine
        .command(true, &["env", &format!("DISPLAY={}", display.name), "hindsight-recorder", "probe"])
        .output()?;
    let probe = String::from_utf8_lossy(&probe.stdout).into_owned();
    ensure!(probe.contains("1024") && probe.contains("768"), "the probe: {probe}");
    let began = Instant::now();
    let session = log_in(machine, dir, &display)?;
    for program in ["/usr/bin/hindsight-desktop", "/usr/bin/hindsight-recorder"] {
        until(program, 60, || Ok(!machine.running(program).is_empty())).await.context(session.log_text())?;
    }
    println!("from login to the recorder: {:.1} s", began.elapsed().as_secs_f64());
    // The recorder has made its place and waits for an enrolment string.
    let log = format!("/home/{USER}/.local/share/hindsight/recorder.log");
    until("the recorder's word", 30, || Ok(machine.read(&log)?.contains("not enrolled"))).await?;
    Ok((display, session))
}

/// Root's half of an update, with the real dpkg: refused, waits, installed, gone back.
async fn updates(machine: &Debian, packages: &Packages, next: &Path) -> Result<()> {
    let own = version(machine)?;
    packages.sign(next, NEXT, "stranger")?;
    hand_over(machine, next)?;
    machine.root(&["hindsight-update", "install"])?;
    ensure!(outcome(machine)? == "refused" && version(machine)? == own, "a stranger's signature");

    packages.sign(next, NEXT, "site")?;
    let broken = packages.broken(next)?;
    packages.sign(&broken, NEXT, "site")?;
    hand_over(machine, &broken)?;
    machine.root(&["hindsight-update", "install"])?;
    ensure!(
        outcome(machine)? == "failed" && version(machine)? == own,
        "{} {}",
        outcome(machine)?,
        version(machine)?
    );
    machine.root(&["hindsight-recorder", "--version"])?;

    // Somebody is recorded: the lock that a recorder holds while it captures (e2e `package_update` shows that it does).
    let held = [
        "flock",
        "--shared",
        "/run/hindsight/recording.lock",
        "sh",
        "-c",
        "until [ -e /tmp/over ]; do sleep 0.1; done",
    ];
    let log = packages.dir.join("recording.log");
    let _recording = Program::spawn("a recording", &mut machine.command(true, &held), &log)?;
    until("the recording's lock", 10, || Ok(is_recording(machine))).await?;
    hand_over(machine, next)?;
    let (log, install) = (packages.dir.join("install.log"), ["hindsight-update", "install"]);
    let mut install = Program::spawn("the installation", &mut machine.command(false, &install), &log)?;
    until("the installation waits", 30, || Ok(outcome(machine)? == "waiting")).await?;
    ensure!(version(machine)? == own && install.is_running(), "it did not wait");
    machine.write("/tmp/over", "")?;
    until("the update is installed", 60, || Ok(outcome(machine)? == "installed")).await?;
    ensure!(version(machine)? == format!("ii {NEXT}"), "{}", version(machine)?);
    until("the installer ends", 10, || Ok(machine.running("/usr/bin/hindsight-update").is_empty())).await?;
    drop(install);

    hand_over(machine, next)?;
    machine.root(&["hindsight-update", "install"])?;
    let left = fs::read_dir(machine.root.join(SPOOL.trim_start_matches('/')))?.count();
    ensure!(left == 0, "{left} files are left in the spool");
    Ok(())
}
