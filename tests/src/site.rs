//! A server on a fresh data directory: in one process, or one for each role.

use crate::process::{Program, built, eventually, free_port, run};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Every role, in the order in which they start.
pub const ROLES: [&str; 7] = [
    "crypto-server",
    "web-services",
    "recording-processor",
    "reporting-server",
    "media-server",
    "resource-manager",
    "sip-server",
];

/// Where the components listen, on loopback.
#[derive(Clone, Debug)]
pub struct Ports {
    pub https: u16,
    pub crypto: u16,
    pub sip: u16,
    pub sip_tls: u16,
    pub resource_manager: u16,
    pub media_server: u16,
    pub rtp: (u16, u16),
}

impl Ports {
    /// Ports that nobody uses now, so that sites do not meet.
    pub fn free() -> Result<Self> {
        let rtp = 20_000 + (free_port()? % 80) * 100;
        // The system may name a port again that was free a moment ago.
        let mut ports = Vec::new();
        while ports.len() < 6 {
            let port = free_port()?;
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let [https, crypto, sip, sip_tls, resource_manager, media_server] = ports[..] else {
            anyhow::bail!("six ports");
        };
        Ok(Self { https, crypto, sip, sip_tls, resource_manager, media_server, rtp: (rtp, rtp + 399) })
    }
}

/// What `init` prints once.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Noted {
    pub administrator: Administrator,
    pub desktop_enrolment: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Administrator {
    pub login: String,
    pub one_time_password: String,
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

pub struct Site {
    pub dir: PathBuf,
    pub ports: Ports,
    pub noted: Noted,
    /// Host name or address under which it is reached.
    pub host: String,
    /// Put before the server's command line (`strace …`).
    pub wrapper: Vec<String>,
    /// Settings of this test's own (`MEDIA_SERVER__MAX_LEGS`, `8`): they come after all others.
    pub settings: Vec<(String, String)>,
    programs: BTreeMap<String, Program>,
}

impl Site {
    /// Makes a site in `dir` with this configuration (persons and phones); nothing runs yet.
    pub fn init(dir: &Path, ports: Ports, configuration: &str) -> Result<Self> {
        Self::init_at(dir, ports, "localhost", Vec::new(), configuration)
    }

    /// The same at another address than this host's own; its programs run behind `wrapper` (`ip netns exec …`).
    pub fn init_at(
        dir: &Path,
        ports: Ports,
        host: &str,
        wrapper: Vec<String>,
        configuration: &str,
    ) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut site = Self {
            dir: dir.to_owned(),
            noted: Noted {
                administrator: Administrator { login: String::new(), one_time_password: String::new() },
                desktop_enrolment: String::new(),
            },
            ports,
            host: host.to_owned(),
            wrapper,
            settings: Vec::new(),
            programs: BTreeMap::new(),
        };
        let port = site.ports.https.to_string();
        let mut init = site.server()?;
        init.args(["init", "--site", "Demo", "--https-port", &port, "--json"]);
        if site.host != "localhost" {
            init.args(["--host", host]);
        }
        let printed = run(&mut init)?;
        site.noted = serde_json::from_slice(&printed).context("what init printed")?;
        let file = dir.join("site.toml");
        std::fs::write(&file, configuration)?;
        run(site.server()?.args(["config", "apply"]).arg(&file))?;
        Ok(site)
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The server's command with this site's data directory and addresses.
    pub fn server(&self) -> Result<Command> {
        self.server_on(&self.data())
    }

    fn server_on(&self, data: &Path) -> Result<Command> {
        let program = built("hindsight-server")?;
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("--data").arg(data);
        let ports = &self.ports;
        // What must be reached from elsewhere, where there is an elsewhere.
        let reached =
            |port: u16| if self.host == "localhost" { local(port) } else { format!("0.0.0.0:{port}") };
        for (name, value) in [
            ("WEB_SERVICES__LISTEN", reached(ports.https)),
            ("CRYPTO_SERVER__LISTEN", local(ports.crypto)),
            ("CRYPTO_SERVER_URL", format!("https://{}", local(ports.crypto))),
            ("SIP_SERVER__LISTEN", reached(ports.sip)),
            ("SIP_SERVER__TLS__LISTEN", reached(ports.sip_tls)),
            ("SIP_SERVER__RESOURCE_MANAGER", local(ports.resource_manager)),
            ("RESOURCE_MANAGER__LISTEN", local(ports.resource_manager)),
            ("RESOURCE_MANAGER__POOL", format!("[\"{}\"]", local(ports.media_server))),
            ("MEDIA_SERVER__LISTEN", local(ports.media_server)),
            ("MEDIA_SERVER__RTP_FIRST", ports.rtp.0.to_string()),
            ("MEDIA_SERVER__RTP_LAST", ports.rtp.1.to_string()),
        ] {
            command.env(format!("HINDSIGHT_{name}"), value);
        }
        for (name, value) in &self.settings {
            command.env(format!("HINDSIGHT_{name}"), value);
        }
        Ok(command)
    }

    /// One process with all roles.
    pub async fn start(&mut self) -> Result<()> {
        self.start_roles("server", &ROLES).await?;
        self.wait_for_calls("server", "server").await
    }

    /// A process for each role.
    pub async fn start_apart(&mut self) -> Result<()> {
        for role in ROLES {
            self.start_roles(role, &[role]).await?;
        }
        self.wait_for_calls("sip-server", "resource-manager").await
    }

    /// Waits until these programs know their phones and have a media server that knows whom to seal for.
    async fn wait_for_calls(&mut self, sip_server: &str, resource_manager: &str) -> Result<()> {
        let limit = Duration::from_secs(30);
        self.program(sip_server)?.wait_for_log("SIP server ready", limit).await?;
        self.program(resource_manager)?.wait_for_log("media server found", limit).await
    }

    /// One process, named for later, with these roles; waits until they are ready.
    pub async fn start_roles(&mut self, name: &str, roles: &[&str]) -> Result<()> {
        let log = self.dir.join(format!("{name}.log"));
        let mut command = self.server()?;
        command.arg("run").arg("--roles").arg(roles.join(","));
        let program = Program::spawn(name, &mut command, &log)?;
        self.programs.insert(name.to_owned(), program);
        let limit = Duration::from_secs(30);
        for role in roles {
            match *role {
                "web-services" => self.wait_until_ready(name, limit).await?,
                // Their loopback is not ours; what a call needs of them is in their logs.
                _ if !self.wrapper.is_empty() => {}
                "crypto-server" => {
                    self.wait_for_tcp(name, self.listens(role, self.ports.crypto), limit).await?
                }
                "sip-server" => self.wait_for_tcp(name, self.listens(role, self.ports.sip), limit).await?,
                "resource-manager" => {
                    self.wait_for_tcp(name, self.listens(role, self.ports.resource_manager), limit).await?;
                }
                "media-server" => {
                    self.wait_for_tcp(name, self.listens(role, self.ports.media_server), limit).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A string with which a device of this kind may enrol.
    pub fn enrolment(&self, kind: &str) -> Result<String> {
        let printed = String::from_utf8(run(self.server()?.args(["enrol", "new", "--kind", kind]))?)?;
        Ok(printed.trim().to_owned())
    }

    /// One more media server, as on another host: a data directory of its own, enrolled with a string of this site. The
    /// resource manager's pool has to name it.
    pub async fn start_media_server(&mut self, name: &str, sip: u16, rtp: (u16, u16)) -> Result<()> {
        let data = self.dir.join(name);
        if !data.exists() {
            let enrolment = self.enrolment("media-server")?;
            run(self.server_on(&data)?.args(["join", "--role", "media-server", "--name", name, &enrolment]))?;
        }
        let mut command = self.server_on(&data)?;
        command.arg("run").args(["--roles", "media-server"]);
        for (setting, value) in [
            ("LISTEN", format!("127.0.0.1:{sip}")),
            ("RTP_FIRST", rtp.0.to_string()),
            ("RTP_LAST", rtp.1.to_string()),
        ] {
            command.env(format!("HINDSIGHT_MEDIA_SERVER__{setting}"), value);
        }
        let log = self.dir.join(format!("{name}.log"));
        self.programs.insert(name.to_owned(), Program::spawn(name, &mut command, &log)?);
        self.wait_for_tcp(name, local(sip), Duration::from_secs(30)).await
    }

    pub fn program(&mut self, name: &str) -> Result<&mut Program> {
        self.programs.get_mut(name).with_context(|| format!("{name} was not started"))
    }

    /// SIGKILL for one process.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        self.programs.remove(name).with_context(|| format!("{name} was not started"))?.kill();
        Ok(())
    }

    /// SIGTERM for every process, last started first.
    pub async fn stop(&mut self) -> Result<()> {
        let known: Vec<String> =
            ROLES.iter().rev().chain(&["server"]).map(|role| (*role).to_owned()).collect();
        let others = self.programs.keys().filter(|name| !known.contains(name)).cloned();
        let last_first: Vec<String> = others.collect::<Vec<_>>().into_iter().chain(known.clone()).collect();
        for name in last_first {
            if let Some(mut program) = self.programs.remove(&name) {
                let status = program.terminate(Duration::from_secs(30)).await?;
                ensure!(status.success(), "{name} ended with {status}: {}", program.log_text());
            }
        }
        Ok(())
    }

    pub fn url(&self) -> String {
        format!("https://{}:{}", self.host, self.ports.https)
    }

    pub fn registrar(&self) -> String {
        let host = if self.host == "localhost" { "127.0.0.1" } else { &self.host };
        format!("{host}:{}", self.ports.sip)
    }

    /// The same for phones that speak TLS.
    pub fn registrar_by_tls(&self) -> String {
        let host = if self.host == "localhost" { "127.0.0.1" } else { &self.host };
        format!("{host}:{};transport=tls", self.ports.sip_tls)
    }

    /// The certificate of the site's authority (PEM).
    pub fn authority_file(&self) -> PathBuf {
        self.data().join("ca/ca.pem")
    }

    /// One of the server's counts (`/metrics`); 0 while there is none.
    pub async fn count(&self, name: &str) -> Result<u64> {
        let text = self.http()?.get(format!("{}/metrics", self.url())).send().await?.text().await?;
        let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        let Some(value) = line.and_then(|line| line.rsplit(' ').next()) else { return Ok(0) };
        Ok(value.parse::<f64>()? as u64)
    }

    /// The site's CA certificate.
    pub fn authority(&self) -> Result<reqwest::Certificate> {
        Ok(reqwest::Certificate::from_pem(&std::fs::read(self.authority_file())?)?)
    }

    /// An HTTP client that trusts this site's CA and nothing else.
    pub fn http(&self) -> Result<reqwest::Client> {
        self.http_from(None)
    }

    /// The same from this address of this host.
    pub fn http_from(&self, address: Option<IpAddr>) -> Result<reqwest::Client> {
        Ok(reqwest::Client::builder()
            .local_address(address)
            .tls_certs_only([self.authority()?])
            .no_proxy()
            // A name that only a test's proxy knows; an address is left as it is.
            .resolve(&self.host, ([127, 0, 0, 1], self.ports.https).into())
            .timeout(Duration::from_secs(30))
            .build()?)
    }

    async fn wait_until_ready(&mut self, name: &str, limit: Duration) -> Result<()> {
        let (http, url) = (self.http()?, format!("{}/readyz", self.url()));
        let program = self.program(name)?;
        let answered = eventually("the web services", limit, || async {
            Ok(http.get(&url).send().await?.error_for_status()?.text().await?)
        });
        let answered = answered.await;
        answered.map(drop).with_context(|| program.log_text())
    }

    /// Where a role listens: at this port of loopback, unless this test's own settings say otherwise.
    fn listens(&self, role: &str, port: u16) -> String {
        let name = format!("{}__LISTEN", role.replace('-', "_").to_uppercase());
        let own = self.settings.iter().find(|(setting, _)| *setting == name);
        own.map_or_else(|| local(port), |(_, address)| address.clone())
    }

    async fn wait_for_tcp(&mut self, name: &str, address: String, limit: Duration) -> Result<()> {
        let connected =
            eventually("a listener", limit, || async { Ok(tokio::net::TcpStream::connect(&address).await?) });
        let connected = connected.await;
        let program = self.program(name)?;
        connected.map(drop).with_context(|| program.log_text())
    }
}
