//! What the desktop does, without a window: captures the screens of the person who is signed in, when the server says
//! so, and hands the sealed recordings to the spool. The program around it is `hindsight-recorder`.
//!
//! | module | what |
//! |---|---|
//! | [`capture`] | taking pictures: one trait, a backend per file |
//! | [`encode`] | pictures to H.264 |
//! | [`mux`] | H.264 to fragmented MP4 |
//! | [`recording`] | one capture: threads, timeline, sealing, the spool |
//! | [`controller`] | what to do and why: the pure state machine |
//! | [`service`] | link, captures, spool and uploader around it |
//! | [`agent_view`], [`health`] | what the server tells of the agent, what is wrong with this desktop: both pure |
//! | [`local_api`] | the HTTP API on loopback for other desktops |
//! | [`replay`] | the agent's own recordings, passed on to the window |
//! | [`updates`] | new versions of this program |
//! | [`key_store`] | where the device key and the session are kept |
//! | [`config`], [`policy`], [`probe`] | settings, the server's policy, what the machine offers |
//! | [`sign_in`], [`single_sign_on`] | signing in by password, and in the browser |
//! | [`network`] | what the network to the server is, for the uploads |
//! | [`system`] | what each operating system does in its own way |
//! | [`scene`] | the clock that tests read off the screen |
//!
//! Deliberately absent: a way to record without sealing, writing plaintext anywhere, capturing without a reason that
//! the server gave (or the offline policy that it set), audio.

pub mod agent_view;
pub mod capture;
pub mod config;
pub mod controller;
pub mod encode;
pub mod health;
pub mod key_store;
pub mod local_api;
pub mod mux;
pub mod network;
pub mod policy;
pub mod probe;
pub mod recording;
pub mod replay;
pub mod scene;
pub mod service;
pub mod sign_in;
pub mod single_sign_on;
pub mod system;
pub mod updates;
