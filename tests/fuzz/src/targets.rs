//! What is fed, format by format. A target panics when a promise is broken: so do its own checks.

mod media;
mod signalling;

/// One format.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes an input.
    pub feed: fn(&[u8]),
    /// What mutations start from.
    pub inputs: fn() -> Vec<Vec<u8>>,
    /// What the format is made of.
    pub words: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    signalling::SIP,
    signalling::SIP_STREAM,
    signalling::SDP,
    signalling::SIPREC,
    signalling::MSML,
    media::RTP,
    media::RTCP,
    media::SRTP,
];

/// The one of this name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
