//! The DNs of the site, from the configuration last received.

use crate::call::Participant;
use hindsight_wire::{
    component::{Dn, VoiceConfig},
    policy::VoicePolicy,
};
use std::collections::HashMap;

/// The DNs by number.
#[derive(Default)]
pub struct Directory {
    realm: String,
    version: u64,
    dns: HashMap<String, Dn>,
}

impl Directory {
    /// The directory of this configuration.
    pub fn new(config: VoiceConfig) -> Self {
        let dns = config.dns.into_iter().map(|dn| (dn.number.clone(), dn)).collect();
        Self { realm: config.realm, version: config.version, dns }
    }

    /// Realm of digest authentication.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Version of the configuration.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A DN by its number.
    pub fn get(&self, number: &str) -> Option<&Dn> {
        self.dns.get(number)
    }

    /// A party of a call outside.
    pub fn outsider(&self, number: &str) -> Participant {
        Participant { number: number.to_owned(), is_dn: false, record_voice: false, record_screen: false }
    }

    /// A party of a call: a DN with its policy, or a number that is none of ours.
    pub fn participant(&self, number: &str) -> Participant {
        let dn = self.get(number);
        Participant {
            number: number.to_owned(),
            is_dn: dn.is_some(),
            record_voice: dn.is_some_and(|dn| dn.record_voice == VoicePolicy::FullTime),
            record_screen: dn.is_some_and(|dn| dn.record_screen),
        }
    }
}
