//! One site with an agent at a screen and two phones: what the demo and the end-to-end tests have in common.

use crate::{
    display::Display,
    phone::{Phone, PhoneConfig, Seat},
    process::Program,
    recorder::{self, Desktop},
    site::{Ports, Site},
    speech,
};
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub const AGENT_DN: &str = "1001";
pub const CUSTOMER_DN: &str = "2001";
pub const AGENT_LOGIN: &str = "ann";
pub const SUPERVISOR_LOGIN: &str = "sam";

/// Passwords made for one run.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub agent: String,
    pub supervisor: String,
    pub agent_phone: String,
    pub customer_phone: String,
}

impl Secrets {
    pub fn random() -> Self {
        let word = || uuid::Uuid::new_v4().simple().to_string()[..20].to_owned();
        Self { agent: word(), supervisor: word(), agent_phone: word(), customer_phone: word() }
    }
}

/// The site's configuration: an agent who is recorded full-time with their screen, a supervisor, a customer's phone.
/// `capture`: lines of `[capture]`.
pub fn configuration(secrets: &Secrets, capture: &str) -> String {
    format!(
        r#"
[capture]
{capture}

[[person]]
login = "{AGENT_LOGIN}"
name = "Ann Weber"
roles = ["agent"]
dn = "{AGENT_DN}"
password = "{agent}"

[[person]]
login = "{SUPERVISOR_LOGIN}"
name = "Sam Okafor"
roles = ["supervisor"]
password = "{supervisor}"

[[dn]]
number = "{AGENT_DN}"
password = "{agent_phone}"
record_voice = "full-time"
record_screen = true

[[dn]]
number = "{CUSTOMER_DN}"
password = "{customer_phone}"
record_voice = "on-demand"
"#,
        agent = secrets.agent,
        supervisor = secrets.supervisor,
        agent_phone = secrets.agent_phone,
        customer_phone = secrets.customer_phone,
    )
}

/// Everything that runs.
pub struct Scenario {
    pub site: Site,
    pub secrets: Secrets,
    pub dir: PathBuf,
}

impl Scenario {
    pub fn new(dir: &Path, ports: Ports, capture: &str) -> Result<Self> {
        Self::at("localhost", dir, ports, capture)
    }

    /// The same for phones on other hosts, which reach this one at `host`.
    pub fn at(host: &str, dir: &Path, ports: Ports, capture: &str) -> Result<Self> {
        Self::on(host, Vec::new(), dir, ports, capture)
    }

    /// The same on another host at `host`; `wrapper` as in [`crate::phone::Seat`].
    pub fn on(host: &str, wrapper: Vec<String>, dir: &Path, ports: Ports, capture: &str) -> Result<Self> {
        let secrets = Secrets::random();
        let site = Site::init_at(dir, ports, host, wrapper, &configuration(&secrets, capture))?;
        speech::prompts(&["conf-adminmenu-162", "demo-congrats"], &dir.join("agent.wav"))?;
        speech::prompts(&["priv-callee-options", "demo-echotest"], &dir.join("customer.wav"))?;
        Ok(Self { site, secrets, dir: dir.to_owned() })
    }

    /// A display that shows `scene`, and the agent's recorder on it.
    pub async fn desktop(&self, scene: &str, size: (u32, u32), backend: &str) -> Result<(Display, Program)> {
        let dir = self.dir.join("desktop");
        std::fs::create_dir_all(&dir)?;
        let mut display = Display::start(&dir, size.0, size.1).await?;
        display.show(scene, &dir)?;
        let recorder = self.recorder(&display.name, backend).await?;
        Ok((display, recorder))
    }

    /// The agent's recorder on a display that is there, signed in and linked.
    pub async fn recorder(&self, display: &str, backend: &str) -> Result<Program> {
        let mut recorder =
            recorder::start(&self.site, &self.dir.join("desktop"), &self.agent(display, backend))?;
        recorder
            .wait_for_log("link is open", Duration::from_secs(20))
            .await
            .context("the recorder's link")?;
        Ok(recorder)
    }

    pub fn agent<'a>(&'a self, display: &'a str, backend: &'a str) -> Desktop<'a> {
        Desktop { login: AGENT_LOGIN, password: &self.secrets.agent, display, backend }
    }

    /// The agent's phone, which answers by itself, and the customer's; both registered.
    pub async fn phones(&self, codec: &str) -> Result<(Phone, Phone)> {
        self.protected_phones(codec, "").await
    }

    /// The same with SRTP; `media_encryption` as in [`PhoneConfig`].
    pub async fn protected_phones(&self, codec: &str, media_encryption: &str) -> Result<(Phone, Phone)> {
        self.phones_at(&Seat::default(), codec, media_encryption).await
    }

    /// The same somewhere else.
    pub async fn phones_at(
        &self,
        seat: &Seat,
        codec: &str,
        media_encryption: &str,
    ) -> Result<(Phone, Phone)> {
        let registrar = if seat.by_tls { self.site.registrar_by_tls() } else { self.site.registrar() };
        let authority = self.site.authority_file();
        let agent_speech = self.dir.join("agent.wav");
        let customer_speech = self.dir.join("customer.wav");
        let agent = PhoneConfig {
            dn: AGENT_DN,
            password: &self.secrets.agent_phone,
            registrar: &registrar,
            authority: &authority,
            speech: &agent_speech,
            codec,
            media_encryption,
            auto_answer: true,
        };
        let customer = PhoneConfig {
            dn: CUSTOMER_DN,
            password: &self.secrets.customer_phone,
            registrar: &registrar,
            authority: &authority,
            speech: &customer_speech,
            codec,
            media_encryption,
            auto_answer: true,
        };
        let agent = Phone::start_at(seat, &self.dir.join("agent-phone"), &agent).await?;
        let customer = Phone::start_at(seat, &self.dir.join("customer-phone"), &customer).await?;
        Ok((agent, customer))
    }

    /// The customer calls the agent; returns when both speak.
    pub async fn call(&self, customer: &mut Phone, agent: &mut Phone) -> Result<()> {
        let agent_number = format!("sip:{AGENT_DN}@{}", customer.registrar);
        customer.dial(&agent_number).await?;
        agent.wait_for("CALL_ESTABLISHED", Duration::from_secs(10)).await?;
        customer.wait_for("CALL_ESTABLISHED", Duration::from_secs(10)).await?;
        Ok(())
    }
}

/// Lets the world go on for a while: a call has a length, and nothing else happens in it to wait for.
pub async fn talk(length: Duration) {
    tokio::time::sleep(length).await;
}
