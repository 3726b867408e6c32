//! What the agent consented to, kept for the next capture.
//!
//! The portal's restore token is good for one use: each start is answered with a new one, and that replaces the old.
//! It belongs to the person at this desktop, not to a recorder's data directory, so it is kept among their own state.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

/// Where a shared monitor lies, in the compositor's coordinates (not pixels, where it scales).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Left edge.
    pub x: i32,
    /// Upper edge.
    pub y: i32,
    /// Columns.
    pub width: i32,
    /// Rows.
    pub height: i32,
}

/// A token, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The portal's restore token.
    pub token: String,
    /// The monitors that were shared when it was given.
    pub monitors: Vec<Place>,
}

/// Where it is kept; absent where the environment names no home.
pub struct ConsentFile(Option<PathBuf>);

impl ConsentFile {
    /// The one of this person.
    pub fn of_this_person() -> Self {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Self(state.map(|state| state.join("hindsight").join("screen-consent.json")))
    }

    /// What is kept. A file that cannot be read is as none: the agent is asked again.
    pub fn load(&self) -> Option<Consent> {
        serde_json::from_slice(&fs::read(self.0.as_ref()?).ok()?).ok()
    }

    /// Replaces what is kept; `None` forgets it.
    pub fn replace(&self, consent: Option<&Consent>) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let Some(consent) = consent else {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        };
        if let Some(directory) = path.parent() {
            crate::system::create_private_dir(directory)?;
        }
        let next = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(&serde_json::to_vec(consent)?)?;
        file.sync_all()?;
        fs::rename(next, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_last_consent_is_found_again_by_its_owner_only_and_can_be_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep").join("consent.json");
        let file = ConsentFile(Some(path.clone()));
        assert_eq!(file.load(), None);
        file.replace(None).unwrap();
        for token in ["first", "second"] {
            let monitors = vec![Place { x: 0, y: 0, width: 1280, height: 720 }];
            let consent = Consent { token: token.to_owned(), monitors };
            file.replace(Some(&consent)).unwrap();
            assert_eq!(file.load(), Some(consent));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        file.replace(None).unwrap();
        assert_eq!(file.load(), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(file.load(), None);
    }
}
