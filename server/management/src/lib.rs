//! Configuration of the site and who may sign in to it.
//!
//! - [`site_file`], [`capture_section`]: the form of `config apply FILE.toml`; [`plan`]: what a file would change (pure); [`configuration`]:
//!   reading, applying and exporting it.
//! - [`voice`]: what the voice components and the desktops are told; [`watch`]: when it changes.
//! - [`password`], [`lockout`], [`authentication`]: sign-in with Argon2id and a lock-out.
//! - [`ha1`]: SIP passwords, kept only as H(A1).
//! - [`authority`]: the site's certificate authority.

pub mod authentication;
pub mod authority;
pub mod capture_section;
pub mod configuration;
pub mod error;
pub mod ha1;
pub mod lockout;
pub mod password;
pub mod plan;
pub mod site_file;
pub mod voice;
pub mod watch;

pub use authority::SiteAuthority;
pub use configuration::{Configuration, apply, export, load, plan_file};
pub use error::ManagementError;
pub use site_file::{SiteFile, TraceSection};
pub use voice::{agent_terms, capture_policy, captured_media, set_recipients, trace_terms, voice_config};
