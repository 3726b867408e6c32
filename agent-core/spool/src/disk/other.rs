//! Systems without POSIX directories: the access control list of the parent applies, directory entries are the
//! journal's business (NTFS), and the free space is not known.

use std::{fs, fs::OpenOptions, io, path::Path};

pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

pub fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

pub fn sync_everything(_dir: &Path) -> io::Result<bool> {
    Ok(false)
}

pub fn free_bytes(_dir: &Path) -> io::Result<u64> {
    Ok(u64::MAX)
}

pub fn writable(dir: &Path) -> io::Result<()> {
    let read_only = fs::metadata(dir)?.permissions().readonly();
    if read_only { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}
