//! The loop between the stack, the journal and [`ResourceManager`].

use crate::{
    config::Config,
    error::ResourceManagerError,
    presence,
    state::{Now, Output, ResourceManager},
};
use hindsight_link::{Hello, Identity, Journal, Link, LinkConfig};
use hindsight_sip::{Host, HostPort, SipConfig, SipHandle, SipStack, StackGone};
use hindsight_wire::Timestamp;
use std::{path::PathBuf, time::Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// News of media servers that went, waiting to be taken.
const NEWS: usize = 16;

/// Serves until `shutdown`. `data_dir`: the journal of session records.
pub async fn run(
    config: Config,
    identity: Identity,
    data_dir: PathBuf,
    shutdown: CancellationToken,
) -> Result<(), ResourceManagerError> {
    let journal = Journal::open(&data_dir.join("journal"))?;
    let address = identity.address().ok_or(ResourceManagerError::NoAddress)?.to_owned();
    let listen = config.listen;
    let mut sip_config = SipConfig::new(listen);
    sip_config.advertised = advertised(&config)?;
    let (sip, mut events) = SipStack::bind(sip_config)
        .await
        .map_err(|error| ResourceManagerError::Listen { listen, source: error.source })?;
    let hello = || Hello { version: env!("CARGO_PKG_VERSION").to_owned(), token: None, resume: None };
    let (_link, mut link_events) =
        Link::spawn(&identity, LinkConfig::new(address), Some(journal.clone()), hello);

    let (tell, mut gone) = mpsc::channel(NEWS);
    for member in &config.pool {
        tokio::spawn(presence::watch(member.address, tell.clone()));
    }
    let ids = sip.clone();
    let client_ids = Box::new(move || ids.next_client_id());
    let (own, local) = (sip.advertised().clone(), sip.local_addr());
    let mut manager = ResourceManager::new(config, own, local, client_ids, rand::random(), Instant::now());
    tracing::info!(listen = %local, "resource manager ready");
    manager.on_time(now());
    loop {
        perform(&mut manager, &sip, &journal).await?;
        let deadline =
            manager.deadline().map_or_else(tokio::time::Instant::now, tokio::time::Instant::from_std);
        // Priorities: who is lost, timers, then SIP; the link is only drained.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(server) = gone.recv() => manager.on_gone(server, now()),
            () = tokio::time::sleep_until(deadline) => manager.on_time(now()),
            event = events.recv() => match event {
                Some(event) => manager.on_event(event, now()),
                None => return Err(StackGone.into()),
            },
            Some(_) = link_events.recv() => {}
        }
    }
    manager.shut_down(now());
    perform(&mut manager, &sip, &journal).await?;
    // Waits for the disk.
    let _ = tokio::task::spawn_blocking(move || journal.flush()).await;
    Ok(())
}

async fn perform(manager: &mut ResourceManager, sip: &SipHandle, journal: &Journal) -> Result<(), StackGone> {
    while let Some(output) = manager.poll() {
        match output {
            Output::Sip(command) => sip.send(command).await?,
            // A journal that refuses says so itself and counts: a session never waits for it.
            Output::Journal(event) => drop(journal.append(&event)),
        }
    }
    Ok(())
}

fn now() -> Now {
    Now { instant: Instant::now(), wall: Timestamp::now() }
}

/// What peers are told; `None`: what is listened on says it.
fn advertised(config: &Config) -> Result<Option<HostPort>, ResourceManagerError> {
    if config.advertised_host.is_empty() {
        return Ok(None);
    }
    let host = Host::parse(&config.advertised_host)
        .map_err(|_| ResourceManagerError::AdvertisedHost(config.advertised_host.clone()))?;
    Ok(Some(HostPort { host, port: Some(config.listen.port()).filter(|port| *port != 0) }))
}
