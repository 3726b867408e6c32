//! A carrier: Kamailio between a site and the phones outside, which register with it.

use crate::process::{Program, free_port};
use anyhow::{Context as _, Result};
use std::{
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Kamailio at an address of loopback of its own.
pub struct Carrier {
    pub address: String,
    dir: PathBuf,
    program: Option<Program>,
}

impl Carrier {
    /// A carrier, not running yet. `site`: the port of its SIP server at 127.0.0.1; `password`: what it asks the site for.
    pub fn new(dir: &Path, address: Ipv4Addr, site: u16, password: Option<&str>) -> Result<Self> {
        Self::with(dir, address, &carrier(site, password))
    }

    fn with(dir: &Path, address: Ipv4Addr, route: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let port = free_port()?;
        std::fs::write(dir.join("kamailio.cfg"), configuration(address, port) + route)?;
        Ok(Self { address: format!("{address}:{port}"), dir: dir.to_owned(), program: None })
    }

    pub async fn start(&mut self) -> Result<()> {
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "64", "-M", "8", "-f"]).arg(self.dir.join("kamailio.cfg"));
        command.arg("-Y").arg(&self.dir).current_dir(&self.dir);
        // It has children, which do not end with it.
        command.process_group(0);
        let name = format!("kamailio {}", self.address);
        let mut program = Program::spawn(&name, &mut command, &self.dir.join("kamailio.log"))?;
        program.wait_for_log("Listening on", Duration::from_secs(10)).await?;
        self.program = Some(program);
        Ok(())
    }

    /// What it has logged.
    pub fn log_text(&self) -> String {
        self.program.as_ref().map(Program::log_text).unwrap_or_default()
    }

    /// Waits until it has logged this.
    pub async fn logs(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.program.as_mut().context("it does not run")?.wait_for_log(text, limit).await
    }

    /// SIGKILL for all of it.
    pub fn kill(&mut self) {
        if let Some(mut program) = self.program.take() {
            // SAFETY: the group is that of a child that has not been waited for, so its id is still its own.
            unsafe { libc::kill(-(program.pid() as libc::pid_t), libc::SIGKILL) };
            program.kill();
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configuration(address: Ipv4Addr, port: u16) -> String {
    let modules =
        ["pv", "sl", "tm", "rr", "textops", "siputils", "usrloc", "registrar", "path", "xlog", "auth"];
    let modules: String = modules.iter().map(|module| format!("loadmodule \"{module}.so\"\n")).collect();
    format!(
        "debug=2\nlog_stderror=yes\nchildren=2\ntcp_children=2\nauto_aliases=no\nlisten=udp:{address}:{port}\n\
         listen=tcp:{address}:{port}\n\
         mpath=\"/usr/lib/x86_64-linux-gnu/kamailio/modules/\"\n{modules}modparam(\"usrloc\", \"db_mode\", 0)\n"
    )
}

/// What a call's requests have in common.
const IN_DIALOG: &str = r#"
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
        sl_send_reply("404", "Not Here");
        exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
"#;

fn carrier(site: u16, password: Option<&str>) -> String {
    // Every request of the site, in its calls too, but what cannot be asked for (RFC 3261 22.1).
    let guard = password.map_or_else(String::new, |password| {
        format!(
            r#"
    if ($var(site) && is_method("REGISTER") && !pv_www_authenticate("carrier", "{password}", "0")) {{
        www_challenge("carrier", "1");
        exit;
    }}
    if ($var(site) && !is_method("REGISTER|ACK|CANCEL|OPTIONS")
            && !pv_proxy_authenticate("carrier", "{password}", "0")) {{
        proxy_challenge("carrier", "1");
        exit;
    }}"#
        )
    });
    format!(
        r#"request_route {{
    $var(site) = 0;
    # A connection is always one of the site's.
    if (proto == TCP || ($si == "127.0.0.1" && $sp == {site})) $var(site) = 1;
    xlog("L_NOTICE", "$proto $rm of $fU\n");
{guard}
    if (is_method("REGISTER")) {{ save("location"); exit; }}
{IN_DIALOG}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    record_route();
    if ($var(site)) {{
        if (!lookup("location")) {{ sl_send_reply("404", "Nobody There"); exit; }}
    }} else {{
        $du = "sip:127.0.0.1:{site}";
    }}
    t_relay();
}}
"#
    )
}
