//! Proves who sent a request. Only this makes an [`Event`](crate::event::Event) of one.

pub mod scheme;

/// Shows that an event was proven genuine: made by this module, and by the journal for what was let in here.
#[derive(Clone, Copy, Debug)]
pub struct Proof(());

impl Proof {
    /// For the journal: what it reads back was proven when it was written.
    pub(crate) fn from_journal() -> Self {
        Self(())
    }

    /// For tests of the stages behind `verify`.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self(())
    }
}

/// A route's proof of origin, ready to be checked.
pub struct Verifier {}
