//! The web services over real TLS on a free port: devices with their certificates, persons with their cookies, uploads by
//! our own uploader and by tuspy, the link with scripted devices, repairs through a real crypto server.

// The exemption for tests does not reach their helper functions: what they unwrap fails the test.
#![allow(clippy::unwrap_used)]

mod agents;
mod announced;
mod enrolment;
mod links;
mod lost_calls;
mod matroska;
mod recorder;
mod repairs;
mod reports;
mod sessions;
mod site;
mod traces;
mod uploads;
