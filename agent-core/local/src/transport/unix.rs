//! A Unix socket in a directory of this user alone; who connects must be the same user.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

/// One end of an open connection.
pub type Connection = UnixStream;

/// Where the recorder of this data directory listens.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("recorder.sock")
}

/// Opens the window's end.
pub async fn connect(path: &Path) -> io::Result<Connection> {
    let stream = UnixStream::connect(path).await?;
    same_user(&stream)?;
    Ok(stream)
}

/// The recorder's end; its file goes with it.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, in place of what an earlier recorder left. The caller holds the data directory's lock, so
    /// nobody else listens there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// The next window of this user; others are turned away.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match same_user(&stream) {
                Ok(()) => return Ok(stream),
                Err(error) => tracing::warn!(%error, "a connection to the recorder's socket is refused"),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Left behind it would only be refused.
        let _ = fs::remove_file(&self.path);
    }
}

/// The kernel says whose process is at the other end (`SO_PEERCRED`).
fn same_user(stream: &UnixStream) -> io::Result<()> {
    let (theirs, ours) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if theirs == ours {
        return Ok(());
    }
    let reason = format!("the other end is of user {theirs}, not {ours}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_this_user_alone_and_takes_the_place_of_a_dead_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = socket_path(&directory.path().join("data"));
        fs::create_dir(path.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(connect(&path).await.is_err(), "a dead one");
        let mut listener = Listener::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (accepted, connected) = tokio::join!(listener.accept(), connect(&path));
        accepted.unwrap();
        connected.unwrap();
        drop(listener);
        assert!(!path.exists());
    }
}
