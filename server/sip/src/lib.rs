//! Sans-IO SIP: messages, transactions, dialogs, digest; sockets at the edge.
//!
//! | module | what | standard |
//! |---|---|---|
//! | [`message`] | types, parser, serialiser, stream framing, multipart | RFC 3261 7, 18.3, 19, 20, 25; RFC 5621 |
//! | [`transaction`] | the four machines and the wait for the ACK of a 2xx | RFC 3261 17, 13.3.1.4; RFC 6026 |
//! | [`endpoint`] | transactions over several transports, without I/O | RFC 3261 9, 18; RFC 3581 |
//! | [`dialog`] | identity, route, target, order of requests | RFC 3261 12 |
//! | [`digest`] | authentication, both sides | RFC 7616, RFC 8760 |
//! | [`capability`] | what a user agent server refuses first | RFC 3261 8.2 |
//! | [`gate`] | how much one source may ask for | RFC 3261 26.3.2.4 |
//! | [`proxy`] | the steps of a stateful proxy | RFC 3261 16 |
//! | [`sdp`] | audio offers and answers | RFC 3264, RFC 8866 |
//! | [`transport`] | UDP and TCP on tokio | RFC 3261 18; RFC 5626 3.5.1 |
//!
//! Deliberately absent: TLS and WebSocket (to come), NAPTR and SRV look-ups, PRACK (RFC 3262), `maddr` in Via,
//! merged requests (482). Programs use [`SipStack`]; tests drive an [`Endpoint`] with a time of their own.

pub mod capability;
pub mod dialog;
pub mod digest;
pub mod endpoint;
pub mod event;
pub mod flow;
pub mod gate;
pub mod ids;
pub mod message;
pub mod proxy;
pub mod refer;
pub mod rfc4475;
pub mod sdp;
pub mod transaction;
pub mod transport;

pub use capability::Capabilities;
pub use dialog::{Dialog, DialogId, DialogParts, NewRequest};
pub use endpoint::{Command, Endpoint, EndpointConfig, Output, Received, Transmit};
pub use event::{ClientTransactionId, Event, ServerTransactionId};
pub use flow::{Destination, Protocol, Source};
pub use gate::{Limits, Network, Turned};
pub use ids::Ids;
pub use message::{
    CSeq, Fault, Header, Headers, Host, HostPort, Message, Method, NameAddr, OtherUri, Params, Rejection,
    Request, Response, SipMessage, SipUri, StatusCode, Uri, Via, parse_datagram,
};
pub use transport::{BindError, Observed, Observer, SipConfig, SipHandle, SipStack, StackGone};
