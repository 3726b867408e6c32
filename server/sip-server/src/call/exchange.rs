//! What a call is told, and what it wants done.

use super::{Asked, Failure, Leg, Order, Target};
use hindsight_model::event::What;
use hindsight_wire::{
    Timestamp,
    component::{CallControl, RecordingControl},
};

/// What happened to a leg, or was asked.
#[derive(Debug)]
pub enum Input {
    /// A callee's contact rings.
    Ringing {
        /// Which.
        leg: Leg,
        /// It can be told to answer.
        talk: bool,
    },
    /// Answer to [`Action::Talk`].
    Talked {
        /// Which leg.
        leg: Leg,
        /// Status.
        status: u16,
    },
    /// 2xx to our INVITE or re-INVITE.
    Answered {
        /// On which leg.
        leg: Leg,
        /// Its body.
        body: Vec<u8>,
    },
    /// Final refusal of our INVITE or re-INVITE; 408 also for no answer at all.
    Refused {
        /// On which leg.
        leg: Leg,
        /// Status.
        status: u16,
    },
    /// A phone's re-INVITE.
    Offered {
        /// From which leg.
        leg: Leg,
        /// Its offer; `None`: it wants ours.
        body: Option<Vec<u8>>,
    },
    /// ACK of our 2xx.
    Acknowledged {
        /// From which leg.
        leg: Leg,
        /// The answer to our offer, where the 2xx made one.
        body: Option<Vec<u8>>,
    },
    /// Our 2xx was never acknowledged (RFC 3261 13.3.1.4).
    Unacknowledged {
        /// By which leg.
        leg: Leg,
    },
    /// BYE, or the dialog is gone (481, 408 to a request in it).
    Gone {
        /// Which leg.
        leg: Leg,
        /// Whether it said BYE itself.
        bye: bool,
    },
    /// CANCEL of the caller's INVITE.
    Cancelled,
    /// Outcome of [`Action::Order`].
    Ordered {
        /// Of which order.
        serial: u32,
        /// Confirmed, or why not.
        outcome: Result<(), Failure>,
    },
    /// Answer to [`Action::Probe`], of the far end or of a proxy on the way.
    Probed {
        /// Which leg.
        leg: Leg,
        /// Status.
        status: u16,
    },
    /// [`Action::Probe`] was answered by nobody, or could not be sent.
    ProbeUnanswered {
        /// Which leg.
        leg: Leg,
    },
    /// A command from the web services.
    Control {
        /// To be answered by [`Action::Result`].
        request: u64,
        /// The command.
        control: RecordingControl,
    },
    /// Call control of a party's desktop.
    CallControl {
        /// To be answered by [`Action::Result`] or [`Action::Farewell`].
        request: u64,
        /// The command.
        control: CallControl,
    },
    /// The media server's recording has ended without a command.
    RecordingBroke {
        /// In whose dialog it was told.
        leg: Leg,
        /// Why, for people.
        reason: String,
    },
    /// A party wants to leave the call to somebody else; [`super::Call::may_transfer`] allowed it.
    Transfer {
        /// Who, and how.
        asked: Asked,
        /// To whom.
        to: Target,
    },
    /// This process ends.
    Shutdown,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Opens a dialog.
    Invite {
        /// Which.
        leg: Leg,
        /// SDP.
        offer: Vec<u8>,
    },
    /// A new offer in a dialog.
    Reinvite {
        /// Which.
        leg: Leg,
        /// SDP.
        offer: Vec<u8>,
    },
    /// ACK of the 2xx to our INVITE or re-INVITE.
    Acknowledge {
        /// Which.
        leg: Leg,
    },
    /// 180 to the caller.
    Ring,
    /// 200 to the pending INVITE or re-INVITE.
    Accept {
        /// Of which phone.
        leg: Leg,
        /// SDP.
        body: Vec<u8>,
    },
    /// Final refusal of the pending INVITE or re-INVITE.
    Reject {
        /// Of which phone.
        leg: Leg,
        /// Status.
        status: u16,
    },
    /// A command to the recorder, in this leg's dialog.
    Order {
        /// Which leg.
        leg: Leg,
        /// The command.
        order: Order,
    },
    /// OPTIONS in the dialog.
    Probe {
        /// Which leg.
        leg: Leg,
    },
    /// CANCEL or BYE, whichever its state asks for; nothing if it is gone.
    End {
        /// Which leg.
        leg: Leg,
    },
    /// Tells a ringing phone to answer.
    Talk {
        /// Which leg.
        leg: Leg,
    },
    /// Tells who asked for a transfer by REFER how far it is (RFC 3515 2.4.5).
    Notify {
        /// In whose dialog.
        leg: Leg,
        /// Status of the INVITE that it asked for.
        status: u16,
    },
    /// To the journal.
    Emit(What),
    /// The same, of an earlier time.
    EmitAt(Timestamp, What),
    /// Answer to a hang-up, when every leg has confirmed its end.
    Farewell {
        /// Of [`Input::CallControl`].
        request: u64,
    },
    /// Answer to [`Input::Control`] and [`Input::CallControl`].
    Result {
        /// Which.
        request: u64,
        /// `None`: done and confirmed.
        error: Option<String>,
    },
}
