//! Who is at the other end of a connection: its address, and the enrolled device whose certificate it showed.

use crate::{error::ApiError, state::App};
use axum::{extract::FromRequestParts, http::request::Parts};
use hindsight_store::devices::{self, Device};
use hindsight_wire::{Timestamp, enrolment::DeviceKind};
use std::net::IpAddr;

/// Of one connection; an extension of each of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: IpAddr,
    /// SHA-256 of the certificate it showed. The handshake has verified its chain to the site's authority.
    pub certificate_sha256: Option<[u8; 32]>,
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<Peer>().copied();
        peer.ok_or_else(|| ApiError::internal(&"a request without its connection"))
    }
}

/// An enrolled device that is not revoked.
#[derive(Clone, Debug)]
pub struct Caller(pub Device);

impl Caller {
    /// Refuses every other kind.
    pub fn require(&self, kinds: &[DeviceKind]) -> Result<&Device, ApiError> {
        if kinds.contains(&self.0.kind) {
            Ok(&self.0)
        } else {
            Err(ApiError::forbidden("wrong_device", "this is not for this kind of device"))
        }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, app).await?;
        let refused = |why: &str| {
            ApiError::new(axum::http::StatusCode::UNAUTHORIZED, "no_device_certificate", why.to_owned())
        };
        let Some(sha256) = peer.certificate_sha256 else {
            return Err(refused("a device certificate of this site is needed"));
        };
        let device = devices::by_certificate(&mut *app.database.read().await?, &sha256).await?;
        match device {
            Some(device) if usable(&device, Timestamp::now()) => Ok(Self(device)),
            _ => Err(refused("the device is unknown or revoked")),
        }
    }
}

/// Whether a device may still act.
pub fn usable(device: &Device, now: Timestamp) -> bool {
    device.revoked_at.is_none_or(|at| now < at) && now < device.not_after
}
