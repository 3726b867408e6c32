//! Failures: of the service itself, and of requests (one table of kinds to HTTP status).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hindsight_management::ManagementError;
use hindsight_store::StoreError;
use serde::Serialize;
use std::{path::PathBuf, time::Duration};
use utoipa::ToSchema;

/// Why the web services cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Configuration: a file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Configuration: a certificate or key is not usable.
    #[error("certificate or key in {path}: {why}")]
    Certificate {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Configuration: single sign-on.
    #[error("single_sign_on: {0}")]
    SingleSignOn(String),
    /// Configuration: the time zone.
    #[error("time_zone: {0}")]
    TimeZone(#[from] hindsight_reporting_server::ReportError),
    /// Configuration: TLS.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    /// Configuration: the address cannot be listened on.
    #[error("listening on {address}: {source}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Configuration or storage.
    #[error(transparent)]
    Management(#[from] ManagementError),
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after: Option<Duration>,
}

/// Body of every failure.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs; never changes.
    pub code: String,
    /// For people.
    pub message: String,
}

impl ApiError {
    /// A failure with this status, a code for programs and a text for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// Nobody is signed in.
    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_signed_in", "sign in first")
    }

    /// The one who asks may not.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// It does not exist, or whoever asks must not know that it does.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing here")
    }

    /// Something else is the case than the request takes for granted.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// What was sent was understood and is wrong.
    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// Too often.
    pub fn too_many(wait: Duration) -> Self {
        let error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "too many attempts; try again later",
        );
        Self { retry_after: Some(wait), ..error }
    }

    /// Our own fault; the log says which.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server could not do this; its log says why",
        )
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(message) => Self::conflict("conflict", message),
            StoreError::NotFound(_) => Self::not_found(),
            StoreError::Offset { .. } => Self::conflict("offset", error.to_string()),
            StoreError::Busy => Self::new(StatusCode::LOCKED, "busy", error.to_string()),
            StoreError::File { ref source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                tracing::error!(%error, "the disk is full");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", "the server's disk is full")
            }
            StoreError::Database(_)
            | StoreError::NoDatabase { .. }
            | StoreError::Displaced { .. }
            | StoreError::Migration(_)
            | StoreError::Damaged { .. }
            | StoreError::File { .. } => Self::internal(&error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = ErrorDetail { code: self.code.to_owned(), message: self.message };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
