//! The server's deb on a clean Debian 12, and what is in the RPM packages.

use crate::fixture::KeptOnFailure;
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    debian::Debian,
    process::{Program, built, eventually, project_root, run},
    site::Ports,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const UNIT: &str = "/usr/lib/systemd/system/hindsight-server.service";
const DATA: &str = "/var/lib/hindsight";
/// Of rpm, in the root that it installs into.
const DATABASE: &str = "/var/lib/rpm";

/// Packages of the built programs.
fn packages(format: &str, parts: &[&str], out: &Path) -> Result<Vec<PathBuf>> {
    let release = built("hindsight-recorder")?;
    let target = release.ancestors().nth(2).context("no target directory")?;
    let mut packages = Command::new(project_root().join("packaging/packages.sh"));
    packages.arg(format).args(parts).env("CARGO_TARGET_DIR", target);
    run(packages.env("OUT", out).env("COMPRESSION", "none"))?;
    let mut made: Vec<PathBuf> = fs::read_dir(out)?.flatten().map(|entry| entry.path()).collect();
    made.retain(|path| path.extension().is_some_and(|e| e == format));
    made.sort();
    Ok(made)
}

/// Installed, made a site and run as its own user, gone again; what it recorded stays.
#[tokio::test]
async fn the_servers_deb_installs_runs_as_its_own_user_and_leaves_its_data() -> Result<()> {
    let dir = KeptOnFailure::new();
    let made = packages("deb", &["server"], &dir.path().join("packages"))?;
    let machine = Debian::start(dir.path()).await?;
    let deb = machine.bring(made.first().context("no deb was made")?)?;
    let before = machine.files()?;
    machine.apt(&["install", &deb])?;
    let user = machine.root(&["getent", "passwd", "hindsight"])?;
    ensure!(user.contains(":/var/lib/hindsight:") && user.trim_end().ends_with("nologin"), "{user}");
    let mode = machine.root(&["stat", "--format=%a %U", DATA])?;
    ensure!(mode.trim() == "700 hindsight", "{mode}");
    let mut verify = Command::new("systemd-analyze");
    let verified =
        verify.arg(format!("--root={}", machine.root.display())).args(["verify", UNIT]).output()?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    ensure!(verified.status.success() && !said.contains("hindsight"), "{}: {said}", verified.status);

    // As the unit starts it.
    let ports = Ports::free()?;
    let local = |port: u16| format!("127.0.0.1:{port}");
    let settings = [
        format!("HINDSIGHT_DATA={DATA}"),
        format!("HINDSIGHT_WEB_SERVICES__LISTEN={}", local(ports.https)),
        format!("HINDSIGHT_CRYPTO_SERVER__LISTEN={}", local(ports.crypto)),
        format!("HINDSIGHT_CRYPTO_SERVER_URL=https://{}", local(ports.crypto)),
        format!("HINDSIGHT_SIP_SERVER__LISTEN={}", local(ports.sip)),
        format!("HINDSIGHT_SIP_SERVER__RESOURCE_MANAGER={}", local(ports.resource_manager)),
        format!("HINDSIGHT_RESOURCE_MANAGER__LISTEN={}", local(ports.resource_manager)),
        format!("HINDSIGHT_RESOURCE_MANAGER__POOL=[\"{}\"]", local(ports.media_server)),
        format!("HINDSIGHT_MEDIA_SERVER__LISTEN={}", local(ports.media_server)),
    ];
    let own = ["setpriv", "--reuid=hindsight", "--regid=hindsight", "--clear-groups", "env"];
    let mut start: Vec<&str> = own.to_vec();
    start.extend(settings.iter().map(String::as_str));
    start.push("/usr/bin/hindsight-server");
    let port = ports.https.to_string();
    let init = [&start[..], &["init", "--site", "Demo", "--https-port", &port, "--json"]].concat();
    ensure!(machine.root(&init)?.contains("oneTimePassword"), "init prints how to begin");
    let mut run_command = machine.command(false, &[&start[..], &["run"]].concat());
    let server = Program::spawn("hindsight-server", &mut run_command, &dir.path().join("server.log"))?;
    let authority = fs::read(machine.root.join("var/lib/hindsight/ca/ca.pem"))?;
    let http = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&authority)?])
        .no_proxy()
        .resolve("localhost", ([127, 0, 0, 1], ports.https).into())
        .build()?;
    let url = format!("https://localhost:{}", ports.https);
    for page in ["/readyz", "/"] {
        let answered = eventually(page, Duration::from_secs(30), || async {
            Ok(http.get(format!("{url}{page}")).send().await?.error_for_status()?.text().await?)
        });
        let text = answered.await.with_context(|| server.log_text())?;
        ensure!(page != "/" || text.contains("<html"), "the console: {text}");
    }
    for pid in machine.running("/usr/bin/hindsight-server") {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        ensure!(!status.contains("\nUid:\t0\t"), "it runs as root");
        // SAFETY: a plain system call; the process is of this test's own machine.
        unsafe { libc::kill(libc::pid_t::try_from(pid)?, libc::SIGTERM) };
    }
    eventually("the end of the server", Duration::from_secs(30), || async {
        ensure!(machine.running("/usr/bin/hindsight-server").is_empty(), "it runs on");
        Ok(())
    })
    .await?;

    let said = machine.apt(&["purge", "hindsight-server"])?;
    ensure!(said.contains("are kept in /var/lib/hindsight"), "{said}");
    ensure!(machine.root.join("var/lib/hindsight/ca/ca.key").exists(), "the keys stay");
    let after = machine.files()?;
    // What lies under /run is gone at the next start: adduser leaves its lock there.
    let left =
        |name: &&String| !before.contains_key(*name) && !name.starts_with(DATA) && !name.starts_with("/run/");
    let left: Vec<&String> = after.keys().filter(left).collect();
    ensure!(left.is_empty(), "left after a purge: {left:?}");
    Ok(())
}

/// The files of an unpacked package: mode, and content or where it points.
fn tree(root: &Path) -> Result<BTreeMap<String, (u32, Vec<u8>)>> {
    use std::os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _};
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            let name = format!("/{}", path.strip_prefix(root)?.display());
            let content = if metadata.is_symlink() {
                fs::read_link(&path)?.as_os_str().as_bytes().to_vec()
            } else if metadata.is_dir() {
                open.push(path);
                continue;
            } else {
                fs::read(&path)?
            };
            found.insert(name, (metadata.mode(), content));
        }
    }
    Ok(found)
}

/// Installed by rpm into an empty root, they hold what the debs do, pass rpm's own check, and go without rest.
#[tokio::test]
async fn the_rpms_hold_what_the_debs_do() -> Result<()> {
    let dir = KeptOnFailure::new();
    let debs = packages("deb", &[], &dir.path().join("deb"))?;
    let rpms = packages("rpm", &[], &dir.path().join("rpm"))?;
    ensure!(debs.len() == 2 && rpms.len() == 2, "{debs:?} {rpms:?}");
    for (deb, rpm) in debs.iter().zip(&rpms) {
        let name =
            if deb.to_string_lossy().contains("server") { "hindsight-server" } else { "hindsight-desktop" };
        let (of_deb, root) = (dir.path().join(format!("{name}-deb")), dir.path().join(format!("{name}-rpm")));
        run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&of_deb))?;
        fs::create_dir_all(&root)?;
        let by_rpm = |arguments: &[&str]| -> Result<String> {
            let mut command = Command::new("rpm");
            command.arg("--root").arg(&root).args(["--dbpath", DATABASE]).args(arguments);
            Ok(String::from_utf8(run(&mut command)?)?)
        };
        // Its libraries are another distribution's.
        let path = rpm.to_string_lossy().into_owned();
        by_rpm(&["--install", "--nodeps", "--noscripts", "--ignorearch", &path])?;
        ensure!(by_rpm(&["--query", name])?.starts_with(name), "{name} is not installed");
        by_rpm(&["--verify", "--nodeps", "--noscripts", name])?;
        let mut wanted = tree(&of_deb)?;
        let mut found = tree(&root)?;
        found.retain(|file, _| !file.starts_with(DATABASE));
        // It says by which kind of package it came.
        let described = "/usr/share/hindsight/package.json";
        let formats = [&mut wanted, &mut found].map(|tree| tree.remove(described));
        if let [Some((_, deb)), Some((_, rpm))] = formats {
            ensure!(String::from_utf8(deb)?.replace("\"deb\"", "\"rpm\"") == String::from_utf8(rpm)?);
        }
        ensure!(wanted.keys().eq(found.keys()), "{:?}\n{:?}", wanted.keys(), found.keys());
        for (file, of_deb) in &wanted {
            ensure!(found[file] == *of_deb, "{file} differs");
        }
        let asked = run(Command::new("rpm").args(["--query", "--package", "--requires"]).arg(rpm))?;
        let asked = String::from_utf8(asked)?;
        ensure!(asked.contains("libc.so.6"), "{name} asks for {asked}");
        println!("{name}: {} files, {} requirements", found.len(), asked.lines().count());
        by_rpm(&["--erase", "--noscripts", name])?;
        let rest: Vec<String> = tree(&root)?.into_keys().filter(|file| !file.starts_with(DATABASE)).collect();
        ensure!(rest.is_empty(), "left of {name}: {rest:?}");
    }
    Ok(())
}
