//! Somebody who is told how a check goes, step by step, for `sluice verify explain`.

/// Told of every step of a check. `()` hears nothing, and then nothing is worked out for it either.
pub trait Witness: Send {
    /// Something that was found, computed or compared. `what` names the step; `detail` says what came of it. Secrets and
    /// expected signatures never come this way.
    fn saw(&mut self, what: &'static str, detail: impl FnOnce() -> String);

    /// The signature that would have been right.
    fn expected(&mut self, signature: impl FnOnce() -> String);
}

impl Witness for () {
    fn saw(&mut self, _: &'static str, _: impl FnOnce() -> String) {}

    fn expected(&mut self, _: impl FnOnce() -> String) {}
}
