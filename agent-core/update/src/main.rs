//! hindsight-update: makes and checks update manifests, and, as root, verifies and installs what a recorder handed over.

#[cfg(unix)]
mod install;
#[cfg(unix)]
mod package_tool;
#[cfg(unix)]
mod taking;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use hindsight_update::{
    Keys, Manifest, Package,
    manifest::{MANIFEST_FILE, SIGNATURE_FILE, fingerprint, is_file_name},
    signature::KEY_DIRECTORIES,
};
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

#[derive(Parser)]
#[command(version, about = "Verifies and installs updates of the Hindsight desktop")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify and install what recorders handed over, once nobody on this machine is recorded (root; started by systemd).
    Install,
    /// Write update.json for packages into their directory; sign it with `minisign -Sm update.json`.
    Manifest {
        /// Version of the packages.
        #[arg(long)]
        version: semver::Version,
        /// Lowest protocol of the server that it works with.
        #[arg(long, default_value_t = 1)]
        min_server_protocol: u32,
        /// The packages, all in one directory.
        #[arg(required = true)]
        packages: Vec<PathBuf>,
    },
    /// Check signature, sizes and hashes of a directory with update.json, its signature and the packages.
    Verify {
        /// The directory.
        directory: PathBuf,
        /// Directories of public keys (*.pub).
        #[arg(long, default_values = KEY_DIRECTORIES)]
        keys: Vec<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Manifest { version, min_server_protocol, packages } => {
            let path = write_manifest(version, min_server_protocol, &packages)?;
            say(&format!("{}: sign it with `minisign -Sm {}`", path.display(), path.display()))
        }
        Command::Verify { directory, keys } => verify(&directory, &keys),
        #[cfg(unix)]
        Command::Install => install::all(),
        #[cfg(not(unix))]
        Command::Install => bail!("updates are not installed by this program on this system"),
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn write_manifest(
    version: semver::Version,
    min_server_protocol: u32,
    packages: &[PathBuf],
) -> anyhow::Result<PathBuf> {
    let directory = packages[0].parent().unwrap_or(Path::new("")).to_owned();
    let packages = packages.iter().map(|path| describe(path)).collect::<Result<Vec<_>, _>>()?;
    let bytes = serde_json::to_vec_pretty(&Manifest { version, min_server_protocol, packages })?;
    Manifest::parse(&bytes)?;
    let path = directory.join(MANIFEST_FILE);
    fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn describe(path: &Path) -> anyhow::Result<Package> {
    let file = path.file_name().and_then(|name| name.to_str()).filter(|name| is_file_name(name));
    let file = file.with_context(|| format!("{}: no plain file name", path.display()))?.to_owned();
    let format = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_owned();
    let architecture = match &file {
        file if ["amd64", "x86_64", "x64"].iter().any(|name| file.contains(name)) => "x86_64",
        file if ["arm64", "aarch64"].iter().any(|name| file.contains(name)) => "aarch64",
        _ => bail!("{file}: the name does not say for which architecture it is"),
    };
    let (size, sha256) = fingerprint(File::open(path).with_context(|| path.display().to_string())?)?;
    Ok(Package { format, architecture: architecture.to_owned(), file, size, sha256 })
}

fn verify(directory: &Path, keys: &[PathBuf]) -> anyhow::Result<()> {
    let keys = Keys::load(&keys.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    let bytes = fs::read(directory.join(MANIFEST_FILE)).context(MANIFEST_FILE)?;
    keys.verify(&bytes, &fs::read_to_string(directory.join(SIGNATURE_FILE)).context(SIGNATURE_FILE)?)?;
    let manifest = Manifest::parse(&bytes)?;
    for package in &manifest.packages {
        let file = File::open(directory.join(&package.file)).with_context(|| package.file.clone())?;
        anyhow::ensure!(package.is(file)?, "{}: not what was signed", package.file);
    }
    say(&format!(
        "{} is signed; {} package(s) are what was signed",
        manifest.version,
        manifest.packages.len()
    ))
}
