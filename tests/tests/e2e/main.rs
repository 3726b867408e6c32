//! Whole sites of real programs, proved from outside: SIP phones, a virtual display, tshark, strace, openssl, Python's
//! tink, Chromium. Run one at a time (`.config/nextest.toml`).
#![allow(clippy::print_stdout, reason = "each test prints the figures it measured")]

mod agent;
mod browser;
mod call;
mod codec_changes;
mod codecs;
mod crash;
mod desktop;
mod fixture;
mod floods;
mod interactions;
mod kept_lost;
mod ladder;
mod local_api;
mod network;
mod network_faults;
mod other_hosts;
mod outage;
mod own_recordings;
mod package;
mod package_server;
mod package_update;
mod pause;
mod pause_keys;
mod pause_rule;
mod plaintext;
mod reception;
mod reports;
mod restart;
mod screen;
mod screen_seek;
mod seal;
mod seek;
mod single_sign_on;
mod sip_server_ends;
mod sip_tls;
mod sipp_scenarios;
mod siprec;
mod siprec_library;
mod spool_faults;
mod survival;
mod torture;
mod transfer;
mod transfer_window;
mod wayland;
