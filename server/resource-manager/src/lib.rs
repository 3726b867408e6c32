//! SIP proxy before the pool of media servers.
