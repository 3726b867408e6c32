//! When uploads run and how fast, without I/O: the policy, the call, the network, the disk.

use crate::Room;
use hindsight_wire::policy::{LinkRule, UploadPolicy};

/// What the network to the server is, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Somebody pays by the byte.
    pub metered: bool,
    /// The way to the server leads through a tunnel.
    pub vpn: bool,
}

/// What decides about uploads besides the disk. The default limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The site's rules; `None`: no limit.
    pub policy: Option<UploadPolicy>,
    /// The agent is in a call.
    pub in_call: bool,
    /// The network in use.
    pub network: Network,
}

/// What uploads may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Run, with at most so many bytes a second.
    Send(Option<u64>),
    /// Wait for another network; the text is for people.
    Wait(&'static str),
}

impl Conditions {
    /// What they come to. A network is not waited out when the disk presses; the limits hold all the same, because
    /// a call matters more than a disk.
    pub fn allowance(&self, room: &Room) -> Allowance {
        let Some(policy) = &self.policy else { return Allowance::Send(None) };
        if !room.presses() {
            if self.network.metered && policy.metered == LinkRule::Wait {
                return Allowance::Wait("uploads wait for a network that is not metered");
            }
            if self.network.vpn && policy.vpn == LinkRule::Wait {
                return Allowance::Wait("uploads wait for a network without VPN");
            }
        }
        let in_call = policy.bytes_per_second_in_call.filter(|_| self.in_call);
        let limits = [policy.bytes_per_second, in_call];
        Allowance::Send(limits.into_iter().flatten().min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(metered: bool, vpn: bool, in_call: bool) -> Conditions {
        let policy = UploadPolicy { bytes_per_second: Some(500_000), ..UploadPolicy::default() };
        Conditions { policy: Some(policy), in_call, network: Network { metered, vpn } }
    }

    #[test]
    fn a_call_slows_uploads_down_and_never_speeds_them_up() {
        let mut conditions = conditions(false, false, true);
        assert_eq!(conditions.allowance(&Room::Enough), Allowance::Send(Some(125_000)));
        conditions.in_call = false;
        assert_eq!(conditions.allowance(&Room::Enough), Allowance::Send(Some(500_000)));
        conditions.in_call = true;
        conditions.policy.as_mut().unwrap().bytes_per_second = Some(1_000);
        assert_eq!(conditions.allowance(&Room::Enough), Allowance::Send(Some(1_000)));
        assert_eq!(Conditions::default().allowance(&Room::Enough), Allowance::Send(None));
    }

    #[test]
    fn a_metered_network_or_a_vpn_is_waited_out_only_as_long_as_the_disk_allows() {
        assert!(matches!(conditions(true, false, false).allowance(&Room::Enough), Allowance::Wait(_)));
        assert_eq!(conditions(false, true, false).allowance(&Room::Enough), Allowance::Send(Some(500_000)));
        let mut vpn = conditions(false, true, false);
        vpn.policy.as_mut().unwrap().vpn = LinkRule::Wait;
        assert!(matches!(vpn.allowance(&Room::Enough), Allowance::Wait(_)));
        for room in [Room::Low, Room::Full, Room::Exhausted] {
            assert_eq!(conditions(true, false, false).allowance(&room), Allowance::Send(Some(500_000)));
        }
        let unwritable = Room::Unwritable(String::new());
        assert!(matches!(conditions(true, false, false).allowance(&unwritable), Allowance::Wait(_)));
    }
}
