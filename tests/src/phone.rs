//! A baresip phone: registers, calls, speaks a WAV file, and writes what it sent and heard.

use crate::process::{Program, eventually, free_port};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Where a phone runs: this host at loopback, unless said otherwise.
pub struct Seat {
    /// Address that it listens at, for SIP, RTP and its control.
    pub address: String,
    /// Put before its command line (`ip netns exec …`).
    pub wrapper: Vec<String>,
    /// Whether it speaks TLS with the SIP server.
    pub by_tls: bool,
    /// Host and port of the proxy that it sends everything to.
    pub proxy: Option<String>,
}

impl Default for Seat {
    fn default() -> Self {
        Self { address: "127.0.0.1".to_owned(), wrapper: Vec::new(), by_tls: false, proxy: None }
    }
}

/// How a phone is set up.
pub struct PhoneConfig<'a> {
    /// DN: user part of its address of record.
    pub dn: &'a str,
    pub password: &'a str,
    /// Host and port of the SIP server, and the transport when it is another than UDP (`;transport=tls`).
    pub registrar: &'a str,
    /// PEM file of who vouches for the SIP server. Debian's baresip takes it and checks nothing.
    pub authority: &'a Path,
    /// 8 kHz mono 16-bit WAV that it speaks, repeated.
    pub speech: &'a Path,
    /// As baresip names it: `pcmu`, `pcma`, `G722/16000/1`, `opus/48000/2`.
    pub codec: &'a str,
    /// SRTP: `srtp` where the other side can, `srtp-mand` or not at all; empty: plain.
    pub media_encryption: &'a str,
    pub auto_answer: bool,
}

pub struct Phone {
    pub dn: String,
    pub dir: PathBuf,
    /// As in [`PhoneConfig`].
    pub registrar: String,
    pub sip_port: u16,
    pub program: Program,
    control: TcpStream,
    unread: Vec<u8>,
    events: Vec<Value>,
}

impl Phone {
    /// Starts a phone in `dir` and waits until it is registered.
    pub async fn start(dir: &Path, config: &PhoneConfig<'_>) -> Result<Self> {
        Self::start_at(&Seat::default(), dir, config).await
    }

    /// The same somewhere else.
    pub async fn start_at(seat: &Seat, dir: &Path, config: &PhoneConfig<'_>) -> Result<Self> {
        let mut phone = Self::start_unregistered_at(seat, dir, config).await?;
        // The event may come before the control socket is there; the log is never too late.
        phone.program.wait_for_log("binding]", Duration::from_secs(15)).await.context("registering")?;
        Ok(phone)
    }

    pub async fn start_unregistered(dir: &Path, config: &PhoneConfig<'_>) -> Result<Self> {
        Self::start_unregistered_at(&Seat::default(), dir, config).await
    }

    async fn start_unregistered_at(seat: &Seat, dir: &Path, config: &PhoneConfig<'_>) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        // baresip takes the port after its own for TLS.
        let next_is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok();
        let sip_port = std::iter::repeat_with(free_port).take(20).filter_map(Result::ok).find(next_is_free);
        let (sip_port, control_port) = (sip_port.context("no two free ports in a row")?, free_port()?);
        std::fs::write(
            dir.join("config"),
            configuration(&seat.address, dir, config, (sip_port, control_port)),
        )?;
        std::fs::write(dir.join("accounts"), account(config, seat.proxy.as_deref()))?;
        std::fs::write(dir.join("contacts"), "")?;
        let line: Vec<&str> = seat.wrapper.iter().map(String::as_str).chain(["baresip", "-f"]).collect();
        let mut program = Program::spawn(
            &format!("baresip {}", config.dn),
            Command::new(line[0]).args(&line[1..]).arg(dir).current_dir(dir),
            &dir.join("baresip.log"),
        )?;
        let control = eventually("baresip's control socket", Duration::from_secs(10), || async {
            Ok(TcpStream::connect((seat.address.as_str(), control_port)).await?)
        })
        .await;
        let control = match control {
            Ok(control) => control,
            Err(error) => {
                program.kill();
                return Err(error.context(program.log_text()));
            }
        };
        Ok(Self {
            dn: config.dn.to_owned(),
            dir: dir.to_owned(),
            registrar: config.registrar.to_owned(),
            sip_port,
            program,
            control,
            unread: Vec::new(),
            events: Vec::new(),
        })
    }

    /// First and last port that it takes RTP at.
    pub fn rtp_ports(&self) -> (u16, u16) {
        rtp_base(self.sip_port)
    }

    pub async fn dial(&mut self, uri: &str) -> Result<()> {
        self.command("dial", uri).await.map(drop)
    }

    pub async fn hang_up(&mut self) -> Result<()> {
        self.command("hangup", "").await.map(drop)
    }

    pub async fn hold(&mut self) -> Result<()> {
        self.command("hold", "").await.map(drop)
    }

    pub async fn resume(&mut self) -> Result<()> {
        self.command("resume", "").await.map(drop)
    }

    pub async fn answer(&mut self) -> Result<()> {
        self.command("accept", "").await.map(drop)
    }

    /// Sends one command and waits for its response.
    pub async fn command(&mut self, command: &str, params: &str) -> Result<Value> {
        let body = json!({"command": command, "params": params, "token": command}).to_string();
        self.control.write_all(format!("{}:{body},", body.len()).as_bytes()).await?;
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let message = self.next(end).await.with_context(|| format!("response to {command}"))?;
            if message.get("response").is_some() {
                ensure!(message["ok"] == json!(true), "baresip refused {command} {params}: {message}");
                return Ok(message);
            }
            self.events.push(message);
        }
    }

    /// Waits for an event of this type (`CALL_ESTABLISHED`, `CALL_CLOSED`, …), also one that has already come.
    pub async fn wait_for(&mut self, event: &str, limit: Duration) -> Result<Value> {
        let end = Instant::now() + limit;
        loop {
            if let Some(at) = self.events.iter().position(|e| e["type"] == json!(event)) {
                return Ok(self.events.drain(..=at).next_back().unwrap_or_default());
            }
            match self.next(end).await {
                Ok(message) => self.events.push(message),
                Err(error) => bail!(
                    "phone {}: no {event} within {limit:?} ({error:#}); had {:?}\n{}",
                    self.dn,
                    self.events.iter().map(|e| e["type"].clone()).collect::<Vec<_>>(),
                    crate::process::tail(&self.program.log_text())
                ),
            }
        }
    }

    /// The WAV that this phone wrote of what it sent (`enc`) or heard (`dec`).
    pub fn dump(&self, direction: &str) -> Result<PathBuf> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(&self.dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                name.starts_with("dump-") && name.ends_with(&format!("-{direction}.wav"))
            })
            .collect();
        found.sort();
        found.pop().with_context(|| format!("no dump-*-{direction}.wav in {:?}", self.dir))
    }

    async fn next(&mut self, end: Instant) -> Result<Value> {
        loop {
            if let Some((message, used)) = netstring(&self.unread)? {
                self.unread.drain(..used);
                return Ok(message);
            }
            let mut buffer = [0u8; 8192];
            let left = end.saturating_duration_since(Instant::now());
            let count = tokio::time::timeout(left, self.control.read(&mut buffer))
                .await
                .context("time is over")??;
            ensure!(count > 0, "baresip closed its control socket");
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }
}

/// One `<length>:<json>,` at the start of `bytes`, and how many bytes it took.
fn netstring(bytes: &[u8]) -> Result<Option<(Value, usize)>> {
    let Some(colon) = bytes.iter().position(|&b| b == b':') else { return Ok(None) };
    let length: usize = std::str::from_utf8(&bytes[..colon])?.parse()?;
    let end = colon + 1 + length;
    if bytes.len() <= end {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[colon + 1..end])?, end + 1)))
}

fn account(config: &PhoneConfig<'_>, proxy: Option<&str>) -> String {
    format!(
        "<sip:{dn}@{registrar}>;auth_user={dn};auth_pass={password};regint=60;answermode={answer};audio_codecs={codec}{encryption}{proxy}\n",
        proxy = proxy.map(|proxy| format!(";outbound=\"sip:{proxy}\"")).unwrap_or_default(),
        dn = config.dn,
        registrar = config.registrar,
        password = config.password,
        answer = if config.auto_answer { "auto" } else { "manual" },
        codec = config.codec,
        encryption = match config.media_encryption {
            "" => String::new(),
            how => format!(";mediaenc={how}"),
        },
    )
}

fn configuration(
    address: &str,
    dir: &Path,
    config: &PhoneConfig<'_>,
    (sip_port, control_port): (u16, u16),
) -> String {
    let dn = config.dn;
    let mut text = format!(
        "poll_method epoll\n\
         sip_listen {address}:{sip_port}\n\
         net_interface {address}\n\
         audio_player aubridge,nil-{dn}\n\
         audio_source aufile,{speech}\n\
         audio_alert aubridge,alert-{dn}\n\
         ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
         ausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\n\
         audio_buffer 20-160\naudio_level no\nrtp_ports {rtp}\nrtcp_mux no\n\
         jitter_buffer_type fixed\njitter_buffer_delay 5-10\nrtp_stats no\n\
         snd_path {dir}\n\
         ctrl_tcp_listen {address}:{control_port}\n\
         sip_cafile {authority}\n\
         module_path /usr/lib/baresip/modules\n",
        speech = config.speech.display(),
        authority = config.authority.display(),
        dir = dir.display(),
        rtp = rtp_range(sip_port),
    );
    for module in ["g711.so", "g722.so", "opus.so", "srtp.so", "aufile.so", "aubridge.so", "sndfile.so"] {
        text += &format!("module {module}\n");
    }
    text += "module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n";
    text
}

/// A range of its own for each phone, outside the media server's.
fn rtp_base(sip_port: u16) -> (u16, u16) {
    let base = 42_000 + (sip_port % 400) * 20;
    (base, base + 19)
}

fn rtp_range(sip_port: u16) -> String {
    let (first, last) = rtp_base(sip_port);
    format!("{first}-{last}")
}
