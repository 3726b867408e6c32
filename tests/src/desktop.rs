//! A desktop session of its own on a virtual display: message bus, key store, session manager, window manager and panel
//! as an agent's machine has them; the tray over D-Bus, the window over WebDriver.

use crate::{
    display::Display,
    process::{Program, eventually, free_port, project_root, run, tail},
};
use anyhow::{Context, Result, bail, ensure};
use hindsight_wire::local::{Ask, DesktopStatus};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const LIMIT: Duration = Duration::from_secs(30);

/// Everything of one agent's machine but the machine.
pub struct Session {
    pub home: PathBuf,
    pub display: Display,
    inspector: u16,
    session: Option<Program>,
    _keys: Program,
    _bus: Program,
    log: PathBuf,
}

impl Session {
    /// Bus and key store; nobody is logged in yet.
    pub async fn start(dir: &Path, display: Display) -> Result<Self> {
        let home = dir.join("home");
        settings(&home)?;
        let log = dir.join("session.log");
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--nopidfile"]);
        command.arg(format!("--address=unix:path={}", home.join("run/bus").display()));
        let inspector = free_port()?;
        environment(&mut command, &home, &display.name, inspector);
        let bus = Program::spawn("dbus-daemon", &mut command, &dir.join("bus.log"))?;
        let socket = home.join("run/bus");
        eventually("the message bus", LIMIT, || async {
            Ok(tokio::net::UnixStream::connect(&socket).await.map(drop)?)
        })
        .await?;
        // The password comes on standard input; a key store that is locked would ask for it in a window.
        fs::write(home.join("password"), "the key store's")?;
        let mut command = Command::new("sh");
        command.args(["-c", "exec gnome-keyring-daemon --foreground --unlock --components=secrets < \"$0\""]);
        command.arg(home.join("password"));
        environment(&mut command, &home, &display.name, inspector);
        let keys = Program::spawn("gnome-keyring-daemon", &mut command, &dir.join("keys.log"))?;
        let session = Self { home, display, inspector, session: None, _keys: keys, _bus: bus, log };
        eventually("the key store", LIMIT, || async { session.owner("org.freedesktop.secrets").map(drop) })
            .await?;
        Ok(session)
    }

    /// A program in this session.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        environment(&mut command, &self.home, &self.display.name, self.inspector);
        command
    }

    /// xfce4-session with a window manager and a panel; it starts what `~/.config/autostart` names.
    pub fn log_in(&mut self) -> Result<()> {
        let mut command = self.command("xfce4-session");
        self.session = Some(Program::spawn("xfce4-session", &mut command, &self.log)?);
        Ok(())
    }

    /// What the programs of the session said.
    pub fn log_text(&self) -> String {
        tail(&fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// The recorder's data directory.
    pub fn data(&self) -> PathBuf {
        self.home.join(".local/share/hindsight")
    }

    /// What the recorder says.
    pub async fn status(&self) -> Result<DesktopStatus> {
        let client = hindsight_local::Client::connect(&hindsight_local::socket_path(&self.data())).await?;
        Ok(client.status().borrow().clone())
    }

    /// Waits until the recorder says something like it.
    pub async fn wait_for_status(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&DesktopStatus) -> bool,
    ) -> Result<DesktopStatus> {
        eventually(what, limit, || async {
            let status = self.status().await?;
            ensure!(wanted(&status), "it is {status:#?}\n{}", self.log_text());
            Ok(status)
        })
        .await
    }

    /// What the session's key store has of the recorder's secrets under this name.
    pub fn secret(&self, name: &str) -> Result<String> {
        let user = format!("{name} {}", self.data().display());
        let mut lookup = self.command("secret-tool");
        let found = run(lookup.args(["lookup", "service", "hindsight-recorder", "username", &user]))?;
        ensure!(!found.is_empty(), "nothing of {user:?} in the key store");
        Ok(String::from_utf8(found)?)
    }

    /// Writes down what is sent to the session's notification daemon, from now on.
    pub async fn watch_notifications(&self) -> Result<Program> {
        let mut command = self.command("dbus-monitor");
        command.args(["--session", "interface='org.freedesktop.Notifications'"]);
        let log = self.home.join("notifications.log");
        let mut monitor = Program::spawn("dbus-monitor", &mut command, &log)?;
        // The bus tells it that it is a monitor now.
        monitor.wait_for_log("member=Name", LIMIT).await?;
        Ok(monitor)
    }

    /// Processes of this session by the start of their name: nothing else has its home.
    pub fn processes(&self, name: &str) -> Result<Vec<libc::pid_t>> {
        let home = format!("HOME={}", self.home.display());
        let mut found = Vec::new();
        for process in fs::read_dir("/proc")? {
            let process = process?;
            let Some(pid) = process.file_name().to_str().and_then(|pid| pid.parse().ok()) else { continue };
            let called = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            // Of another user, or gone.
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            let ours = environment.split(|byte| *byte == 0).any(|variable| variable == home.as_bytes());
            if ours && called.starts_with(name) {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// Ends the shell, which would start it again, and the recorder, which would outlive everything; both are gone then.
    pub async fn end_programs(&self) -> Result<()> {
        let bus = ["call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"];
        let of = ["GetConnectionUnixProcessID", "s", "org.hindsight.desktop.SingleInstance"];
        if let Ok(answer) = self.busctl(&[&bus[..], &of].concat()) {
            let pid = answer["data"][0].as_i64().context("a process id")?;
            // SAFETY: a plain system call; the process is on this session's own bus.
            unsafe { libc::kill(libc::pid_t::try_from(pid)?, libc::SIGKILL) };
        }
        let client = hindsight_local::Client::connect(&hindsight_local::socket_path(&self.data())).await?;
        // It may be gone before its answer is written.
        let _ = client.request(Ask::Quit { now: true }).await;
        tokio::time::timeout(LIMIT, client.closed()).await.context("the recorder ends")?;
        eventually("the end of shell and recorder", LIMIT, || async {
            let left = self.processes("hindsight-")?;
            ensure!(left.is_empty(), "there still are {left:?}");
            Ok(())
        })
        .await
    }

    /// A picture of the whole display.
    pub fn screenshot(&self, name: &str) -> Result<PathBuf> {
        let path = self.home.join(format!("{name}.png"));
        run(self.command("import").args(["-window", "root"]).arg(&path))?;
        if let Some(shots) = std::env::var_os("HINDSIGHT_SHOTS") {
            fs::create_dir_all(&shots)?;
            fs::copy(&path, Path::new(&shots).join(format!("{name}.png")))?;
        }
        Ok(path)
    }

    fn busctl(&self, arguments: &[&str]) -> Result<Value> {
        let bus = format!("--address=unix:path={}", self.home.join("run/bus").display());
        let printed =
            run(Command::new("busctl").args([&bus, "--json=short", "--timeout=5", "--"]).args(arguments))?;
        if printed.iter().all(u8::is_ascii_whitespace) {
            Ok(Value::Null)
        } else {
            Ok(serde_json::from_slice(&printed)?)
        }
    }

    /// Who owns a name on the bus.
    pub fn owner(&self, name: &str) -> Result<String> {
        let bus = ["call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"];
        let answer = self.busctl(&[&bus[..], &["GetNameOwner", "s", name]].concat())?;
        Ok(answer["data"][0].as_str().context("an owner")?.to_owned())
    }

    /// The program's tray icon, as the panel has it.
    pub fn tray(&self) -> Result<TrayItem<'_>> {
        let items = self.busctl(&[
            "get-property",
            WATCHER,
            "/StatusNotifierWatcher",
            WATCHER,
            "RegisteredStatusNotifierItems",
        ])?;
        let items = items["data"].as_array().context("items")?;
        let ours = items
            .iter()
            .filter_map(Value::as_str)
            .find(|item| item.ends_with("tray_icon_tray_app_hindsight"));
        let (bus, path) =
            ours.and_then(|item| item.split_once('/')).with_context(|| format!("in the tray: {items:?}"))?;
        Ok(TrayItem { session: self, bus: bus.to_owned(), path: format!("/{path}") })
    }

    /// Waits until the tray's first line and its icon say so.
    pub async fn wait_for_tray(&self, line: &str, icon: &str) -> Result<TrayItem<'_>> {
        let what = format!("{line:?} in the tray");
        let shown = eventually(&what, LIMIT, || async {
            let tray = self.tray()?;
            let menu = tray.menu()?;
            let first = menu.first().context("an empty menu")?;
            ensure!(first.label == line, "it says {:?}\n{}", first.label, self.log_text());
            ensure!(tray.shows(icon)?, "its icon is not {icon}");
            Ok(tray)
        });
        shown.await
    }

    /// A browser driver for the program's window, which must be open.
    pub async fn driver(&self) -> Result<Driver> {
        Driver::start(self).await
    }
}

/// Whatever a test has come to, nothing of its session stays: the recorder outlives its shell, and what the message bus
/// started outlives the bus.
impl Drop for Session {
    fn drop(&mut self) {
        for _ in 0..50 {
            let left = self.processes("").unwrap_or_default();
            if left.is_empty() {
                return self.unmount();
            }
            for pid in left {
                // SAFETY: a plain system call; the process was started in this session, whose home nobody else has.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("processes of the session in {:?} do not end", self.home);
    }
}

impl Session {
    /// The document portal, which playing sound starts, leaves a dead mount, and a folder that cannot be removed.
    fn unmount(&self) {
        use std::os::unix::ffi::OsStrExt as _;
        let place = self.home.join("run/doc");
        if let Ok(place) = std::ffi::CString::new(place.as_os_str().as_bytes()) {
            // SAFETY: a plain system call with a string that ends; where nothing is mounted, it does nothing.
            unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

/// The environment of everything in the session: nothing of the machine around it.
fn environment(command: &mut Command, home: &Path, display: &str, inspector: u16) {
    for name in
        ["WAYLAND_DISPLAY", "SESSION_MANAGER", "XDG_SESSION_ID", "DBUS_SYSTEM_BUS_ADDRESS", "XDG_CONFIG_DIRS"]
    {
        command.env_remove(name);
    }
    let place = |path: &str| home.join(path).into_os_string();
    command
        .env("DISPLAY", display)
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", place("run"))
        .env("XDG_CONFIG_HOME", place(".config"))
        .env("XDG_DATA_HOME", place(".local/share"))
        .env("XDG_CACHE_HOME", place(".cache"))
        .env("XDG_CURRENT_DESKTOP", "XFCE")
        .env("XDG_SESSION_TYPE", "x11")
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", home.join("run/bus").display()))
        .env("LANG", "C.UTF-8")
        .env("GDK_BACKEND", "x11")
        .env("NO_AT_BRIDGE", "1")
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .env("WEBKIT_DISABLE_DMABUF_RENDERER", "1")
        .env("TAURI_AUTOMATION", "true")
        .env("TAURI_WEBVIEW_AUTOMATION", "true")
        .env("WEBKIT_INSPECTOR_SERVER", format!("127.0.0.1:{inspector}"));
}

/// Xfce's settings: a window manager and a panel with a tray, nothing else.
fn settings(home: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.join("run"))?;
    let channels = home.join(".config/xfce4/xfconf/xfce-perchannel-xml");
    fs::create_dir_all(&channels)?;
    fs::write(
        channels.join("xfce4-session.xml"),
        r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-session" version="1.0">
  <property name="general" type="empty">
    <property name="FailsafeSessionName" type="string" value="Failsafe"/>
    <property name="SaveOnExit" type="bool" value="false"/>
  </property>
  <property name="startup" type="empty">
    <property name="ssh-agent" type="empty"><property name="enabled" type="bool" value="false"/></property>
    <property name="gpg-agent" type="empty"><property name="enabled" type="bool" value="false"/></property>
  </property>
  <property name="sessions" type="empty">
    <property name="Failsafe" type="empty">
      <property name="IsFailsafe" type="bool" value="true"/>
      <property name="Count" type="int" value="2"/>
      <property name="Client0_Command" type="array"><value type="string" value="openbox"/></property>
      <property name="Client0_Priority" type="int" value="15"/>
      <property name="Client0_PerScreen" type="bool" value="false"/>
      <property name="Client1_Command" type="array"><value type="string" value="xfce4-panel"/></property>
      <property name="Client1_Priority" type="int" value="25"/>
      <property name="Client1_PerScreen" type="bool" value="false"/>
    </property>
  </property>
</channel>
"#,
    )?;
    fs::write(
        channels.join("xfce4-panel.xml"),
        r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty"><property name="plugin-1" type="string" value="systray"/></property>
</channel>
"#,
    )?;
    Ok(())
}

/// A line of a tray's menu.
#[derive(Clone, Debug)]
pub struct MenuLine {
    pub id: i64,
    pub label: String,
    pub enabled: bool,
    pub ticked: bool,
    pub lines: Vec<MenuLine>,
}

/// The program's icon in the tray (org.kde.StatusNotifierItem, com.canonical.dbusmenu).
pub struct TrayItem<'a> {
    session: &'a Session,
    bus: String,
    path: String,
}

impl TrayItem<'_> {
    fn property(&self, name: &str) -> Result<String> {
        let value = self.session.busctl(&[
            "get-property",
            &self.bus,
            &self.path,
            "org.kde.StatusNotifierItem",
            name,
        ])?;
        Ok(value["data"].as_str().with_context(|| format!("{name}: {value}"))?.to_owned())
    }

    /// Whether it shows the drawing of this name, pixel by pixel.
    pub fn shows(&self, icon: &str) -> Result<bool> {
        let drawn = project_root().join(format!("src-tauri/icons/tray-{icon}.png"));
        let shown = self.property("IconName")?;
        let compared = Command::new("compare")
            .args(["-metric", "AE"])
            .args([&shown, drawn.to_str().context("path")?])
            .arg("null:")
            .output()?;
        Ok(compared.status.success())
    }

    fn call(&self, method: &[&str]) -> Result<Value> {
        let menu = self.property("Menu")?;
        self.session.busctl(&[&["call", &self.bus, &menu, "com.canonical.dbusmenu"], method].concat())
    }

    /// The menu as it is now.
    pub fn menu(&self) -> Result<Vec<MenuLine>> {
        let layout = self.call(&["GetLayout", "iias", "0", "-1", "0"])?;
        Ok(line(&layout["data"][1])?.lines)
    }

    /// Chooses a line by its words, also in a submenu.
    pub fn choose(&self, label: &str) -> Result<()> {
        let menu = self.menu()?;
        let found =
            menu.iter().chain(menu.iter().flat_map(|line| &line.lines)).find(|line| line.label == label);
        let found = found.with_context(|| format!("no {label:?} in {menu:#?}"))?;
        ensure!(found.enabled, "{label:?} is grey");
        let id = found.id.to_string();
        self.call(&["Event", "isvu", &id, "clicked", "s", "", "0"]).map(drop)
    }
}

/// `(ia{sv}av)`: id, properties, children. Labels mark keys by `_`.
fn line(layout: &Value) -> Result<MenuLine> {
    let properties = &layout[1];
    let property = |name: &str| &properties[name]["data"];
    let label = property("label").as_str().unwrap_or_default();
    let children = layout[2].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(MenuLine {
        id: layout[0].as_i64().with_context(|| format!("a menu: {layout}"))?,
        label: label.replace("__", "\0").replace('_', "").replace('\0', "_"),
        enabled: property("enabled").as_bool().unwrap_or(true),
        ticked: property("toggle-state").as_i64() == Some(1),
        lines: children.iter().map(|child| line(&child["data"])).collect::<Result<_>>()?,
    })
}

/// WebKitWebDriver (W3C WebDriver), attached to the program's window.
pub struct Driver {
    http: reqwest::Client,
    base: String,
    _program: Program,
}

impl Driver {
    async fn start(session: &Session) -> Result<Self> {
        let port = free_port()?;
        let mut command = session.command("WebKitWebDriver");
        command.env_remove("WEBKIT_INSPECTOR_SERVER");
        command.arg(format!("--port={port}")).arg(format!("--target=127.0.0.1:{}", session.inspector));
        let log = session.home.join("webdriver.log");
        let program = Program::spawn("WebKitWebDriver", &mut command, &log)?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(15)).build()?;
        let root = format!("http://127.0.0.1:{port}");
        let body = json!({"capabilities": {"alwaysMatch": {}}});
        let opened = eventually("a WebDriver session", LIMIT, || async {
            send(http.post(format!("{root}/session")).json(&body)).await
        });
        let opened = opened.await?;
        let id = opened["sessionId"].as_str().with_context(|| format!("{opened}"))?;
        let base = format!("{root}/session/{id}");
        Ok(Self { http, base, _program: program })
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        send(self.http.post(format!("{}/{path}", self.base)).json(&body)).await
    }

    /// The element of this CSS selector, once it is there.
    async fn element(&self, css: &str) -> Result<String> {
        eventually(css, LIMIT, || async {
            let found = self.post("element", json!({"using": "css selector", "value": css})).await?;
            let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
            Ok(id.with_context(|| format!("{found}"))?.to_owned())
        })
        .await
    }

    /// Waits until there is one.
    pub async fn wait_for_element(&self, css: &str) -> Result<()> {
        self.element(css).await.map(drop)
    }

    pub async fn write(&self, css: &str, text: &str) -> Result<()> {
        let element = self.element(css).await?;
        self.post(&format!("element/{element}/value"), json!({"text": text})).await.map(drop)
    }

    pub async fn click(&self, css: &str) -> Result<()> {
        let element = self.element(css).await?;
        self.post(&format!("element/{element}/click"), json!({})).await.map(drop)
    }

    /// Waits until the page says this.
    pub async fn wait_for_text(&self, text: &str) -> Result<()> {
        eventually(&format!("{text:?} in the window"), LIMIT, || async {
            let script = json!({"script": "return document.body.innerText", "args": []});
            let page = self.post("execute/sync", script).await?;
            let page = page.as_str().unwrap_or_default();
            ensure!(page.contains(text), "it says {page}");
            Ok(())
        })
        .await
    }

    /// What a script of the page returns; WebDriver waits for a promise.
    pub async fn script(&self, script: &str) -> Result<Value> {
        self.post("execute/sync", json!({"script": script, "args": []})).await
    }

    /// Closes the window as its button does, and the driver with it.
    pub async fn close(self) -> Result<()> {
        send(self.http.delete(format!("{}/window", self.base))).await.map(drop)
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<Value> {
    let mut answer: Value = request.send().await?.json().await?;
    if let Some(error) = answer["value"]["error"].as_str() {
        bail!("{error}: {}", answer["value"]["message"].as_str().unwrap_or_default());
    }
    Ok(answer["value"].take())
}
