//! The event in the gateway.

use super::Event;

pub(crate) use crate::bindings::imports::sluice::plugin::incoming::Event as Source;

impl Event {
    /// Sees the gateway's event as ours.
    #[expect(
        unsafe_code,
        reason = "a reference to the only field of a transparent struct, seen as one to the struct"
    )]
    pub(crate) fn of(source: &Source) -> &Self {
        // SAFETY: `Event` is `repr(transparent)` over `Source`, so both have one layout and one validity; the
        // lifetime is carried over by the signature.
        unsafe { &*std::ptr::from_ref(source).cast::<Self>() }
    }
}
