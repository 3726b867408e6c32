//! What tshark saw on loopback.

use anyhow::{Context, Result, bail, ensure};
use hindsight_tests::{
    process::{Program, eventually, run},
    site::Ports,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// A running capture of one site's SIP and RTP.
pub struct Trace {
    file: PathBuf,
    ports: Ports,
    program: Program,
}

/// One RTP packet on its way to the media server.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Seconds since the Unix epoch.
    pub at: f64,
    pub to_port: u16,
    pub payload: Vec<u8>,
}

impl Trace {
    pub async fn start(dir: &Path, ports: &Ports) -> Result<Self> {
        let file = dir.join("trace.pcapng");
        let filter = format!("udp and (port {} or portrange {}-{})", ports.sip, ports.rtp.0, ports.rtp.1);
        let mut command = Command::new("tshark");
        command.args(["-q", "-i", "lo", "-B", "64", "-f", &filter, "-w"]).arg(&file);
        let mut program = Program::spawn("tshark", &mut command, &dir.join("tshark.log"))?;
        program.wait_for_log("Capturing on", Duration::from_secs(10)).await?;
        // "Capturing on" comes just before the capture is open; the file's first bytes come after.
        eventually("tshark's file", Duration::from_secs(10), || async {
            ensure!(std::fs::metadata(&file)?.len() > 0, "still empty");
            Ok(())
        })
        .await?;
        Ok(Self { file, ports: ports.clone(), program })
    }

    pub async fn stop(&mut self) -> Result<()> {
        self.program.signal(libc::SIGINT);
        eventually("the end of tshark", Duration::from_secs(10), || {
            let running = self.program.is_running();
            async move {
                ensure!(!running, "still running");
                Ok(())
            }
        })
        .await
    }

    pub fn fields(&self, filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file);
        command.args(["-d", &format!("udp.port=={},sip", self.ports.sip)]);
        command.args(["-Y", filter, "-T", "fields", "-E", "separator=;"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let printed = String::from_utf8(run(&mut command)?)?;
        Ok(printed.lines().map(|line| line.split(';').map(str::to_owned).collect()).collect())
    }

    /// RTP that phones sent to the media server, at its even ports.
    pub fn voice_to_media_server(&self) -> Result<Vec<Packet>> {
        let (first, last) = self.ports.rtp;
        let filter = format!(
            "udp.dstport >= {first} && udp.dstport <= {last} && !(udp.srcport >= {first} && udp.srcport <= {last})"
        );
        let rows = self.fields(&filter, &["frame.time_epoch", "udp.dstport", "udp.payload"])?;
        let mut packets = Vec::new();
        for row in rows {
            let [at, to, payload] = row.as_slice() else { continue };
            let bytes = hex::decode(payload.replace(':', "")).context("udp.payload")?;
            let to_port: u16 = to.parse()?;
            if bytes.len() > 12 && bytes[0] >> 6 == 2 && to_port.is_multiple_of(2) {
                packets.push(Packet { at: at.parse()?, to_port, payload: bytes[12..].to_vec() });
            }
        }
        Ok(packets)
    }

    /// How far apart the first packets of the two phones were, milliseconds.
    pub fn offset_between_voices(&self) -> Result<f64> {
        let mut first_at: BTreeMap<u16, f64> = BTreeMap::new();
        for packet in self.voice_to_media_server()? {
            first_at.entry(packet.to_port).or_insert(packet.at);
        }
        let begins: Vec<f64> = first_at.into_values().collect();
        let [one, other] = begins.as_slice() else { bail!("{} voices", begins.len()) };
        Ok((one - other).abs() * 1000.0)
    }

    /// Whether a key stood in the answers to the INVITEs.
    pub fn is_protected(&self) -> Result<bool> {
        let answers = "sip.Status-Code == 200 && sip.CSeq.method == \"INVITE\" && sdp";
        let all = self.fields(answers, &["frame.number"])?.len();
        let with_key =
            self.fields(&format!("{answers} && sdp.media_attr contains \"crypto\""), &["frame.number"])?;
        ensure!(
            all > 0 && (with_key.is_empty() || with_key.len() > 1),
            "{} of {all} answers",
            with_key.len()
        );
        Ok(!with_key.is_empty())
    }

    /// INVITEs and re-INVITEs to a phone: when, seconds since the epoch, and the direction that was offered.
    pub fn offers_to(&self, sip_port: u16) -> Result<Vec<(f64, String)>> {
        let filter = format!("sip.Method == \"INVITE\" && udp.dstport == {sip_port}");
        let rows = self.fields(&filter, &["frame.time_epoch", "sdp.media_attr"])?;
        let directions = ["sendrecv", "sendonly", "recvonly", "inactive"];
        let mut offers = Vec::new();
        for row in rows {
            let [at, attributes] = row.as_slice() else { continue };
            let direction = attributes.split(',').find(|text| directions.contains(text));
            offers.push((at.parse()?, direction.unwrap_or("sendrecv").to_owned()));
        }
        Ok(offers)
    }

    /// When the media server sent voice to these ports of a phone; seconds since the epoch.
    pub fn voice_to_phone(&self, ports: (u16, u16)) -> Result<Vec<f64>> {
        let filter = format!("udp.dstport >= {} && udp.dstport <= {}", ports.0, ports.1);
        let rows = self.fields(&filter, &["frame.time_epoch", "udp.payload"])?;
        let mut times = Vec::new();
        for row in rows {
            let [at, payload] = row.as_slice() else { continue };
            let bytes = hex::decode(payload.replace(':', "")).context("udp.payload")?;
            if bytes.len() > 12 && bytes[0] >> 6 == 2 && matches!(bytes[1] & 0x7f, 0 | 8) {
                times.push(at.parse()?);
            }
        }
        Ok(times)
    }

    /// When the customer's phone was told of the answer, and when the first BYE was seen; seconds since the epoch.
    pub fn answer_and_bye(&self) -> Result<(f64, f64)> {
        let first = |filter: &str| -> Result<f64> {
            let rows = self.fields(filter, &["frame.time_epoch"])?;
            Ok(rows
                .first()
                .and_then(|row| row.first())
                .with_context(|| format!("nothing matches {filter}"))?
                .parse()?)
        };
        let answer = first("sip.Status-Code == 200 && sip.CSeq.method == \"INVITE\"")?;
        Ok((answer, first("sip.Method == \"BYE\"")?))
    }
}
