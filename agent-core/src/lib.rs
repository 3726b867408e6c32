//! Screen capture, encoding and its control; the program hindsight-recorder.
pub mod capture;
pub mod encode;
pub mod mux;
pub mod recording;
