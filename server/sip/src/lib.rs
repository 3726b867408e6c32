//! Sans-IO SIP: messages, transactions, dialogs, digest; sockets at the edge.

pub mod message;

pub use message::{
    CSeq, Fault, Header, Headers, Host, HostPort, Message, Method, NameAddr, OtherUri, Params, Rejection,
    Request, Response, SipMessage, SipUri, StatusCode, Uri, Via, parse_datagram,
};
