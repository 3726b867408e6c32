//! Our media server in a process of its own, driven by SIP and MSML.

use crate::{
    Figure, Load, cpu_seconds,
    load::{self, Phone},
    support::{Caller, LIMIT, Site, free_port},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hindsight_media_server::Config;
use hindsight_msml::Command;
use hindsight_wire::{
    InteractionId,
    manifest::{Manifest, Signed},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The media server under load.
pub fn serve(dir: &Path) {
    let config: Config = toml::from_str(&std::fs::read_to_string(dir.join("config.toml")).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let never = std::future::pending::<()>();
    runtime
        .block_on(hindsight_media_server::run(config, Site::identity(dir), dir.join("data"), never))
        .unwrap();
}

/// So many recorded calls for so long.
pub fn measure(load: Load) -> Figure {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new();
    site.store(dir.path());
    site.cache_config(&dir.path().join("data"), true);
    let config = Config { listen: ([127, 0, 0, 1], free_port()).into(), ..Config::default() };
    std::fs::write(dir.path().join("config.toml"), toml::to_string(&config).unwrap()).unwrap();
    let mut child =
        load.command(std::env::current_exe().unwrap()).arg("--serve").arg(dir.path()).spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut caller = runtime.block_on(async {
        let mut caller = Caller::new(config.listen).await;
        caller.ready().await;
        caller
    });
    let sockets = load::sockets(2 * load.calls);
    let (mut phones, mut legs) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        for pair in sockets.chunks_exact(2) {
            let id = InteractionId::new();
            let port = |n: usize| pair[n].local_addr().unwrap().port();
            let mut agent = caller.open(id, "agent", port(0)).await;
            let customer = caller.open(id, "customer", port(1)).await;
            assert!(caller.msml(&mut agent, id, Command::Start).await.is_ok());
            phones.push(Phone { socket: pair[0].clone(), to: agent.media });
            phones.push(Phone { socket: pair[1].clone(), to: customer.media });
            legs.extend([agent, customer]);
        }
    });
    let before = cpu_seconds(child.id());
    let seen = load::run(&phones, load.seconds);
    let used = cpu_seconds(child.id()) - before;
    runtime.block_on(async {
        for leg in &mut legs {
            caller.bye(leg).await;
        }
    });
    let recorded = recorded(&dir.path().join("data/spool"), load.calls);
    child.kill().unwrap();
    child.wait().unwrap();
    Figure { cpu: load.per_call_minute(used), load: seen, recorded: Some(recorded) }
}

/// Packets that the manifests tell of, once all are there.
fn recorded(spool: &Path, calls: usize) -> u64 {
    let until = Instant::now() + LIMIT;
    loop {
        let dirs = std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path().join("manifest.json"));
        let texts: Vec<Vec<u8>> = dirs.filter_map(|path| std::fs::read(path).ok()).collect();
        if texts.len() == calls {
            return texts.iter().map(|text| received(text)).sum();
        }
        assert!(Instant::now() < until, "{} of {calls} recordings closed", texts.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn received(signed: &[u8]) -> u64 {
    let signed: Signed = serde_json::from_slice(signed).unwrap();
    let manifest: Manifest = serde_json::from_slice(&STANDARD.decode(signed.document).unwrap()).unwrap();
    manifest.quality.iter().map(|quality| quality.received).sum()
}
