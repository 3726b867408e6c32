//! A clean Debian 12 in a directory: a machine with processes and mounts of its own, on this host's kernel and network. It
//! has no service manager; what systemd would start, a test starts.

use crate::process::{Program, eventually, run};
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Who works there.
pub const USER: &str = "agent";

pub struct Debian {
    pub root: PathBuf,
    /// Its first process: everything in it ends with it.
    _init: Program,
    init: u32,
}

/// What `packaging/setup.sh test` made.
fn archive() -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = from("HINDSIGHT_CACHE")
        .or_else(|| {
            Some(from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")))?.join("hindsight"))
        })
        .context("no cache directory")?;
    let archive = cache.join("clean-debian-12.tar");
    ensure!(archive.is_file(), "{archive:?} is missing: `packaging/setup.sh test` makes it");
    Ok(archive)
}

impl Debian {
    /// Unpacks it below `dir`, starts it, makes the user.
    pub async fn start(dir: &Path) -> Result<Self> {
        let root = dir.join("debian");
        fs::create_dir_all(&root)?;
        run(Command::new("tar").arg("-xf").arg(archive()?).arg("-C").arg(&root))?;
        let enter = r#"mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && exec chroot "$1" /bin/sh -c 'sleep infinity & wait'"#;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", enter, "sh"]).arg(&root);
        let outer = Program::spawn("the clean Debian", &mut unshare, &dir.join("debian.log"))?;
        let children = format!("/proc/{0}/task/{0}/children", outer.pid());
        let init = eventually("the clean Debian's first process", Duration::from_secs(20), || async {
            let init: u32 = fs::read_to_string(&children)?.trim().parse()?;
            let entered = fs::read_link(format!("/proc/{init}/root"))? == root;
            ensure!(entered, "not yet in its root");
            Ok(init)
        })
        .await?;
        let machine = Self { root, _init: outer, init };
        machine.write("/etc/hosts", "127.0.0.1 localhost\n")?;
        machine.root(&["useradd", "--create-home", "--shell", "/bin/sh", USER])?;
        Ok(machine)
    }

    /// A command in it, as root or as [`USER`].
    pub fn command(&self, user: bool, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--mount", "--pid", "--root", "--wd=/"]);
        command.args([
            "env",
            "-i",
            &format!("PATH={PATH}"),
            "LC_ALL=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        ]);
        if user {
            command.args(["setpriv", "--reuid", USER, "--regid", USER, "--init-groups"]);
            command.args(["env", &format!("HOME=/home/{USER}"), &format!("USER={USER}")]);
        }
        command.args(arguments);
        command
    }

    /// Runs as root; what it printed, errors too.
    pub fn root(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(false, arguments).output()?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{arguments:?} ended with {}:\n{said}", output.status);
        Ok(said)
    }

    /// apt, without a network: what it needs is in its cache.
    pub fn apt(&self, arguments: &[&str]) -> Result<String> {
        let options = ["--yes", "--quiet", "--no-install-recommends", "--option", "Dpkg::Use-Pty=0"];
        // A crash of the host loses the test, not a system: no need to wait for the disk.
        let unsafe_io = ["--option", "Dpkg::Options::=--force-unsafe-io"];
        let (first, rest) = arguments.split_first().context("no command")?;
        self.root(&[&["apt-get", first], &options[..], &unsafe_io, rest].concat())
    }

    /// Puts a file of the host into its `/root`.
    pub fn bring(&self, file: &Path) -> Result<String> {
        let name = file.file_name().and_then(|name| name.to_str()).context("no name")?;
        fs::copy(file, self.root.join("root").join(name))?;
        Ok(format!("/root/{name}"))
    }

    pub fn write(&self, path: &str, content: &str) -> Result<()> {
        let path = self.root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().context("no directory")?)?;
        Ok(fs::write(path, content)?)
    }

    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.root.join(path.trim_start_matches('/'))).context(path.to_owned())
    }

    /// Host's ids of the processes that run a program of it.
    pub fn running(&self, program: &str) -> Vec<u32> {
        let wanted = self.root.join(program.trim_start_matches('/')).display().to_string();
        // An update has put another file in its place.
        let replaced = format!("{wanted} (deleted)");
        let ours = |exe: PathBuf| exe.to_str().is_some_and(|exe| exe == wanted || exe == replaced);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(|id: &u32| fs::read_link(format!("/proc/{id}/exe")).is_ok_and(ours)).collect()
    }

    /// Every file and directory, with mode and size of files, without those that package tools themselves keep.
    pub fn files(&self) -> Result<BTreeMap<String, (u32, u64)>> {
        const KEPT_BY_TOOLS: [&str; 6] =
            ["/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/log", "/root", "/tmp"];
        let mut found = BTreeMap::new();
        let mut open = vec![self.root.clone()];
        let device = fs::metadata(&self.root)?.dev();
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let name = format!("/{}", path.strip_prefix(&self.root)?.display());
                let metadata = fs::symlink_metadata(&path)?;
                if KEPT_BY_TOOLS.contains(&name.as_str()) || metadata.dev() != device {
                    continue;
                }
                let size = if metadata.is_file() { metadata.len() } else { 0 };
                found.insert(name, (metadata.mode(), size));
                if metadata.is_dir() {
                    open.push(path);
                }
            }
        }
        Ok(found)
    }
}
