//! Sans-IO SIP: messages, transactions, dialogs, digest; sockets at the edge.

pub mod capability;
pub mod dialog;
pub mod digest;
pub mod endpoint;
pub mod event;
pub mod flow;
pub mod ids;
pub mod message;
pub mod proxy;
pub mod rfc4475;
pub mod sdp;
pub mod transaction;
pub mod transport;

pub use capability::Capabilities;
pub use dialog::{Dialog, DialogId, NewRequest};
pub use endpoint::{Command, Endpoint, EndpointConfig, Output, Received, Transmit};
pub use event::{ClientTransactionId, Event, ServerTransactionId};
pub use flow::{Destination, Protocol, Source};
pub use ids::Ids;
pub use message::{
    CSeq, Fault, Header, Headers, Host, HostPort, Message, Method, NameAddr, OtherUri, Params, Rejection,
    Request, Response, SipMessage, SipUri, StatusCode, Uri, Via, parse_datagram,
};
pub use transport::{SipConfig, SipHandle, SipStack, StackGone};
