//! RTP relay and recorder.
