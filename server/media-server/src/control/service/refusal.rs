//! Why a request is refused.

use crate::control::target::TargetError;
use hindsight_sip::{Fault, StatusCode, sdp::SdpError};

/// A refusal of a request.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) reason: Option<String>,
    pub(super) retry_after: Option<u32>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode) -> Self {
        Self { status, reason: None, retry_after: None }
    }

    pub(super) fn because(status: StatusCode, reason: impl ToString) -> Self {
        Self { status, reason: Some(reason.to_string()), retry_after: None }
    }

    pub(super) fn busy(reason: &str) -> Self {
        Self { retry_after: Some(5), ..Self::because(StatusCode::SERVICE_UNAVAILABLE, reason) }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::because(fault.status, fault.reason)
    }
}

impl From<TargetError> for Refusal {
    fn from(error: TargetError) -> Self {
        let status = match error {
            TargetError::NotAConference => StatusCode::NOT_FOUND,
            TargetError::Id | TargetError::Role => StatusCode::BAD_REQUEST,
        };
        Self::because(status, error)
    }
}

impl From<SdpError> for Refusal {
    fn from(error: SdpError) -> Self {
        let status = match error {
            SdpError::Malformed => StatusCode::BAD_REQUEST,
            SdpError::NothingInCommon => StatusCode::NOT_ACCEPTABLE_HERE,
        };
        Self::new(status)
    }
}
