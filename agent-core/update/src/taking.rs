//! Taking files out of a directory that everybody may write into.

use hindsight_update::{
    Package,
    handover::{LARGEST_REQUEST, PACKAGE, REQUEST, Request},
};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// What was handed over: believed by nobody yet.
pub struct Taken {
    /// Manifest and signature.
    pub request: Request,
    package: PathBuf,
}

/// Oldest first; files that are no requests are thrown away with the reason told.
pub fn take_all(spool: &Path) -> io::Result<Vec<Result<Taken, String>>> {
    let mut requests = Vec::new();
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == REQUEST) {
            let modified = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
            requests.push((modified.ok(), path));
        }
    }
    requests.sort();
    Ok(requests.into_iter().map(|(_, path)| take(&path)).collect())
}

/// Reads a request and removes it, good or not: otherwise systemd would start us for it again and again.
fn take(path: &Path) -> Result<Taken, String> {
    let content = read(path).map_err(|error| error.to_string());
    remove(path);
    let package = path.with_extension(PACKAGE);
    let request = content.and_then(|content| {
        serde_json::from_slice(&content).map_err(|error| format!("the request cannot be read: {error}"))
    });
    match request {
        Ok(request) => Ok(Taken { request, package }),
        Err(reason) => {
            remove(&package);
            Err(reason)
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_strangers_file(path)?.take(LARGEST_REQUEST).read_to_end(&mut content)?;
    Ok(content)
}

fn remove(path: &Path) {
    let removed =
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        eprintln!("hindsight-update: {}: {error}", path.display());
    }
}

/// A plain file with one name: no link to what others may not read, no pipe that blocks us.
fn open_strangers_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.nlink() == 1 {
        Ok(file)
    } else {
        Err(io::Error::other("not a plain file with one name"))
    }
}

impl Taken {
    /// Copies the package to where only root writes; `false` when the copy is not what was signed. The copy is what is
    /// checked and installed, so that nobody can change it in between.
    pub fn copy_package(&self, package: &Package, target: &Path) -> io::Result<bool> {
        let mut options = File::options();
        let mut copy = options.write(true).create(true).truncate(true).mode(0o644).open(target)?;
        io::copy(&mut open_strangers_file(&self.package)?.take(package.size + 1), &mut copy)?;
        copy.flush()?;
        copy.sync_all()?;
        package.is(File::open(target)?)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        remove(&self.package);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_update::{handover::hand_over, manifest::fingerprint};

    fn request() -> Request {
        Request { manifest: "{}".into(), signature: "none".into() }
    }

    #[test]
    fn what_was_handed_over_is_taken_once_and_copied_only_when_it_is_what_was_signed() {
        let directory = tempfile::tempdir().unwrap();
        let spool = directory.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let package = directory.path().join("package");
        fs::write(&package, b"bytes").unwrap();
        hand_over(&spool, "a", &request(), &package).unwrap();
        let mut taken = take_all(&spool).unwrap();
        let taken = taken.pop().unwrap().ok().unwrap();
        assert_eq!(taken.request, request());
        let (size, sha256) = fingerprint(&b"bytes"[..]).unwrap();
        let signed = Package {
            format: "deb".into(),
            architecture: "x86_64".into(),
            file: "a.deb".into(),
            size,
            sha256,
        };
        let target = directory.path().join("copy.deb");
        assert!(taken.copy_package(&signed, &target).unwrap());
        let other = Package { size: 4, ..signed };
        assert!(!taken.copy_package(&other, &target).unwrap());
        drop(taken);
        assert_eq!(fs::read_dir(&spool).unwrap().count(), 0, "nothing stays that would start us again");
    }

    #[test]
    fn links_pipes_and_nonsense_are_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let spool = directory.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let secret = directory.path().join("secret");
        fs::write(&secret, serde_json::to_vec(&request()).unwrap()).unwrap();
        std::os::unix::fs::symlink(&secret, spool.join("link.request")).unwrap();
        fs::hard_link(&secret, spool.join("second-name.request")).unwrap();
        fs::write(spool.join("nonsense.request"), b"{").unwrap();
        fs::create_dir(spool.join("directory.request")).unwrap();
        let pipe = spool.join("pipe.request");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let taken = take_all(&spool).unwrap();
        assert_eq!(taken.len(), 5);
        assert!(taken.iter().all(Result::is_err));
        assert_eq!(fs::read_dir(&spool).unwrap().count(), 0);
        assert!(secret.exists());
    }
}
