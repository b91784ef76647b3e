//! Proves who sent a request. Only this makes an [`Event`] of one.
//!
//! A signature is checked over the exact bytes received, in constant time, before anything is inflated, parsed
//! or stored. The time is handed in. Everything that can be worked out at load is: a request costs one hash.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Method,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, EXPECT, PROXY_AUTHORIZATION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use std::sync::Arc;

pub use self::{
    confirm::{Caller, PublicCaller},
    handshake::{Handshakes, Rule, Unanswered},
    judge::{Accepted, Hearing, Judge, Said},
    keyring::Keyring,
    learned::{LearnError, Learned, LearnedSecrets, ReadError},
    reply::Reply,
    settings::{PublicUrl, Settings},
    signer::{SignError, Signer},
    vars::Vars,
    witness::Witness,
};

use crate::{
    clock::Timestamp,
    config,
    event::{Event, EventId, Headers},
};
use basic::BasicCheck;
use http_signature::HttpSignatureCheck;
use jws::JwsCheck;
use learning::Learning;
use pointer::Pointer;
use reader::Reader;
use scheme::{Family, Field, Fields, Needs};
use signature::SignatureCheck;
use token::TokenCheck;

pub mod scheme;

mod basic;
mod canonical;
mod charset;
mod confirm;
mod der;
mod digest;
mod document;
mod egress;
mod encoding;
mod handshake;
mod held;
mod hmac;
mod host;
mod http_signature;
mod judge;
mod jwk;
mod jws;
pub(crate) mod keyed;
mod keyring;
mod learned;
mod learning;
mod parse;
mod pointer;
mod preset;
mod public_key;
mod public_keys;
mod reader;
mod reply;
mod settings;
mod signature;
mod signer;
mod source;
mod template;
mod timestamp;
mod token;
mod url_variants;
mod vars;
mod witness;

/// A delivery id or an event type longer than this many bytes is taken for a mistake and left out.
const MAX_DETAIL: usize = 512;

/// How many characters of a key's id are shown.
const MAX_KEY_ID: usize = 64;

/// Shows that an event was proven genuine: made by this module, and by the journal for what was let in here.
#[derive(Clone, Copy, Debug)]
pub struct Proof(());

/// A request of which nothing is proven yet. It may hold secrets, so it cannot be printed.
#[derive(Clone)]
pub struct Unverified {
    /// The id that its event will have; also the request's id in logs and answers.
    pub id: EventId,
    /// The name of the route it came in by.
    pub route: Arc<str>,
    pub received_at: Timestamp,
    pub method: Method,
    /// Without the query, as received.
    pub path: String,
    /// Without `?`, as received.
    pub query: Option<String>,
    /// The `{name}` segments of the route's path, percent-decoded.
    pub params: Vec<(String, String)>,
    /// As received. `host` is among them, also over HTTP/2.
    pub headers: HeaderMap,
    /// The bytes as they were sent, with any content encoding still in place.
    pub body: Bytes,
}

/// What a request is found to be that is not refused.
pub enum Judged<'v> {
    Genuine(Genuine<'v>),
    /// Not an event but a question, which a plugin has answered.
    Question(Reply),
}

/// A request that has been proven genuine. Only [`Verifier::verify`] makes one.
pub struct Genuine<'v> {
    request: Unverified,
    details: Details<'v>,
    /// The index of the secret or public key that proved it, in the config's order; learned secrets come after these.
    matched: Option<usize>,
    proof: Proof,
}

/// What is known of a genuine request beside that it is genuine.
enum Details<'v> {
    /// It is to be read from the request, or from the claims of the token that proved it.
    Read { facts: &'v Facts, claims: jws::Object },
    /// A plugin has told.
    Told { delivery_id: Option<String>, event_type: Option<String> },
}

/// A route's proof of origin, ready to be checked.
pub struct Verifier {
    check: Checking,
    facts: Facts,
    vars: Vars,
}

enum Checking {
    Fixed(Check),
    /// The provider may hand us secrets at any time.
    Learning(Box<Learning>),
    /// A plugin says.
    Judge(Arc<dyn Judge>),
    /// The plugin of this name is to say, and is not loaded.
    NoJudge(Arc<str>),
}

enum Check {
    Open,
    Signature(Box<SignatureCheck>),
    Jws(Box<JwsCheck>),
    Token(TokenCheck),
    Basic(BasicCheck),
    Rfc9421(Box<HttpSignatureCheck>),
}

/// Where a scheme has an event's delivery id and type.
#[derive(Default)]
struct Facts {
    id: Vec<Fact>,
    event_type: Vec<Fact>,
    pointers: Vec<Pointer>,
}

enum Fact {
    Field(Field),
    /// The index of one of the pointers.
    Json(usize),
}

/// Why a request was not let in. The sender is not told which of these it was; the log is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    #[error("signature is missing: no {field}")]
    SignatureMissing { field: String },
    #[error("{field} does not hold a signature in the scheme's form")]
    SignatureMalformed { field: String },
    #[error("signature does not match")]
    SignatureInvalid,
    #[error("timestamp is missing: no {field}")]
    TimestampMissing { field: String },
    #[error("timestamp in {field} is malformed")]
    TimestampMalformed { field: String },
    #[error("timestamp is {age} s old, tolerance is {tolerance} s")]
    TimestampStale { age: u64, tolerance: u64 },
    #[error("timestamp is {ahead} s ahead of our clock, tolerance is {tolerance} s")]
    TimestampFuture { ahead: u64, tolerance: u64 },
    #[error("{field} is part of what is signed, but missing")]
    FieldMissing { field: String },
    #[error("{field} is there more than once")]
    Repeated { field: String },
    #[error("{field} is not text")]
    Unreadable { field: String },
    #[error("{field} is not what the scheme or the route says it must be")]
    RequirementFailed { field: String },
    #[error("{field} names an algorithm that does not count here")]
    AlgorithmUnknown { field: String },
    #[error("{field} is not the hash of the body")]
    BodyHashInvalid { field: String },
    #[error("the signature does not cover a body of this kind")]
    BodyNotCovered,
    #[error("{list} holds no item that could be signed")]
    ListEmpty { list: String },
    #[error("token is missing: no {field}")]
    TokenMissing { field: String },
    #[error("token does not match")]
    TokenInvalid,
    #[error("{field} is not the hash of our URL")]
    UrlHashInvalid { field: String },
    #[error("claim `{claim}` is missing")]
    ClaimMissing { claim: String },
    #[error("claim `{claim}` is not what it must be")]
    ClaimInvalid { claim: String },
    #[error("it expired {since} s ago")]
    Expired { since: u64 },
    #[error("it is valid only in {ahead} s")]
    NotYetValid { ahead: u64 },
    #[error("the signature does not cover `{component}`")]
    ComponentMissing { component: String },
    #[error("the signature covers {component}, which is not supported")]
    ComponentUnsupported { component: String },
    #[error("no key is known by the id `{key_id}`")]
    KeyUnknown { key_id: String },
    #[error("the key cannot be used: {reason}")]
    KeyNotAllowed { reason: String },
    /// The provider's fault or ours, not the sender's: worth another attempt.
    #[error("the provider's keys cannot be fetched: {reason}")]
    KeyUnavailable { reason: String },
    /// The operator's mistake, not the sender's.
    #[error("none of the route's secrets is valid now")]
    NoActiveSecret,
    /// The plugin's fault or ours, not the sender's: worth another attempt.
    #[error("plugin `{plugin}` proves the route's requests, and cannot say: {reason}")]
    PluginUnavailable { plugin: Arc<str>, reason: String },
    /// Nobody's fault, or a plugin's that takes long.
    #[error("too many requests of the route wait for plugin `{plugin}`, which proves them")]
    PluginBusy { plugin: Arc<str> },
    #[error("plugin `{plugin}` refuses it: {reason}")]
    PluginRefused { plugin: Arc<str>, reason: String },
}

impl Verifier {
    /// `keyring` fetches the keys that providers publish. Where a plugin is to say, nobody is let in: see
    /// [`by_judge`](Self::by_judge).
    pub fn new(config: &config::Verify, keyring: &Arc<Keyring>) -> Self {
        Self::with_learned(config, keyring, Arc::default())
    }

    /// As [`new`](Self::new), for a route whose provider may hand us secrets: those count from the moment that they
    /// are learned.
    pub fn with_learned(
        config: &config::Verify,
        keyring: &Arc<Keyring>,
        learned: Arc<LearnedSecrets>,
    ) -> Self {
        match config {
            config::Verify::None => {
                Self { check: Checking::Fixed(Check::Open), facts: Facts::default(), vars: Vars::default() }
            }
            config::Verify::Proof(settings) => Self {
                check: match settings.scheme.needs() {
                    Needs::LearnedSecrets => {
                        Checking::Learning(Box::new(Learning::new(settings, keyring, learned)))
                    }
                    _ => Checking::Fixed(Check::new(settings, keyring)),
                },
                facts: Facts::new(&settings.scheme.common.id, &settings.scheme.common.event_type),
                vars: settings.vars.clone(),
            },
            config::Verify::Plugin(proof) => Self {
                check: Checking::NoJudge(proof.plugin.name.clone()),
                facts: Facts::default(),
                vars: Vars::default(),
            },
        }
    }

    /// Leaves it to a judge.
    pub fn by_judge(judge: Arc<dyn Judge>) -> Self {
        Self { check: Checking::Judge(judge), facts: Facts::default(), vars: Vars::default() }
    }

    /// Checks the request's proof at `now`. The proof itself is taken out of what is passed on, where it would
    /// let others pass for the sender. Waits only for keys that have to be fetched, and for a plugin.
    ///
    /// # Errors
    /// Which check failed; for the log, not for the sender.
    pub async fn verify(&self, request: Unverified, now: Timestamp) -> Result<Judged<'_>, Refused> {
        self.verify_before(request, Some(now), &mut ()).await
    }

    /// As [`verify`](Self::verify), telling a witness of every step. Without `now` times are not looked at.
    ///
    /// # Errors
    /// Which check failed.
    pub async fn verify_before(
        &self,
        mut request: Unverified,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Judged<'_>, Refused> {
        let reader = Reader::new(&request, &self.vars);
        let made;
        let check = match &self.check {
            Checking::Fixed(check) => check,
            Checking::Learning(learning) => {
                made = learning.current();
                &made.check
            }
            Checking::Judge(judge) => {
                let Hearing { said, log } = judge.hear(request, now).await;
                log.into_iter().for_each(|line| witness.saw("plugin", || line));
                return said.map(Judged::from);
            }
            Checking::NoJudge(plugin) => {
                let reason = "it is not loaded here".to_owned();
                return Err(Refused::PluginUnavailable { plugin: plugin.clone(), reason });
            }
        };
        let mut claims = jws::Object::default();
        let matched = match check {
            Check::Open => None,
            Check::Signature(check) => check.check(&reader, now, witness).await?,
            Check::Jws(check) => {
                let proven = check.check(&reader, now, witness).await?;
                claims = proven.claims;
                proven.matched
            }
            Check::Token(check) => {
                let matched = check.check(&reader, now, witness)?;
                check.remove_credentials(&mut request);
                Some(matched)
            }
            Check::Basic(check) => Some(check.check(&reader, now, witness)?),
            Check::Rfc9421(check) => check.check(&reader, now, witness).await?,
        };
        let details = Details::Read { facts: &self.facts, claims };
        Ok(Judged::Genuine(Genuine { request, details, matched, proof: Proof(()) }))
    }
}

impl From<Said> for Judged<'_> {
    fn from(said: Said) -> Self {
        match said {
            Said::Question(reply) => Self::Question(reply),
            Said::Genuine(Accepted { request, matched, delivery_id, event_type }) => {
                let details = Details::Told { delivery_id, event_type };
                Self::Genuine(Genuine { request, details, matched, proof: Proof(()) })
            }
        }
    }
}

impl<'v> Judged<'v> {
    /// The request, if that is what it is.
    pub fn genuine(self) -> Option<Genuine<'v>> {
        match self {
            Self::Genuine(genuine) => Some(genuine),
            Self::Question(_) => None,
        }
    }
}

impl Check {
    fn new(settings: &Settings, keyring: &Arc<Keyring>) -> Self {
        match &settings.scheme.family {
            Family::Signature(scheme) => {
                Self::Signature(Box::new(SignatureCheck::new(scheme, settings, keyring)))
            }
            Family::Token(scheme) => Self::Token(TokenCheck::new(scheme, &settings.secrets)),
            Family::None {} => Self::Open,
            Family::Jws(scheme) => Self::Jws(Box::new(JwsCheck::new(scheme, settings, keyring))),
            Family::Basic(_) => Self::Basic(BasicCheck::new(&settings.secrets)),
            Family::Rfc9421(scheme) => {
                Self::Rfc9421(Box::new(HttpSignatureCheck::new(scheme, settings, keyring)))
            }
        }
    }
}

impl Genuine<'_> {
    /// The request, without what proved it.
    pub fn request(&self) -> &Unverified {
        &self.request
    }

    /// The bytes as they were sent.
    pub fn body(&self) -> &Bytes {
        &self.request.body
    }

    /// Which of the route's secrets or public keys proved it, counted from 0 in the order of the config; none where
    /// it was not one of these.
    pub fn matched(&self) -> Option<usize> {
        self.matched
    }

    /// Makes the event. `body` is the request's, with its content encoding undone.
    pub fn into_event(self, body: Bytes) -> Event {
        let Self { request, details, matched: _, proof } = self;
        let (delivery_id, event_type) = match details {
            Details::Read { facts, claims } => facts.read(&request, &body, &claims),
            Details::Told { delivery_id, event_type } => (delivery_id, event_type),
        };
        let fits = |text: &String| (1..=MAX_DETAIL).contains(&text.len());
        Event {
            id: request.id,
            route: request.route,
            received_at: request.received_at,
            method: request.method,
            path: request.path,
            query: request.query,
            params: request.params,
            headers: passed_on(request.headers),
            body,
            event_type: event_type.filter(fits),
            delivery_id: delivery_id.filter(fits),
            passed: None,
            proof,
        }
    }
}

impl Facts {
    fn new(id: &Fields, event_type: &Fields) -> Self {
        let mut pointers = Vec::new();
        let mut read = |fields: &Fields| {
            let facts = fields.iter().map(|field| match field {
                Field::Json(pointer) => {
                    pointers.push(pointer.clone());
                    Fact::Json(pointers.len() - 1)
                }
                field => Fact::Field(field.clone()),
            });
            facts.collect::<Vec<_>>()
        };
        Self { id: read(id), event_type: read(event_type), pointers }
    }

    /// The delivery id and the event type. The body is parsed only where one of them may be in it.
    fn read(
        &self,
        request: &Unverified,
        body: &[u8],
        claims: &jws::Object,
    ) -> (Option<String>, Option<String>) {
        let mut found = match self.pointers.is_empty() {
            true => Vec::new(),
            false => Pointer::find_all(&self.pointers, document::document(&request.headers, body)),
        };
        let vars = Vars::default();
        let reader = Reader::new(request, &vars);
        let mut first = |facts: &[Fact]| {
            facts.iter().find_map(|fact| match fact {
                Fact::Field(Field::Claim(name)) => claims.text(name),
                Fact::Field(field) => reader.read(field).ok().flatten().map(String::from),
                Fact::Json(index) => found[*index].take(),
            })
        };
        (first(&self.id), first(&self.event_type))
    }
}

/// Leaves out what belongs to the connection alone, what describes the body as it was on the wire, and
/// credentials.
pub(crate) fn passed_on(mut headers: HeaderMap) -> Headers {
    const LEFT_OUT: [HeaderName; 10] = [
        CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        EXPECT,
        CONTENT_LENGTH,
        CONTENT_ENCODING,
        AUTHORIZATION,
        COOKIE,
    ];
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&LEFT_OUT) {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", PROXY_AUTHORIZATION.as_str()] {
        headers.remove(name);
    }
    headers.into()
}

impl Refused {
    /// The id is the sender's word, so no more of it is kept than fits a line of the log.
    fn key_unknown(key_id: Option<&str>) -> Self {
        Self::KeyUnknown { key_id: key_id.unwrap_or_default().chars().take(MAX_KEY_ID).collect() }
    }

    /// The refusal's name in logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SignatureMissing { .. } => "signature_missing",
            Self::SignatureMalformed { .. } => "signature_malformed",
            Self::SignatureInvalid => "signature_invalid",
            Self::TimestampMissing { .. } => "timestamp_missing",
            Self::TimestampMalformed { .. } => "timestamp_malformed",
            Self::TimestampStale { .. } => "timestamp_stale",
            Self::TimestampFuture { .. } => "timestamp_future",
            Self::FieldMissing { .. } => "field_missing",
            Self::Repeated { .. } => "field_repeated",
            Self::Unreadable { .. } => "field_unreadable",
            Self::RequirementFailed { .. } => "requirement_failed",
            Self::AlgorithmUnknown { .. } => "algorithm_unknown",
            Self::BodyHashInvalid { .. } => "body_hash_invalid",
            Self::BodyNotCovered => "body_not_covered",
            Self::ListEmpty { .. } => "list_empty",
            Self::TokenMissing { .. } => "token_missing",
            Self::TokenInvalid => "token_invalid",
            Self::UrlHashInvalid { .. } => "url_hash_invalid",
            Self::ClaimMissing { .. } => "claim_missing",
            Self::ClaimInvalid { .. } => "claim_invalid",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::ComponentMissing { .. } => "component_missing",
            Self::ComponentUnsupported { .. } => "component_unsupported",
            Self::KeyUnknown { .. } => "key_unknown",
            Self::KeyNotAllowed { .. } => "key_not_allowed",
            Self::KeyUnavailable { .. } => "key_unavailable",
            Self::NoActiveSecret => "no_active_secret",
            Self::PluginUnavailable { .. } => "plugin_unavailable",
            Self::PluginBusy { .. } => "plugin_busy",
            Self::PluginRefused { .. } => "plugin_refused",
        }
    }
}

impl Proof {
    /// For the journal: what it reads back was proven when it was written.
    pub(crate) fn from_journal() -> Self {
        Self(())
    }

    /// For the event of an author's test case: it comes from nowhere, is kept nowhere and goes nowhere.
    pub(crate) fn of_a_case() -> Self {
        Self(())
    }

    /// For tests of the stages behind `verify`.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
