//! NetworkManager over the system bus, the kernel's routing, `/sys/class/net`.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};
use tokio::{net::UdpSocket, time::timeout};
use zbus::{Connection, zvariant::OwnedValue};

const NETWORK_MANAGER: &str = "org.freedesktop.NetworkManager";
/// A bus that does not answer for so long knows nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// Interface types of the kernel (`if_arp.h`): PPP, and none of a link layer (TUN, WireGuard).
const ARPHRD_PPP: u32 = 512;
const ARPHRD_NONE: u32 = 65_534;

pub async fn is_metered() -> bool {
    let asked = timeout(PATIENCE, async { metered(&Connection::system().await?).await }).await;
    match asked {
        Ok(Ok(value)) => says_metered(value),
        // No bus, no NetworkManager, or none that answers.
        Ok(Err(_)) | Err(_) => false,
    }
}

/// NetworkManager's property `Metered`.
async fn metered(bus: &Connection) -> zbus::Result<u32> {
    let path = "/org/freedesktop/NetworkManager";
    let properties = Some("org.freedesktop.DBus.Properties");
    let answer = bus
        .call_method(Some(NETWORK_MANAGER), path, properties, "Get", &(NETWORK_MANAGER, "Metered"))
        .await?;
    let value: OwnedValue = answer.body().deserialize()?;
    Ok(u32::try_from(value)?)
}

/// `NMMetered`: 1 yes, 3 by guess; 0 not known, 2 no, 4 no by guess.
fn says_metered(value: u32) -> bool {
    matches!(value, 1 | 3)
}

pub async fn leaves_by_tunnel(server: SocketAddr) -> bool {
    let Ok(source) = source_address(server).await else { return false };
    let interfaces = tokio::task::spawn_blocking(if_addrs::get_if_addrs).await;
    let Ok(Ok(interfaces)) = interfaces else { return false };
    let by = interfaces.into_iter().find(|interface| interface.ip() == source);
    by.is_some_and(|interface| is_tunnel(&Path::new("/sys/class/net").join(interface.name)))
}

/// The address from which packets to `server` leave, by all rules of the kernel's routing. Nothing is sent.
async fn source_address(server: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    Ok(socket.local_addr()?.ip())
}

/// Whether the interface with this directory in `/sys/class/net` is a tunnel.
fn is_tunnel(interface: &Path) -> bool {
    let read = |name: &str| fs::read_to_string(interface.join(name)).unwrap_or_default();
    let kind: u32 = read("type").trim().parse().unwrap_or(0);
    let wireguard = read("uevent").lines().any(|line| line == "DEVTYPE=wireguard");
    wireguard || kind == ARPHRD_PPP || (kind == ARPHRD_NONE && interface.join("tun_flags").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_told_apart_by_what_the_kernel_says_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let interface = |name: &str, files: &[(&str, &str)]| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            for (file, content) in files {
                fs::write(path.join(file), content).unwrap();
            }
            is_tunnel(&path)
        };
        assert!(interface("wg0", &[("type", "65534\n"), ("uevent", "DEVTYPE=wireguard\nINTERFACE=wg0\n")]));
        assert!(interface(
            "tun0",
            &[("type", "65534\n"), ("uevent", "INTERFACE=tun0\n"), ("tun_flags", "0x1001\n")]
        ));
        assert!(interface("ppp0", &[("type", "512\n"), ("uevent", "DEVTYPE=ppp\n")]));
        assert!(!interface("eth0", &[("type", "1\n"), ("uevent", "INTERFACE=eth0\n")]));
        assert!(!interface("wlan0", &[("type", "1\n"), ("uevent", "DEVTYPE=wlan\n")]));
        // Virtual machines and containers hang on these.
        assert!(!interface("tap0", &[("type", "1\n"), ("tun_flags", "0x1002\n")]));
        assert!(!is_tunnel(&dir.path().join("none")));
    }

    #[test]
    fn a_guess_of_network_manager_counts() {
        assert_eq!((0..6).map(says_metered).collect::<Vec<_>>(), [false, true, false, true, false, false]);
    }

    #[tokio::test]
    async fn the_way_to_this_machine_itself_is_no_tunnel() {
        let listener = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(source_address(address).await.unwrap(), address.ip());
        assert!(!leaves_by_tunnel(address).await);
    }
}
