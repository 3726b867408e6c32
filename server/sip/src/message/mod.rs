//! SIP messages: types, parser, serialiser (RFC 3261 7, 19, 20, 25).

pub mod address;
pub mod cseq;
pub mod error;
pub mod headers;
pub mod host;
pub mod lex;
pub mod method;
pub mod multipart;
pub mod params;
pub mod parse;
pub mod request;
pub mod response;
pub mod status;
pub mod stream;
pub mod typed;
pub mod uri;
mod validate;
pub mod via;
mod write;

pub use address::NameAddr;
pub use cseq::CSeq;
pub use error::{Fault, Rejection};
pub use headers::{Header, Headers};
pub use host::{Host, HostPort};
pub use method::Method;
pub use params::Params;
pub use parse::parse_datagram;
pub use request::Request;
pub use response::Response;
pub use status::StatusCode;
pub use stream::{Frame, StreamFramer};
pub use typed::SipMessage;
pub use uri::{OtherUri, SipUri, Uri};
pub use via::Via;

/// No message may be larger than this; what UDP can carry anyhow.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// No message may have more header fields than this.
pub const MAX_HEADERS: usize = 256;

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// The message as it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}
