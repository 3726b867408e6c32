//! The system's package tool: dpkg and apt, or rpm and dnf.

use anyhow::{Context as _, ensure};
use hindsight_update::Installed;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The package that is updated.
const PACKAGE: &str = "hindsight-desktop";

/// Installs, and tells what is installed.
pub trait PackageTool {
    /// What is installed completely.
    fn installed(&self) -> anyhow::Result<Installed>;
    /// Whether a file is our package, of this version.
    fn is_ours(&self, file: &Path, version: &semver::Version) -> anyhow::Result<()>;
    /// Makes a package of what is installed now, to go back to.
    fn keep(&self, directory: &Path) -> anyhow::Result<PathBuf>;
    /// Installs a file; older versions too.
    fn install(&self, file: &Path) -> anyhow::Result<()>;
    /// Whether the installed programs start.
    fn starts(&self) -> anyhow::Result<()>;
}

/// The one that installed us.
pub fn of(format: &str) -> anyhow::Result<Box<dyn PackageTool>> {
    match format {
        "deb" => Ok(Box::new(Dpkg)),
        "rpm" => Ok(Box::new(Rpm)),
        other => anyhow::bail!("packages of the kind {other} are not installed by this program"),
    }
}

struct Dpkg;

impl PackageTool for Dpkg {
    fn installed(&self) -> anyhow::Result<Installed> {
        let shown = output(Command::new("dpkg-query").args([
            "--show",
            "--showformat=${db:Status-Abbrev}|${Version}|${Architecture}",
            PACKAGE,
        ]))?;
        let fields: Vec<&str> = shown.split('|').map(str::trim).collect();
        let [status, version, architecture] = fields[..] else { anyhow::bail!("dpkg says {shown}") };
        ensure!(status == "ii", "{PACKAGE} is not installed completely (dpkg: {status})");
        let architecture = match architecture {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        };
        Ok(Installed {
            version: version_of(version)?,
            format: "deb".into(),
            architecture: architecture.into(),
        })
    }

    fn is_ours(&self, file: &Path, version: &semver::Version) -> anyhow::Result<()> {
        let field = |name| {
            output(Command::new("dpkg-deb").arg("--field").arg(file).arg(name))
                .map(|said| said.trim().to_owned())
        };
        let (name, of) = (field("Package")?, field("Version")?);
        ensure!(name == PACKAGE && version_of(&of)? == *version, "the package is {name} {of}");
        Ok(())
    }

    /// What `dpkg-repack` does: the files and scripts that dpkg knows of, in a package again.
    fn keep(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let (tree, kept) = (directory.join("tree"), directory.join("before.deb"));
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(tree.join("DEBIAN"))?;
        let files = output(Command::new("dpkg-query").args(["--listfiles", PACKAGE]))?;
        let list = directory.join("files");
        fs::write(
            &list,
            files.lines().filter(|file| *file != "/.").map(|file| format!(".{file}\n")).collect::<String>(),
        )?;
        let archive = directory.join("files.tar");
        output(
            Command::new("tar").args(["-C", "/", "--no-recursion", "-cf"]).arg(&archive).arg("-T").arg(&list),
        )?;
        output(Command::new("tar").arg("-C").arg(&tree).arg("-xpf").arg(&archive))?;
        let status = output(Command::new("dpkg-query").args(["--status", PACKAGE]))?;
        fs::write(tree.join("DEBIAN/control"), control_of(&status))?;
        for part in ["postinst", "prerm", "postrm", "preinst", "conffiles", "md5sums"] {
            let known = PathBuf::from(format!("/var/lib/dpkg/info/{PACKAGE}.{part}"));
            if known.exists() {
                fs::copy(known, tree.join("DEBIAN").join(part))?;
            }
        }
        output(
            Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).arg(&tree).arg(&kept),
        )?;
        let _ = (fs::remove_dir_all(&tree), fs::remove_file(&list), fs::remove_file(&archive));
        Ok(kept)
    }

    /// By apt, which finds what the new version needs besides; it changes nothing when that cannot be had.
    fn install(&self, file: &Path) -> anyhow::Result<()> {
        let mut apt = Command::new("apt-get");
        apt.args([
            "install",
            "--yes",
            "--quiet",
            "--no-install-recommends",
            "--no-remove",
            "--allow-downgrades",
        ]);
        apt.args(["-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-confdef"]);
        apt.args(["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=600"]);
        output(apt.arg(file).env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
    }

    fn starts(&self) -> anyhow::Result<()> {
        starts()
    }
}

struct Rpm;

impl PackageTool for Rpm {
    fn installed(&self) -> anyhow::Result<Installed> {
        let shown = output(Command::new("rpm").args(["-q", "--queryformat", "%{VERSION}|%{ARCH}", PACKAGE]))?;
        let (version, architecture) = shown.split_once('|').context("rpm says nothing")?;
        Ok(Installed {
            version: version_of(version)?,
            format: "rpm".into(),
            architecture: architecture.into(),
        })
    }

    fn is_ours(&self, file: &Path, version: &semver::Version) -> anyhow::Result<()> {
        let shown =
            output(Command::new("rpm").args(["-qp", "--queryformat", "%{NAME}|%{VERSION}"]).arg(file))?;
        let (name, of) = shown.split_once('|').context("rpm says nothing")?;
        ensure!(name == PACKAGE && version_of(of)? == *version, "the package is {name} {of}");
        Ok(())
    }

    fn keep(&self, _: &Path) -> anyhow::Result<PathBuf> {
        anyhow::bail!("rpm keeps no package to go back to")
    }

    fn install(&self, file: &Path) -> anyhow::Result<()> {
        output(Command::new("dnf").args(["install", "--assumeyes", "--quiet", "--nogpgcheck"]).arg(file))
            .map(drop)
    }

    fn starts(&self) -> anyhow::Result<()> {
        starts()
    }
}

fn starts() -> anyhow::Result<()> {
    output(Command::new("/usr/bin/hindsight-recorder").arg("--version")).map(drop)
}

/// `1.2.0~rc.1` is 1.2.0-rc.1.
fn version_of(version: &str) -> anyhow::Result<semver::Version> {
    version.trim().replacen('~', "-", 1).parse().with_context(|| format!("version {version}"))
}

/// The control file of what `dpkg-query --status` says: without what only dpkg writes.
fn control_of(status: &str) -> String {
    let mut control = String::new();
    let mut skipped = false;
    for line in status.lines() {
        if !line.starts_with(' ') {
            skipped = line.starts_with("Status:") || line.starts_with("Conffiles:");
        }
        if !skipped {
            control.push_str(line);
            control.push('\n');
        }
    }
    control
}

/// Runs to the end; what it said when it failed.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").output().with_context(|| program.clone())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    ensure!(
        output.status.success(),
        "{program} ended with {}: {}",
        output.status,
        last.into_iter().rev().collect::<Vec<_>>().join("; ")
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_has_nothing_that_only_dpkg_writes() {
        let status = "Package: p\nStatus: install ok installed\nVersion: 1\nConffiles:\n /etc/a 00\nDescription: d\n more\n";
        assert_eq!(control_of(status), "Package: p\nVersion: 1\nDescription: d\n more\n");
    }

    #[test]
    fn versions_of_packages_are_those_of_programs() {
        assert_eq!(version_of("1.2.0~rc.1\n").unwrap(), "1.2.0-rc.1".parse().unwrap());
        assert!(version_of("1:2").is_err());
    }
}
