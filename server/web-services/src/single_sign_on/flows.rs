//! Sign-ins under way: pure; `now`, states and codes are arguments.
//!
//! A desktop has one at a time: begin → (browser at the provider) → returned → proved → redeemed. In memory only: what a
//! restart of the web services cuts is begun again at the desktop.

use super::refusal::Refusal;
use hindsight_wire::{DeviceId, PersonId};
use ring::digest::{SHA256, digest};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Most sign-ins under way; beyond it the oldest goes.
const MOST: usize = 4096;
/// What is over is remembered for so long, to say why a late comer is refused.
const REMEMBERED: Duration = Duration::from_secs(900);

/// A secret as it is kept and compared: by its hash, so that the time of a comparison tells nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hash([u8; 32]);

impl Hash {
    fn of(secret: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Self(hash)
    }
}

/// What a desktop asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// SHA-256 of the verifier that only the desktop's recorder knows.
    pub challenge: [u8; 32],
    /// Where they sit, if not at their own DN.
    pub dn: Option<String>,
}

/// Sign-ins of all desktops; `P` is what the provider's answer is checked with.
pub struct Flows<P> {
    flows: HashMap<DeviceId, Flow<P>>,
    sign_in_limit: Duration,
    code_limit: Duration,
}

struct Flow<P> {
    asked: Asked,
    state: Hash,
    /// The end of this stage.
    until: Instant,
    stage: Stage<P>,
}

enum Stage<P> {
    /// The browser is at the provider.
    Begun(P),
    /// The browser is back; the provider is being asked.
    Returned,
    /// The link was made.
    Proved { code: Hash, person: PersonId },
    /// The code was used; it is kept to say so.
    Over { code: Hash },
}

/// Who may sign in where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// Who, as the provider proved.
    pub person: PersonId,
    /// Where they sit, if not at their own DN.
    pub dn: Option<String>,
}

impl<P> Flows<P> {
    /// None under way yet.
    pub fn new(sign_in_limit: Duration, code_limit: Duration) -> Self {
        Self { flows: HashMap::new(), sign_in_limit, code_limit }
    }

    /// A desktop begins, and gives up what it had begun before.
    pub fn begin(&mut self, device: DeviceId, asked: Asked, state: &str, proof: P, now: Instant) {
        self.flows.retain(|_, flow| now < flow.until + REMEMBERED);
        if self.flows.len() >= MOST
            && let Some(oldest) = self.flows.iter().min_by_key(|(_, flow)| flow.until).map(|(id, _)| *id)
        {
            self.flows.remove(&oldest);
        }
        let until = now + self.sign_in_limit;
        let flow = Flow { asked, state: Hash::of(state), until, stage: Stage::Begun(proof) };
        self.flows.insert(device, flow);
    }

    /// The browser came back with this state, which is good once.
    pub fn returned(&mut self, state: &str, now: Instant) -> Result<(DeviceId, P), Refusal> {
        let state = Hash::of(state);
        let found = self.flows.iter_mut().find(|(_, flow)| flow.state == state);
        let (device, flow) = found.ok_or(Refusal::UnknownState)?;
        if now >= flow.until {
            return Err(Refusal::TooLate);
        }
        match std::mem::replace(&mut flow.stage, Stage::Returned) {
            Stage::Begun(proof) => Ok((*device, proof)),
            other => {
                flow.stage = other;
                Err(Refusal::UsedState)
            }
        }
    }

    /// The provider said who it is: this code goes to the desktop.
    pub fn proved(
        &mut self,
        device: DeviceId,
        state: &str,
        person: PersonId,
        code: &str,
        now: Instant,
    ) -> Result<(), Refusal> {
        let until = now + self.code_limit;
        let flow = self.flows.get_mut(&device).filter(|flow| flow.state == Hash::of(state));
        // The desktop may have begun anew meanwhile.
        let flow = flow.ok_or(Refusal::UnknownState)?;
        (flow.stage, flow.until) = (Stage::Proved { code: Hash::of(code), person }, until);
        Ok(())
    }

    /// A desktop brings the code and its verifier. A code that came to a wrong place is good for nobody any more.
    pub fn redeem(
        &mut self,
        device: DeviceId,
        code: &str,
        verifier: &str,
        now: Instant,
    ) -> Result<Redeemed, Refusal> {
        let code = Hash::of(code);
        let is_it = |flow: &Flow<P>| match &flow.stage {
            Stage::Proved { code: other, .. } | Stage::Over { code: other } => *other == code,
            Stage::Begun(_) | Stage::Returned => false,
        };
        let found = self.flows.iter_mut().find(|(_, flow)| is_it(flow));
        let (owner, flow) = found.ok_or(Refusal::UnknownCode)?;
        match std::mem::replace(&mut flow.stage, Stage::Over { code }) {
            Stage::Proved { .. } if *owner != device => Err(Refusal::ForeignCode),
            Stage::Proved { .. } if now >= flow.until => Err(Refusal::ExpiredCode),
            Stage::Proved { .. } if Hash::of(verifier) != Hash(flow.asked.challenge) => {
                Err(Refusal::WrongVerifier)
            }
            Stage::Proved { person, .. } => Ok(Redeemed { person, dn: flow.asked.dn.clone() }),
            Stage::Over { .. } | Stage::Begun(_) | Stage::Returned => Err(Refusal::UsedCode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGN_IN: Duration = Duration::from_secs(600);
    const CODE: Duration = Duration::from_secs(120);

    struct Rig {
        flows: Flows<u8>,
        desktop: DeviceId,
        ann: PersonId,
        now: Instant,
    }

    impl Rig {
        fn new() -> Self {
            let flows = Flows::new(SIGN_IN, CODE);
            Self { flows, desktop: DeviceId::new(), ann: PersonId::new(), now: Instant::now() }
        }

        fn begin(&mut self, state: &str, verifier: &str) {
            let asked = Asked { challenge: Hash::of(verifier).0, dn: Some("1001".into()) };
            self.flows.begin(self.desktop, asked, state, 7, self.now);
        }

        fn proved(&mut self) {
            self.begin("state", "verifier");
            assert_eq!(self.flows.returned("state", self.now), Ok((self.desktop, 7)));
            self.flows.proved(self.desktop, "state", self.ann, "code", self.now).unwrap();
        }

        fn redeem(&mut self, code: &str, verifier: &str) -> Result<Redeemed, Refusal> {
            self.flows.redeem(self.desktop, code, verifier, self.now)
        }
    }

    #[test]
    fn a_code_is_good_once_with_the_verifier_of_the_desktop_that_began() {
        let mut rig = Rig::new();
        rig.proved();
        assert_eq!(rig.redeem("other", "verifier"), Err(Refusal::UnknownCode));
        let expected = Redeemed { person: rig.ann, dn: Some("1001".into()) };
        assert_eq!(rig.redeem("code", "verifier"), Ok(expected));
        assert_eq!(rig.redeem("code", "verifier"), Err(Refusal::UsedCode));
    }

    #[test]
    fn a_code_that_came_to_a_wrong_place_is_good_for_nobody() {
        let mut rig = Rig::new();
        rig.proved();
        assert_eq!(rig.redeem("code", "guessed"), Err(Refusal::WrongVerifier));
        assert_eq!(rig.redeem("code", "verifier"), Err(Refusal::UsedCode));
        rig.proved();
        let foreign = rig.flows.redeem(DeviceId::new(), "code", "verifier", rig.now);
        assert_eq!(foreign, Err(Refusal::ForeignCode));
        assert_eq!(rig.redeem("code", "verifier"), Err(Refusal::UsedCode));
    }

    #[test]
    fn neither_the_browser_nor_the_desktop_may_be_late() {
        let mut rig = Rig::new();
        rig.begin("state", "verifier");
        assert_eq!(rig.flows.returned("state", rig.now + SIGN_IN), Err(Refusal::TooLate));
        rig.proved();
        rig.now += CODE;
        assert_eq!(rig.redeem("code", "verifier"), Err(Refusal::ExpiredCode));
    }

    #[test]
    fn a_state_is_good_once_and_not_after_the_desktop_began_anew() {
        let mut rig = Rig::new();
        assert_eq!(rig.flows.returned("state", rig.now), Err(Refusal::UnknownState));
        rig.begin("state", "verifier");
        rig.flows.returned("state", rig.now).unwrap();
        assert_eq!(rig.flows.returned("state", rig.now), Err(Refusal::UsedState));
        rig.begin("next", "verifier");
        let late = rig.flows.proved(rig.desktop, "state", rig.ann, "code", rig.now);
        assert_eq!(late, Err(Refusal::UnknownState));
        assert_eq!(rig.redeem("code", "verifier"), Err(Refusal::UnknownCode));
    }

    #[test]
    fn what_is_over_is_forgotten_and_the_table_is_bounded() {
        let mut rig = Rig::new();
        rig.proved();
        rig.now += CODE + REMEMBERED;
        for n in 0..MOST + 20 {
            rig.desktop = DeviceId::new();
            rig.begin(&n.to_string(), "verifier");
        }
        assert_eq!(rig.flows.flows.len(), MOST);
        assert_eq!(rig.redeem("code", "verifier"), Err(Refusal::UnknownCode));
    }
}
