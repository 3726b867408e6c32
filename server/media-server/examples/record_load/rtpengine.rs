//! rtpengine, relaying in user space and recording to pcap, driven by its NG protocol: bencode over UDP.

use crate::{
    Figure, Load, cpu_seconds,
    load::{self, Phone},
    support::{free_port, offer},
};
use std::{
    net::{SocketAddr, UdpSocket},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// So many recorded calls for so long.
pub fn measure(load: Load) -> Figure {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["pcaps", "metadata", "tmp"] {
        std::fs::create_dir(dir.path().join(sub)).unwrap();
    }
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut child = load
        .command("rtpengine")
        .args(["--config-file=none", "--foreground", "--log-stderr", "--log-level=3", "--table=-1"])
        .args(["--interface=127.0.0.1", "--port-min=30000", "--port-max=39999", "--num-threads=2"])
        .args(["--recording-method=pcap", "--recording-format=eth"])
        .arg(format!("--listen-ng={address}"))
        .arg(format!("--recording-dir={}", dir.path().display()))
        .stderr(Stdio::null())
        .spawn()
        .expect("rtpengine");
    let control = Control::connect(address);
    let mut phones = Vec::new();
    for (call, pair) in load::sockets(2 * load.calls).chunks_exact(2).enumerate() {
        let sdp = |n: usize| offer(pair[n].local_addr().unwrap().port(), "sendrecv");
        let id = format!("call-{call}-{}", std::process::id());
        let towards_b = control.ask(&[
            ("command", "offer"),
            ("call-id", &id),
            ("from-tag", "a"),
            ("sdp", &sdp(0)),
            ("ICE", "remove"),
        ]);
        let towards_a = control.ask(&[
            ("command", "answer"),
            ("call-id", &id),
            ("from-tag", "a"),
            ("to-tag", "b"),
            ("sdp", &sdp(1)),
            ("ICE", "remove"),
        ]);
        let started = control.ask(&[("command", "start recording"), ("call-id", &id)]);
        assert!(started.contains("6:result2:ok"), "{started}");
        phones.push(Phone { socket: pair[0].clone(), to: media(&towards_a) });
        phones.push(Phone { socket: pair[1].clone(), to: media(&towards_b) });
    }
    let before = cpu_seconds(child.id());
    let seen = load::run(&phones, load.seconds);
    let used = cpu_seconds(child.id()) - before;
    child.kill().unwrap();
    child.wait().unwrap();
    Figure { cpu: load.per_call_minute(used), load: seen, recorded: None }
}

/// The audio port in an answer of rtpengine.
fn media(answer: &str) -> SocketAddr {
    let line =
        answer.lines().find_map(|line| line.split_once("m=audio ")).unwrap_or_else(|| panic!("{answer}")).1;
    SocketAddr::from(([127, 0, 0, 1], line.split(' ').next().unwrap().parse().unwrap()))
}

struct Control {
    socket: UdpSocket,
    asked: AtomicU64,
}

impl Control {
    /// Waits until rtpengine answers a ping.
    fn connect(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let control = Self { socket, asked: AtomicU64::new(1) };
        let answered = (0..50).any(|_| {
            control.try_ask(&[("command", "ping")]).is_some() || {
                std::thread::sleep(Duration::from_millis(50));
                false
            }
        });
        assert!(answered, "rtpengine does not answer");
        control.socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        control
    }

    fn ask(&self, fields: &[(&str, &str)]) -> String {
        self.try_ask(fields).expect("an answer of rtpengine")
    }

    /// A dictionary of strings there and, as text, back.
    fn try_ask(&self, fields: &[(&str, &str)]) -> Option<String> {
        let mut fields = fields.to_vec();
        fields.sort_unstable();
        let string = |text: &str| format!("{}:{text}", text.len());
        let body: String = fields.iter().map(|(key, value)| string(key) + &string(value)).collect();
        // An answer is repeated for a cookie that was seen before.
        let cookie = self.asked.fetch_add(1, Ordering::Relaxed);
        self.socket.send(format!("{cookie} d{body}e").as_bytes()).ok()?;
        let mut answer = vec![0; 65_535];
        let length = self.socket.recv(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}
