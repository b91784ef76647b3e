//! The window in the gateway.

use super::Window;

pub(crate) use crate::bindings::imports::sluice::plugin::batching::Window as Source;

impl Window {
    /// Sees the gateway's window as ours.
    #[expect(
        unsafe_code,
        reason = "a reference to the only field of a transparent struct, seen as one to the struct"
    )]
    pub(crate) fn of(source: &Source) -> &Self {
        // SAFETY: `Window` is `repr(transparent)` over `Source`, so both have one layout and one validity; the
        // lifetime is carried over by the signature.
        unsafe { &*std::ptr::from_ref(source).cast::<Self>() }
    }
}
