//! What must only be compared in constant time has no `==` at all. These lines are checked by the compiler: where a
//! type had one, `probe` could mean two things, and nothing here would build.

use crate::{
    config::Secret,
    verify::{
        Genuine, Settings, Signer, Unverified, Verifier,
        hmac::{Key, Tag},
        signature::SignatureCheck,
        token::TokenCheck,
    },
};

trait Probe<How> {
    fn probe() {}
}

struct WithEq;
struct WithEqToBytes;
struct WithEqToText;

impl<T: ?Sized> Probe<()> for T {}
impl<T: ?Sized + PartialEq> Probe<WithEq> for T {}
impl<T: ?Sized + PartialEq<[u8]>> Probe<WithEqToBytes> for T {}
impl<T: ?Sized + PartialEq<str>> Probe<WithEqToText> for T {}

macro_rules! incomparable {
    ($($name:ty),* $(,)?) => { const _: () = { $(let _ = <$name as Probe<_>>::probe;)* }; };
}

// Keys, and what keys make of a request.
incomparable!(Key, Tag, Secret);
// What holds them, or what somebody claims to have made with them.
incomparable!(Settings, SignatureCheck, TokenCheck, Verifier, Signer<'_>, Unverified, Genuine<'_>);
