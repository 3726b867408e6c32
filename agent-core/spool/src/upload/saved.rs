//! What survives a restart of the uploader: where the server keeps the upload.

use crate::{
    layout::{UPLOAD, UPLOAD_NEW},
    storage::Storage,
    sync::Syncer,
};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};

/// `upload.json`. Lost or unreadable, the upload begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SavedUpload {
    /// URL of the upload, as the server gave it.
    pub location: String,
    /// The server has accepted the manifest.
    pub manifest_sent: bool,
}

impl SavedUpload {
    pub fn load(storage: &dyn Storage, dir: &Path) -> Option<Self> {
        serde_json::from_slice(&storage.read(&dir.join(UPLOAD)).ok()?).ok()
    }

    pub fn store(&self, syncer: &Syncer, dir: &Path) -> io::Result<()> {
        let content = serde_json::to_vec(self).expect("a string and a flag have a JSON form");
        let next = dir.join(UPLOAD_NEW);
        syncer.write_small(&next, &content)?;
        syncer.storage.sync_file(&next)?;
        syncer.storage.rename(&next, &dir.join(UPLOAD))
    }
}
