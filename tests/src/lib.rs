//! The harness with which the demo, the benchmarks and the end-to-end tests run whole sites of real programs:
//! our server and recorder, SIP phones, virtual displays, browsers.
//!
//! - [`backlog`]: recordings that wait in a spool, with known bytes.
//! - [`fleet`]: many small phones in one process, that measure what they do not hear.
//! - [`linphone`]: linphone, driven over its standard input.
//! - [`netns`]: site, desktop and phones in network namespaces, with a bad or a plain line between them.
//! - [`process`]: programs that end with their owner, and waiting for what they print.
//! - [`sipp`]: calls of every kind by sipp.
//! - [`site`]: a server on a fresh data directory, in one process or one per role.
//! - [`phone`]: baresip, driven over its control socket.
//! - [`desktop`]: an agent's session with tray and key store, and the program's window.
//! - [`display`]: a virtual X display with moving content.
//! - [`proxy`]: an HTTP proxy with a password.
//! - [`recorder`]: `hindsight-recorder` signed in as an agent.
//! - [`carrier`]: Kamailio between a site and the phones outside.
//! - [`console`]: the web API as the console uses it.
//! - [`debian`]: a clean Debian in a directory, for packages.
//! - [`softphone`]: a phone that does exactly what a test tells it.
//! - [`speech`]: comparing what was played with what was recorded.
//! - [`wayland`]: a headless Wayland session with its portal.
#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "a harness: it prints, and its items speak for themselves"
)]

pub mod backlog;
pub mod bench;
pub mod carrier;
pub mod console;
pub mod debian;
pub mod desktop;
pub mod display;
pub mod fleet;
pub mod linphone;
pub mod netns;
pub mod phone;
pub mod process;
pub mod proxy;
pub mod recorder;
pub mod scenario;
pub mod sipp;
pub mod site;
pub mod softphone;
pub mod speech;
pub mod wayland;
