//! A linphone: a phone on a library of its own, told what to do on its standard input, that says what happens on its output.

use crate::process::{eventually, free_port, tail};
use anyhow::{Context, Result, ensure};
use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(15);

pub struct Linphone {
    pub dn: String,
    registrar: String,
    speech: PathBuf,
    log: PathBuf,
    child: Child,
    input: ChildStdin,
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Linphone {
    /// Registered; it answers calls at once and speaks this 8 kHz WAV, in G.711, once it is told to.
    pub async fn start(dir: &Path, dn: &str, password: &str, registrar: &str, speech: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir.join(".local/share/linphone"))?;
        std::fs::create_dir_all(dir.join(".config/linphone"))?;
        let settings = format!(
            "[sip]\nsip_port={}\nsip_tcp_port=0\nsip_tls_port=0\nuse_ipv6=0\n\
             [rtp]\naudio_rtp_port={}\n[net]\ndns_srv_enabled=0\n",
            free_port()?,
            free_port()? & !1,
        );
        let (rc, log) = (dir.join("linphonerc"), dir.join("linphone.log"));
        std::fs::write(&rc, settings)?;
        let output = File::create(&log)?;
        let mut child = Command::new("linphonec")
            .args(["-a", "-c"])
            .arg(&rc)
            .env("HOME", dir)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("linphonec: packaging/setup.sh installs linphone-cli")?;
        let input = child.stdin.take().context("its standard input")?;
        let (dn, registrar, speech) = (dn.to_owned(), registrar.to_owned(), speech.to_owned());
        let mut phone = Self { dn, registrar, speech, log, child, input };
        phone.say("ipv6 disable")?;
        phone.say("soundcard use files")?;
        // What is left of its list is G.711: a voice that is compared with what was spoken.
        for codec in [0, 1, 2, 7] {
            phone.say(&format!("codec disable {codec}"))?;
        }
        let register =
            format!("register sip:{}@{} sip:{} {password}", phone.dn, phone.registrar, phone.registrar);
        phone.say(&register)?;
        phone.registered().await?;
        Ok(phone)
    }

    /// It says so only when asked.
    async fn registered(&mut self) -> Result<()> {
        let until = Instant::now() + LIMIT;
        while !self.said().contains("registered, identity=") {
            ensure!(Instant::now() < until, "linphone {} does not register: {}", self.dn, tail(&self.said()));
            self.say("status register")?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Gives a command.
    pub fn say(&mut self, command: &str) -> Result<()> {
        writeln!(self.input, "{command}")?;
        Ok(self.input.flush()?)
    }

    /// Calls a number and speaks once it is answered; waits for the call with this number of its own.
    pub async fn call(&mut self, number: &str, id: u32) -> Result<()> {
        self.say(&format!("call sip:{number}@{}", self.registrar))?;
        self.until("the answer", |log| log.contains(&format!("Call {id} with")) && speaks(log, id)).await?;
        self.speak()
    }

    /// Plays its speech into the call that is active.
    pub fn speak(&mut self) -> Result<()> {
        self.say(&format!("play {}", self.speech.display()))
    }

    /// Waits until what it said is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let found = eventually(what, LIMIT, || async {
            ensure!(wanted(&self.said()), "linphone {}: not {what}", self.dn);
            Ok(())
        });
        found.await.with_context(|| tail(&self.said()).to_owned())
    }

    /// Waits until its call of this number has ended.
    pub async fn until_ended(&self, id: u32) -> Result<()> {
        self.until("the end of a call", |log| log.contains(&format!("Call {id} with")) && ended(log, id))
            .await
    }
}

/// Whether the call has been connected.
pub fn speaks(log: &str, id: u32) -> bool {
    says(log, id, "connected")
}

fn ended(log: &str, id: u32) -> bool {
    says(log, id, "ended")
}

fn says(log: &str, id: u32, what: &str) -> bool {
    let start = format!("Call {id} with ");
    log.lines().any(|line| line.contains(&start) && line.contains(what))
}
