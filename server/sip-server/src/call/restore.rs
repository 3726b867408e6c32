//! An established call beyond the end of its process.
//!
//! What is needed to go on with it is kept whenever nothing of it is under way ([`Call::kept`]). The next process takes
//! it up ([`Call::restored`]) and asks both phones by a re-INVITE with what they were last told: 481 or no answer, and
//! the call ends with the loss of the SIP server as its cause and time. A phone that says BYE is understood at any time.
//! Only when both are there is the media server looked after; where it was lost too, the call goes on through another
//! one, which may itself need a while to come back.
//!
//! The keys of protected media are not kept, so phones that use them cannot be told anything new: they are believed to be
//! there until OPTIONS or a BYE says otherwise, and such a call ends with its media server.

use super::{
    Audio, Call, Description, EndCause, Leg, Limits, MediaLeg, Now, Participant, Phase, Phone, Recorder,
    Side, What, modify::Established, watch::Watch,
};
use crate::kept::{KeptCall, KeptMedia, KeptPhone};
use hindsight_sip::sdp::{Profile, Shape, Writer};
use hindsight_wire::{InteractionId, Timestamp};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// For a phone to answer: at T1 of half a second it is asked five times.
const PRESENT: Duration = Duration::from_secs(15);
/// For a media server to be there again, which begins when its phones have answered.
const MEDIA_BACK: Duration = Duration::from_secs(30);

/// The SIP server was lost in this call, and it is not known yet whether both parties are still there.
pub(super) struct Lost {
    /// When it was last known to run.
    at: Timestamp,
    /// When they are asked.
    since: Instant,
    /// Who answered.
    there: BTreeSet<Side>,
}

impl Call {
    /// All that the next process needs to go on with it, its dialogs still to be added; `None`: something is under way.
    pub fn kept(&self, now: Now) -> Option<KeptCall> {
        let Phase::Established(state) = &self.phase else { return None };
        if state.is_changing() || self.lost.is_some() || self.transfer.is_some() {
            return None;
        }
        let formats = Audio::placeholder(state.formats().clone());
        Some(KeptCall {
            at: now.wall,
            phones: [self.kept_phone(Side::Caller)?, self.kept_phone(Side::Callee)?],
            media: [self.kept_media(Side::Caller)?, self.kept_media(Side::Callee)?],
            fork: fork_at(self.phone_leg(Side::Callee)?)?,
            caller_fork: fork_at(self.phone_leg(Side::Caller)?),
            leaving: self.leaving.keys().map(|leg| fork_at(*leg)).collect(),
            callee_is_agent: Some((self.agent == Side::Callee, self.opened_agent == Side::Callee)),
            formats: text_of(&formats, &Shape::default()),
            recording: self.recorder.kept(),
            dialogs: Vec::new(),
        })
    }

    fn kept_phone(&self, side: Side) -> Option<KeptPhone> {
        let phone = &self.phones[side as usize];
        let Participant { number, is_dn, record_voice, record_screen } = phone.who.clone();
        let accepted = phone.accepted.as_ref()?;
        let said = phone.writer.last_without_keys()?;
        let protected = accepted.profile == Profile::Savp || !accepted.keys.is_empty();
        Some(KeptPhone {
            number,
            is_dn,
            record_voice,
            record_screen,
            accepted: text_of(&plain(accepted), &phone.shape),
            said: said.replace(Profile::Savp.name(), Profile::Avp.name()),
            protected,
            holds: phone.holds,
            held_by_desktop: phone.held_by_desktop,
        })
    }

    fn kept_media(&self, side: Side) -> Option<KeptMedia> {
        let leg = &self.media[side as usize];
        let said = leg.writer.last_without_keys()?;
        let answered = text_of(&plain(leg.audio.as_ref()?), &Shape::default());
        Some(KeptMedia { answered, said: said.replace(Profile::Savp.name(), Profile::Avp.name()) })
    }

    /// The call that was kept; its SIP server was lost at `at`. Its phones are asked at the instant of `now`, which may
    /// be a while ahead. `None`: it cannot be read.
    pub fn restored(
        interaction: InteractionId,
        kept: &KeptCall,
        limits: Limits,
        at: Timestamp,
        seed: u64,
        now: Now,
    ) -> Option<Self> {
        let [caller, callee] = &kept.phones;
        let [caller_media, callee_media] = &kept.media;
        let formats = Description::parse(kept.formats.as_bytes()).ok()?.audio.formats;
        let callee_leg = Leg::Callee(kept.fork);
        let caller_leg = kept.caller_fork.map_or(Leg::Caller, Leg::Callee);
        let mut call = Self {
            interaction,
            limits,
            phones: [phone(caller)?, phone(callee)?],
            media: [media(caller_media)?, media(callee_media)?],
            at: [Some(caller_leg), Some(callee_leg)],
            agent: Side::Callee,
            opened_agent: Side::Callee,
            contacts: 0,
            recorder: kept.recording.as_ref().map(Recorder::restored).unwrap_or_default(),
            answering: None,
            phase: Phase::Established(Established::new(formats)),
            watch: Watch::default(),
            transfer: None,
            stale: [0; 2],
            // They have had their time.
            leaving: kept.leaving().map(|leg| (leg, now.instant)).collect(),
            open: BTreeSet::from([
                caller_leg,
                callee_leg,
                Leg::Media(Side::Caller),
                Leg::Media(Side::Callee),
            ]),
            rng: StdRng::seed_from_u64(seed),
            out: VecDeque::new(),
            lost: Some(Lost { at, since: now.instant, there: BTreeSet::new() }),
            media_back_by: Some(now.instant + PRESENT + MEDIA_BACK),
            touched: true,
        };
        call.open.extend(kept.leaving());
        let side = |callee: bool| if callee { Side::Callee } else { Side::Caller };
        let policy = call.agent_by_policy();
        let agents = kept.callee_is_agent.map(|(now, opened)| (side(now), side(opened)));
        (call.agent, call.opened_agent) = agents.unwrap_or((policy, policy));
        if call.lacks_keys() {
            call.watch_phones_at(now.instant);
        } else {
            call.ask_again_at(now.instant, now.instant + PRESENT);
        }
        Some(call)
    }

    /// Whether it is not known yet if both parties are still there.
    pub(super) fn may_be_over(&self) -> bool {
        self.lost.is_some()
    }

    /// The same, and there is still time to find them.
    pub(super) fn waits_for_parties(&self, now: Now) -> bool {
        self.lost.as_ref().is_some_and(|lost| now.instant < lost.since + PRESENT)
    }

    /// A phone answered OPTIONS.
    pub(super) fn is_there(&mut self, leg: Leg) {
        let Some(side) = self.side_of(leg) else { return };
        let Some(lost) = &mut self.lost else { return };
        lost.there.insert(side);
        if lost.there.len() == Side::BOTH.len() && self.change().is_none() {
            self.parties_are_there();
        }
    }

    /// Both are there: the call goes on, if its media server does.
    pub(super) fn parties_are_there(&mut self) {
        let Some(lost) = self.lost.take() else { return };
        tracing::info!(interaction = %self.interaction, "the call outlived its SIP server");
        self.touched = true;
        self.watch_phones_at(lost.since + self.limits.phone_probe);
        self.watch_media_at(lost.since, lost.since + self.limits.silence);
    }

    /// The end of a call whose parties were not found again is the loss: nothing that came later is known of it.
    pub(super) fn emit_end(&mut self, cause: EndCause, by: Option<String>) {
        match (&self.lost, cause) {
            (Some(lost), EndCause::Failed | EndCause::MediaServerLost) => {
                let (at, cause) = (lost.at, EndCause::SipServerLost);
                self.out.push_back(super::Action::EmitAt(at, What::CallEnded { cause, by: None }));
            }
            _ => self.emit(What::CallEnded { cause, by }),
        }
    }

    /// A phone whose keys are not known can be told nothing of other addresses.
    pub(super) fn lacks_keys(&self) -> bool {
        self.phones.iter().any(|phone| {
            phone
                .accepted
                .as_ref()
                .is_some_and(|audio| audio.profile == Profile::Savp && audio.keys.is_empty())
        })
    }

    /// Whether something has changed that may have to be kept.
    pub fn is_touched(&self) -> bool {
        self.touched
    }

    /// The same, and it is kept now.
    pub fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }
}

impl KeptCall {
    /// The dialogs of who has left and has not hung up yet.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = Leg> + '_ {
        self.leaving.iter().map(|fork| fork.map_or(Leg::Caller, Leg::Callee))
    }
}

/// The same without what must stay secret; that it is protected is said beside it.
fn plain(audio: &Audio) -> Audio {
    Audio { profile: Profile::Avp, keys: Vec::new(), ..audio.clone() }
}

/// The fork of a dialog that is none of the first caller's.
fn fork_at(leg: Leg) -> Option<u8> {
    match leg {
        Leg::Callee(fork) => Some(fork),
        Leg::Caller | Leg::Media(_) => None,
    }
}

fn text_of(audio: &Audio, shape: &Shape) -> String {
    String::from_utf8_lossy(&Writer::new(0).write(audio, shape)).into_owned()
}

fn phone(kept: &KeptPhone) -> Option<Phone> {
    let KeptPhone { number, is_dn, record_voice, record_screen, protected, holds, held_by_desktop, .. } =
        kept.clone();
    let accepted = Description::parse(kept.accepted.as_bytes()).ok()?;
    let said = Description::parse(kept.said.as_bytes()).ok()?;
    let profile = if protected { Profile::Savp } else { Profile::Avp };
    let shape = accepted.shape().clone();
    Some(Phone {
        who: Participant { number, is_dn, record_voice, record_screen },
        shape,
        writer: Writer::going_on_from(&kept.said)?,
        accepted: Some(Audio { profile, ..accepted.audio }),
        sent: Some(Audio { profile, ..said.audio }),
        holds,
        held_by_desktop,
    })
}

fn media(kept: &KeptMedia) -> Option<MediaLeg> {
    let audio = Description::parse(kept.answered.as_bytes()).ok()?.audio;
    Some(MediaLeg { writer: Writer::going_on_from(&kept.said)?, audio: Some(audio) })
}
