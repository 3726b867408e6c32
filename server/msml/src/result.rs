//! Results (RFC 5707 11).

/// Response code of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ResultCode {
    /// Done and confirmed.
    Ok = 200,
    /// Not well formed, not MSML, or not exactly one command.
    BadRequest = 400,
    /// An element that is not in the dialect.
    UnknownElement = 401,
    /// `dialogstart` without `record`.
    MissingContent = 403,
    /// A mandatory attribute is absent.
    MissingAttribute = 408,
    /// An attribute has a value that cannot be.
    InvalidAttribute = 410,
    /// No such conference or dialog.
    NoSuchObject = 430,
    /// A dialog of this name runs already.
    NameInUse = 431,
    /// The media server broke.
    Internal = 500,
    /// The media server works but will not do this now, for the reason given.
    Unavailable = 511,
    /// A limit of the media server is reached.
    LimitExceeded = 521,
}

impl ResultCode {
    /// The number in the attribute `response`.
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// A result as it was read: codes that are not ours are kept as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Response code; 2xx is success.
    pub response: u16,
    /// Why not, for people.
    pub description: Option<String>,
    /// The dialog that was started.
    pub dialog: Option<String>,
}

impl Outcome {
    /// Done and confirmed.
    pub fn ok(dialog: Option<String>) -> Self {
        Self { response: ResultCode::Ok.number(), description: None, dialog }
    }

    /// Refused or failed.
    pub fn failed(code: ResultCode, description: impl Into<String>) -> Self {
        Self { response: code.number(), description: Some(description.into()), dialog: None }
    }

    /// Whether it was done.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.response)
    }
}
