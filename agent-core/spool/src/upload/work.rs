//! What the uploader does for one item: reads the spool, asks the server, keeps what must survive.

use super::{
    http::{Http, Sending},
    queue::Job,
    saved::SavedUpload,
    state::{Answer, Outcome, Request},
};
use crate::{
    Phase, Spool,
    entry::{Entry, locked},
    error::SpoolError,
    layout::{MANIFEST, REFUSED, REFUSED_NEW, SEALED},
    receipt,
    recovery::RefusedFile,
    spool::take_lock,
};
use hindsight_wire::{
    Timestamp,
    manifest::{Media, Signed},
};
use std::{io, sync::Arc};

/// What a request needs.
pub(crate) struct Work {
    pub spool: Spool,
    pub http: Http,
    pub ca_pem: String,
}

impl Work {
    /// Does a job; never fails silently.
    pub async fn perform(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: &Job,
        location: Option<String>,
    ) -> Outcome {
        let request = match job {
            Job::Ask(request) => request,
            Job::Delete => return self.on_disk(entry, |work, entry| work.spool.inner.delete(entry)).await,
            Job::Keep(reason) => {
                let reason = reason.clone();
                return self.on_disk(entry, move |work, entry| work.keep(entry, reason)).await;
            }
        };
        let (body, _lock) = match self.prepare(entry, request).await {
            Ok(prepared) => prepared,
            Err(reason) => return Outcome::Local(reason),
        };
        let kind = match locked(&entry.state).info.media {
            Media::Voice { .. } => "voice",
            Media::Screen { .. } => "screen",
        };
        let manifest = (*request == Request::Receipt).then(|| self.manifest(entry));
        let sending = Sending { recording: entry.recording, kind, location: location.as_deref(), body };
        let (mut outcome, answered) = self.http.send(request, sending).await;
        if let Outcome::Answered(answer) = &mut outcome
            && let Err(reason) = self.conclude(entry, request, answer, &answered, location, manifest).await
        {
            return Outcome::Local(reason);
        }
        outcome
    }

    /// What the request carries, and the item's lock where this process does not hold it anyway.
    async fn prepare(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        request: &Request,
    ) -> Result<(Vec<u8>, Option<crate::storage::LockGuard>), String> {
        let (work, entry, request) = (self.clone(), entry.clone(), request.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            let storage = work.spool.inner.storage();
            let held = locked(&entry.state).lock.is_some();
            let lock = if held {
                None
            } else {
                let lock = take_lock(storage, &entry.dir).map_err(|error| error.to_string())?;
                Some(lock.ok_or("another process works on this item")?)
            };
            let read = match request {
                Request::Patch { len: 0, .. } => Ok(Vec::new()),
                Request::Patch { offset, len, .. } => {
                    storage.read_at(&entry.dir.join(SEALED), offset, len as usize).and_then(|bytes| {
                        let whole = bytes.len() as u64 == len;
                        whole.then_some(bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
                    })
                }
                Request::Manifest => storage.read(&entry.dir.join(MANIFEST)),
                Request::Create { .. } | Request::Head | Request::Receipt => Ok(Vec::new()),
            };
            read.map(|body| (body, lock)).map_err(|error| format!("reading the spool: {error}"))
        });
        prepared.await.map_err(|error| error.to_string())?
    }

    fn manifest(&self, entry: &Entry) -> Result<Signed, String> {
        let content = self.spool.inner.storage().read(&entry.dir.join(MANIFEST));
        let content = content.map_err(|error| format!("manifest: {error}"))?;
        serde_json::from_slice(&content).map_err(|error| format!("manifest: {error}"))
    }

    /// What must be on the disk before the answer counts, and what only this side can judge.
    async fn conclude(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        request: &Request,
        answer: &mut Answer,
        body: &[u8],
        location: Option<String>,
        manifest: Option<Result<Signed, String>>,
    ) -> Result<(), String> {
        let saved = match (request, answer.status) {
            (Request::Create { .. }, 200 | 201) => {
                answer.location.clone().map(|location| SavedUpload { location, manifest_sent: false })
            }
            (Request::Manifest, 200..=299) => {
                location.map(|location| SavedUpload { location, manifest_sent: true })
            }
            (Request::Receipt, 200) => {
                let verified =
                    manifest.unwrap_or_else(|| Err("no manifest".to_owned())).and_then(|manifest| {
                        receipt::verify(body, entry.recording, &manifest, &self.ca_pem, Timestamp::now())
                    });
                answer.receipt = Some(verified);
                None
            }
            _ => None,
        };
        let Some(saved) = saved else { return Ok(()) };
        let stored = self.on_disk(entry, move |work, entry| {
            let stored = saved.store(&work.spool.inner.syncer, &entry.dir);
            match stored.map_err(SpoolError::storage("writing in", &entry.dir)) {
                // Not kept on a disk that cannot be written: the server knows it after a restart too.
                Err(error) if error.is_unwritable() => {}
                stored => stored?,
            }
            locked(&entry.state).upload = Some(saved);
            Ok(())
        });
        match stored.await {
            Outcome::Lost(reason) | Outcome::Local(reason) => Err(reason),
            Outcome::Answered(_) => Ok(()),
        }
    }

    /// Keeps the reason of a refusal beside the item.
    fn keep(&self, entry: &Entry, reason: String) -> Result<(), SpoolError> {
        let storage = self.spool.inner.storage();
        tracing::warn!(recording = %entry.recording, reason, "recording refused by the server, kept");
        let content =
            serde_json::to_vec(&RefusedFile { reason: reason.clone() }).expect("a string has a JSON form");
        let (next, place) = (entry.dir.join(REFUSED_NEW), entry.dir.join(REFUSED));
        let stored = (self.spool.inner.syncer)
            .write_small(&next, &content)
            .and_then(|()| storage.sync_file(&next))
            .and_then(|()| storage.rename(&next, &place))
            .and_then(|()| storage.sync_dir(&entry.dir));
        stored.map_err(SpoolError::storage("writing", place))?;
        locked(&entry.state).phase = Phase::Refused(reason);
        self.spool.inner.syncer.notify_changed();
        Ok(())
    }

    async fn on_disk(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        change: impl FnOnce(&Work, &Entry) -> Result<(), SpoolError> + Send + 'static,
    ) -> Outcome {
        let (work, entry) = (self.clone(), entry.clone());
        match tokio::task::spawn_blocking(move || change(&work, &entry)).await {
            Ok(Ok(())) => Outcome::Answered(Answer::default()),
            Ok(Err(error)) => Outcome::Local(error.to_string()),
            Err(error) => Outcome::Local(error.to_string()),
        }
    }
}
