//! A Wayland session without a screen: sway, PipeWire and the desktop portal, on a session bus of its own.
//!
//! sway will not run as root, so root runs it in a user namespace of its own, where it is somebody else. Between sway and
//! its portal stands `screencopy_shim.py`, which says why.

use crate::process::{Program, eventually, project_root, run};
use anyhow::{Context, Result};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const STARTED: Duration = Duration::from_secs(15);

/// The name that sway gives its first monitor.
pub const FIRST: &str = "HEADLESS-1";

/// What the environment of a program in the session is.
pub type Environment = BTreeMap<&'static str, String>;

/// A running session.
pub struct Session {
    dir: PathBuf,
    pub environment: Environment,
    // In this order they end.
    _programs: Vec<Program>,
}

impl Session {
    /// Starts everything; `sway` is what its configuration says besides.
    pub async fn start(dir: &Path, sway: &str) -> Result<Self> {
        let run_dir = dir.join("run");
        for made in ["run", "home", "config/xdg-desktop-portal-wlr", "state", "data", "cache", "services"] {
            fs::create_dir_all(dir.join(made))?;
        }
        fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o700))?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let bus = run_dir.join("bus");
        let environment: Environment = [
            ("HOME", text(dir.join("home"))),
            ("XDG_RUNTIME_DIR", text(run_dir.clone())),
            ("XDG_CONFIG_HOME", text(dir.join("config"))),
            ("XDG_STATE_HOME", text(dir.join("state"))),
            ("XDG_DATA_HOME", text(dir.join("data"))),
            ("XDG_CACHE_HOME", text(dir.join("cache"))),
            ("XDG_CURRENT_DESKTOP", "sway".to_owned()),
            ("XDG_SESSION_TYPE", "wayland".to_owned()),
            ("WAYLAND_DISPLAY", "wayland-1".to_owned()),
            ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display())),
        ]
        .into();
        let mut session = Self { dir: dir.to_owned(), environment, _programs: Vec::new() };
        session.write_configuration(sway)?;
        session.chooser(&format!("echo {FIRST}"))?;
        let bus_config = format!("--config-file={}", dir.join("bus.conf").display());
        session.spawn("dbus-daemon", &mut Command::new("dbus-daemon"), &["--nofork", &bus_config])?;
        appears(&bus).await?;
        let (program, arguments) = sway_command(&dir.join("sway.conf"));
        let mut sway = Command::new(program);
        sway.args(arguments)
            .env("WLR_BACKENDS", "headless")
            .env("WLR_RENDERER", "pixman")
            .env("WLR_LIBINPUT_NO_DEVICES", "1")
            .env("LIBSEAT_BACKEND", "noop");
        session.spawn("sway", &mut sway, &[])?;
        appears(&run_dir.join("wayland-1")).await?;
        let (compositor, shim) = (text(run_dir.join("wayland-1")), text(run_dir.join("wayland-shim")));
        let script = text(project_root().join("tests/src/screencopy_shim.py"));
        session.spawn("shim", &mut Command::new("python3"), &[&script, &compositor, &shim])?;
        appears(&run_dir.join("wayland-shim")).await?;
        session.spawn("pipewire", &mut Command::new("pipewire"), &[])?;
        appears(&run_dir.join("pipewire-0")).await?;
        session.spawn("wireplumber", &mut Command::new("wireplumber"), &[])?;
        let libexec = Path::new("/usr/libexec");
        for program in ["xdg-permission-store", "xdg-desktop-portal-wlr", "xdg-desktop-portal"] {
            let mut command = Command::new("env");
            if program == "xdg-desktop-portal-wlr" {
                command.arg("WAYLAND_DISPLAY=wayland-shim");
            }
            session.spawn(program, command.arg(libexec.join(program)), &[])?;
            let name = match program {
                "xdg-permission-store" => "org.freedesktop.impl.portal.PermissionStore",
                "xdg-desktop-portal-wlr" => "org.freedesktop.impl.portal.desktop.wlr",
                _ => "org.freedesktop.portal.Desktop",
            };
            session.owned(name).await?;
        }
        Ok(session)
    }

    /// Puts the session's environment into a command's.
    pub fn enter<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env_remove("DISPLAY").envs(&self.environment)
    }

    /// What the portal runs to ask which monitor to share: prints its name, or fails to refuse. Asking is counted.
    pub fn chooser(&self, script: &str) -> Result<()> {
        let path = self.dir.join("chooser");
        let asked = self.dir.join("asked");
        fs::write(&path, format!("#!/bin/sh\necho asked >> {}\n{script}\n", asked.display()))?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
    }

    /// How often the agent was asked.
    pub fn times_asked(&self) -> usize {
        fs::read_to_string(self.dir.join("asked")).map_or(0, |text| text.lines().count())
    }

    /// Tells sway something.
    pub fn sway(&self, arguments: &[&str]) -> Result<()> {
        let socket = fs::read_dir(self.dir.join("run"))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().contains("sway-ipc"))
            .context("sway has no socket")?;
        run(self.enter(Command::new("swaymsg").arg("-s").arg(socket).args(arguments)))?;
        Ok(())
    }

    /// Where the recorder keeps the agent's consent.
    pub fn consent_file(&self) -> PathBuf {
        self.dir.join("state/hindsight/screen-consent.json")
    }

    fn spawn(&mut self, name: &str, command: &mut Command, arguments: &[&str]) -> Result<()> {
        let log = self.dir.join(format!("{name}.log"));
        let program = Program::spawn(name, self.enter(command.args(arguments)), &log)?;
        // The last one started ends first.
        self._programs.insert(0, program);
        Ok(())
    }

    async fn owned(&self, name: &str) -> Result<()> {
        eventually(name, STARTED, || async {
            let mut ask = Command::new("dbus-send");
            ask.args(["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"])
                .args(["org.freedesktop.DBus.GetNameOwner", &format!("string:{name}")]);
            run(self.enter(&mut ask)).map(drop)
        })
        .await
    }

    fn write_configuration(&self, sway: &str) -> Result<()> {
        let bus = &self.environment["DBUS_SESSION_BUS_ADDRESS"];
        // Nothing is started by asking for it: what runs is what this file starts.
        fs::write(
            self.dir.join("bus.conf"),
            format!(
                "<busconfig><type>session</type><listen>{bus}</listen><auth>EXTERNAL</auth>\
                 <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
                 <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>"
            ),
        )?;
        fs::write(
            self.dir.join("sway.conf"),
            format!("xwayland disable\noutput {FIRST} mode --custom 640x360@60Hz\n{sway}\n"),
        )?;
        fs::write(
            self.dir.join("config/xdg-desktop-portal-wlr/config"),
            format!(
                "[screencast]\nchooser_type=simple\nchooser_cmd={}\n",
                self.dir.join("chooser").display()
            ),
        )?;
        Ok(())
    }
}

fn sway_command(config: &Path) -> (&'static str, Vec<String>) {
    let config = config.to_string_lossy().into_owned();
    // SAFETY: asks for a number that always is there.
    let root = unsafe { libc::geteuid() } == 0;
    let sway = ["--config".to_owned(), config];
    if !root {
        return ("sway", sway.into());
    }
    let namespace = ["--user", "--map-user=1000", "--map-group=1000", "sway"];
    ("unshare", namespace.into_iter().map(str::to_owned).chain(sway).collect())
}

async fn appears(path: &Path) -> Result<()> {
    eventually(&path.display().to_string(), STARTED, || async {
        fs::metadata(path)?;
        Ok(())
    })
    .await
}
