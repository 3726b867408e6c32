//! What the network to the server is: whether somebody pays by the byte, whether it is a tunnel. The site's rules for
//! uploads ask for it.
//!
//! | | Linux | others |
//! |---|---|---|
//! | metered | NetworkManager says so, or guesses it; without NetworkManager: no | not known: no |
//! | VPN | the way to the server leaves by a WireGuard, TUN or PPP interface | not known: no |

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod this;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod this;

use hindsight_spool::{Network, UploadControl};
use std::{net::SocketAddr, time::Duration};

/// A network does not change without the link noticing; this often is soon enough for the rest.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// What can be asked about networks.
pub trait Networks: Send + Sync + 'static {
    /// The network by which `server` is reached.
    fn look(&self, server: SocketAddr) -> impl Future<Output = Network> + Send;
}

/// The operating system's.
pub struct SystemNetworks;

impl Networks for SystemNetworks {
    async fn look(&self, server: SocketAddr) -> Network {
        Network { metered: this::is_metered().await, vpn: this::leaves_by_tunnel(server).await }
    }
}

/// Tells an uploader of the network to `address` (`host:port`) for as long as it is not dropped.
pub async fn follow(networks: impl Networks, address: String, uploads: UploadControl) {
    let mut last = None;
    loop {
        // An address that cannot be found says nothing about the network.
        if let Ok(Some(server)) = tokio::net::lookup_host(&address).await.map(|mut found| found.next()) {
            let network = networks.look(server).await;
            if last != Some(network) {
                tracing::info!(metered = network.metered, vpn = network.vpn, "the network to the server");
                last = Some(network);
            }
            uploads.change(|conditions| conditions.network = network);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
