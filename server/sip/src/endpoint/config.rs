//! What an endpoint is told once.

use crate::gate::{Limits, Turned};
use crate::message::HostPort;
use crate::transaction::Timers;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Settings of an [`super::Endpoint`].
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Host and port that peers reach us at; written in Via.
    pub advertised: HostPort,
    /// The port that peers are told where TLS is spoken.
    pub tls_port: Option<u16>,
    /// Transaction timers.
    pub timers: Timers,
    /// A larger request goes by TCP, and by UDP after all when TCP fails (RFC 3261 18.1.1).
    pub udp_request_limit: usize,
    /// More open server transactions than this are refused with 503.
    pub max_transactions: usize,
    /// More streams than this are closed at once.
    pub max_streams: usize,
    /// What one source may ask for; `None`: everything.
    pub limits: Option<Limits>,
    /// Where what is turned away is counted.
    pub turned: Arc<Turned>,
    /// While this is set, each message that is understood is given out too ([`super::Output::Heard`]).
    pub observed: Arc<AtomicBool>,
}

/// RFC 3261 18.1.1.
pub const UDP_REQUEST_LIMIT: usize = 1300;
/// Some minutes of several hundred calls a second.
pub const MAX_TRANSACTIONS: usize = 200_000;
/// Well below the usual limit of file descriptors.
pub const MAX_STREAMS: usize = 1024;

impl EndpointConfig {
    /// The defaults with this advertised address.
    pub fn new(advertised: impl Into<HostPort>) -> Self {
        Self {
            advertised: advertised.into(),
            tls_port: None,
            timers: Timers::default(),
            udp_request_limit: UDP_REQUEST_LIMIT,
            max_transactions: MAX_TRANSACTIONS,
            max_streams: MAX_STREAMS,
            limits: None,
            turned: Arc::default(),
            observed: Arc::default(),
        }
    }
}
