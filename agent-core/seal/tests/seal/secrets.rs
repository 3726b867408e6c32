//! What must never be printed, and what must be shared between threads: checked by the compiler.

use hindsight_seal::{DataKey, Opener, PrivateKey, Recipient, SealError, Sealer, Verifier};
use std::fmt::{Debug, Display};

/// Ambiguous, and so refused by the compiler, for a type that implements any of the traits below.
trait NeverPrinted<Marker> {
    fn never_printed() {}
}
struct ByDebug;
struct ByDisplay;
impl<T> NeverPrinted<()> for T {}
impl<T: Debug> NeverPrinted<ByDebug> for T {}
impl<T: Display> NeverPrinted<ByDisplay> for T {}

#[test]
fn keys_and_whatever_holds_one_cannot_be_printed() {
    <PrivateKey as NeverPrinted<_>>::never_printed();
    <DataKey as NeverPrinted<_>>::never_printed();
    <Sealer as NeverPrinted<_>>::never_printed();
    <Opener as NeverPrinted<_>>::never_printed();
    <Verifier as NeverPrinted<_>>::never_printed();
}

#[test]
fn writers_move_between_threads_and_readers_are_shared() {
    fn moved<T: Send + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    moved::<Sealer>();
    moved::<Verifier>();
    shared::<Opener>();
    shared::<PrivateKey>();
    shared::<DataKey>();
    shared::<Recipient>();
    shared::<SealError>();
}
