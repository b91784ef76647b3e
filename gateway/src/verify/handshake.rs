//! Carries out handshakes: what a route says by itself, before there is any event.
//!
//! Most of them come from nobody knows whom. So whatever is signed or learned is bounded, whatever is echoed is plain
//! text, JSON or a header's value, and each has to fit its rule exactly.

use std::{borrow::Cow, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use subtle::ConstantTimeEq;

use super::{
    Unverified, Vars,
    charset::Charset,
    confirm::Caller,
    hmac::Key,
    learned::{LearnError, Learned, LearnedSecrets},
    pointer::Pointer,
    reader::Reader,
    reply::Reply,
    scheme::{Answer, Condition, Confirm, Demand, Family, Field, Handshake, Learn, Needs, Scheme, Template},
    template::Part,
};
use crate::{
    clock::Timestamp,
    config::{self, Secret},
};

/// The longest value that is echoed or signed, in bytes.
const MAX_VALUE: usize = 4 << 10;

/// The longest body that a handshake has, in bytes: those known have less than 2 KiB. A longer one is an event's, and is
/// not looked into before it is proven.
const MAX_BODY: usize = 64 << 10;

/// A route's handshakes, ready to be carried out.
#[derive(Default)]
pub struct Handshakes {
    rules: Vec<Rule>,
    hand: Option<Hand>,
}

/// What belongs to all of a route's handshakes.
struct Hand {
    route: Arc<str>,
    scheme: Arc<Scheme>,
    secrets: Vec<Secret>,
    vars: Vars,
    store: Arc<Learned>,
    learned: Arc<LearnedSecrets>,
    caller: Arc<dyn Caller>,
}

/// One handshake of a route.
pub struct Rule {
    method: Method,
    /// The texts that must be at these places of a JSON body: most events are told by them.
    telling: (Vec<Pointer>, Vec<Vec<String>>),
    handshake: Handshake,
    demands: Vec<(Demand, Option<Charset>)>,
    status: StatusCode,
    headers: Vec<(HeaderName, Template)>,
}

/// Why a handshake is not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    #[error("{field} {why}")]
    Demand { field: String, why: &'static str, status: StatusCode },
    #[error(transparent)]
    Unexpected(LearnError),
    #[error("a secret was handed to us and cannot be kept")]
    NotKept(#[source] LearnError),
    #[error("the URL in {field} is none that may be called")]
    ForeignUrl { field: String },
    #[error("the URL in {field} was called to confirm: {why}")]
    Unconfirmed { field: String, why: String },
    #[error("none of the route's secrets is valid now")]
    NoActiveSecret,
}

impl Handshakes {
    /// Those that the route's scheme has.
    pub fn new(
        verify: &config::Verify,
        route: &Arc<str>,
        learned: &Arc<Learned>,
        caller: &Arc<dyn Caller>,
    ) -> Self {
        let config::Verify::Proof(settings) = verify else { return Self::default() };
        let rules: Vec<_> = settings.scheme.common.handshake.iter().map(Rule::new).collect();
        let hand = (!rules.is_empty()).then(|| Hand {
            route: route.clone(),
            scheme: settings.scheme.clone(),
            secrets: settings.secrets.clone(),
            vars: settings.vars.clone(),
            store: learned.clone(),
            learned: learned.of(route),
            caller: caller.clone(),
        });
        Self { rules, hand }
    }

    /// Whether any of them comes with this method.
    pub fn take(&self, method: &Method) -> bool {
        self.rules.iter().any(|rule| rule.method == *method)
    }

    /// The first that the request fits.
    pub fn find(&self, request: &Unverified) -> Option<&Rule> {
        let hand = self.hand.as_ref().filter(|_| request.body.len() <= MAX_BODY)?;
        let reader = Reader::new(request, &hand.vars);
        self.rules.iter().find(|rule| rule.fits(&reader))
    }

    /// Does what is to be done, and says what is to be answered. Of a rule that wants proof, the caller has it.
    ///
    /// # Errors
    /// When it is not to be answered.
    pub async fn carry_out(
        &self,
        rule: &Rule,
        request: &Unverified,
        now: Timestamp,
    ) -> Result<Reply, Unanswered> {
        let Some(hand) = &self.hand else { return Err(Unanswered::NoActiveSecret) };
        let reader = Reader::new(request, &hand.vars);
        for (demand, charset) in &rule.demands {
            hand.check(demand, charset.as_ref(), &reader, now)?;
        }
        let reply = hand.reply(rule, &reader, now)?;
        if let Some(confirm) = &rule.handshake.confirm {
            hand.confirm(confirm, &reader).await?;
        }
        // Last: what was not answered has not been learned either.
        if let Some(learn) = &rule.handshake.learn {
            hand.learn(learn, &reader, now).await?;
        }
        Ok(reply)
    }
}

impl Rule {
    fn new(handshake: &Handshake) -> Self {
        let Answer { status, headers, .. } = &handshake.answer;
        // What does not parse was refused when the scheme was read.
        let charset = |demand: &Demand| demand.charset.as_ref().and_then(|text| text.parse().ok());
        let headers = headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())));
        Self {
            method: handshake.http_method(),
            telling: handshake.when.iter().filter_map(Condition::telling).unzip(),
            demands: handshake.demand.iter().map(|demand| (demand.clone(), charset(demand))).collect(),
            status: status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::OK),
            headers: headers.collect(),
            handshake: handshake.clone(),
        }
    }

    /// What it is for, in a few words.
    pub fn about(&self) -> &str {
        &self.handshake.about
    }

    /// Whether it is answered only with the proof that an event carries.
    pub fn is_proven(&self) -> bool {
        self.handshake.proven
    }

    /// Whether strangers get something signed with it.
    pub fn signs_for_anybody(&self) -> bool {
        !self.is_proven() && self.handshake.signs().next().is_some()
    }

    /// Whether strangers could use it to guess at a secret, or to have one signed or kept.
    pub fn is_delicate(&self) -> bool {
        let guesses = self.handshake.demand.iter().any(|demand| demand.token.is_some());
        self.signs_for_anybody() || (!self.is_proven() && (guesses || self.learns()))
    }

    /// Whether it hands us a secret.
    pub fn learns(&self) -> bool {
        self.handshake.learn.is_some()
    }

    fn fits(&self, reader: &Reader<'_>) -> bool {
        self.method == reader.request.method
            && self.might_fit(&reader.request.body)
            && self.handshake.when.iter().all(|when| when.holds(reader))
    }

    /// A look without building a document, which stops as soon as it knows: every event of the route is looked at.
    fn might_fit(&self, body: &[u8]) -> bool {
        let is_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        let (places, texts) = &self.telling;
        if places.is_empty() || !is_json {
            return true;
        }
        let mut found = Pointer::find_all(places, body).into_iter().zip(texts);
        found.all(|(found, texts)| found.is_some_and(|found| texts.contains(&found)))
    }
}

impl Condition {
    fn telling(&self) -> Option<(Pointer, Vec<String>)> {
        match &self.from {
            Field::Json(pointer) if !self.one_of.is_empty() && !self.missing && !self.empty => {
                Some((pointer.clone(), self.one_of.clone()))
            }
            _ => None,
        }
    }

    fn holds(&self, reader: &Reader<'_>) -> bool {
        if self.missing || self.empty {
            let Field::Json(pointer) = &self.from else { return false };
            let value = reader.json().and_then(|json| pointer.value(json, None));
            let is_empty = value.and_then(|value| value.as_array()).is_some_and(Vec::is_empty);
            return if self.missing { value.is_none() } else { is_empty };
        }
        // A value that is there twice tells nothing apart.
        let Ok(Some(value)) = reader.read(&self.from) else { return false };
        self.one_of.is_empty() || self.one_of.iter().any(|known| *known == value)
    }
}

impl Hand {
    fn check(
        &self,
        demand: &Demand,
        charset: Option<&Charset>,
        reader: &Reader<'_>,
        now: Timestamp,
    ) -> Result<(), Unanswered> {
        let Demand { from, token, listed, length, .. } = demand;
        let status = StatusCode::from_u16(demand.status).unwrap_or(StatusCode::FORBIDDEN);
        let refused = |why| Err(Unanswered::Demand { field: from.to_string(), why, status });
        let Ok(Some(value)) = reader.read(from) else { return refused("is not there, once and as text") };
        if length.is_some_and(|(least, most)| !(least..=most).contains(&value.len())) {
            return refused("has not the length that it must have");
        }
        if charset.is_some_and(|charset| !charset.covers(&value)) {
            return refused("has characters that it must not have");
        }
        if listed.as_ref().is_some_and(|name| !self.lists(name, &value)) {
            return refused("is not on the route's list");
        }
        if token.as_ref().is_some_and(|name| !self.is_token(name, &value, now)) {
            return refused("is not the token that it must be");
        }
        Ok(())
    }

    fn lists(&self, name: &str, value: &str) -> bool {
        self.vars.all(name).iter().any(|listed| listed == "*" || listed == value)
    }

    /// Every candidate is looked at, so that the time tells nothing.
    fn is_token(&self, name: &str, value: &str, now: Timestamp) -> bool {
        let same = |candidate: &[u8]| !candidate.is_empty() && bool::from(candidate.ct_eq(value.as_bytes()));
        let tokens = self.vars.all(name);
        if !tokens.is_empty() {
            return tokens.iter().filter(|token| same(token.as_bytes())).count() > 0;
        }
        let has_secrets = self.scheme.needs() != Needs::Nothing;
        has_secrets && self.active(now).iter().filter(|secret| same(secret.expose())).count() > 0
    }

    /// The secrets in force: those of the config first.
    fn active(&self, now: Timestamp) -> Vec<Secret> {
        let learned = self.learned.secrets();
        self.secrets.iter().chain(&*learned).filter(|secret| secret.is_active(now)).cloned().collect()
    }

    fn reply(&self, rule: &Rule, reader: &Reader<'_>, now: Timestamp) -> Result<Reply, Unanswered> {
        let Answer { text, json, raw_json, .. } = &rule.handshake.answer;
        let render = |template: &Template| self.render(template, reader, now);
        let (kind, body) = if let Some(text) = text {
            (Some("text/plain; charset=utf-8"), render(text)?)
        } else if !json.is_empty() {
            let pairs = json.iter().map(|(key, value)| Ok((key.clone(), render(value)?.into())));
            let object = pairs.collect::<Result<serde_json::Map<_, _>, Unanswered>>()?;
            (Some("application/json"), serde_json::Value::Object(object).to_string())
        } else if let Some(json) = raw_json {
            (Some("application/json"), json.clone())
        } else {
            (None, String::new())
        };
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        for (name, value) in &rule.headers {
            // Control characters above all: they would begin another header.
            let value = HeaderValue::from_str(&render(value)?).map_err(|_| unfit(&rule.handshake))?;
            headers.insert(name, value);
        }
        Ok(Reply { status: rule.status, headers, body: body.into() })
    }

    fn render(&self, template: &Template, reader: &Reader<'_>, now: Timestamp) -> Result<String, Unanswered> {
        let mut text = String::new();
        for part in template.parts() {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Field { field, optional: true } if reader.read(field).is_ok_and(|v| v.is_none()) => {}
                Part::Field { field, .. } => text.push_str(&echoed(field, reader)?),
                Part::Sign(field) => text.push_str(&self.sign(&echoed(field, reader)?, now)?),
                // `Answer::check` lets nothing else into an answer.
                _ => {}
            }
        }
        Ok(text)
    }

    /// What the scheme's algorithm, key and encoding make of a text, with the first secret in force.
    fn sign(&self, text: &str, now: Timestamp) -> Result<String, Unanswered> {
        let active = self.active(now);
        let secret = active.first().ok_or(Unanswered::NoActiveSecret)?;
        let Family::Signature(scheme) = &self.scheme.family else { return Err(Unanswered::NoActiveSecret) };
        let key = Key::new(scheme, secret.expose()).map_err(|_| Unanswered::NoActiveSecret)?;
        Ok(key.tag(&[text]).encode(scheme.encoding))
    }

    async fn confirm(&self, confirm: &Confirm, reader: &Reader<'_>) -> Result<(), Unanswered> {
        let field = confirm.from.to_string();
        let url = echoed(&confirm.from, reader).ok().and_then(|text| confirm.url(&text));
        let Some(url) = url else { return Err(Unanswered::ForeignUrl { field }) };
        self.caller.call(url).await.map_err(|why| Unanswered::Unconfirmed { field, why })
    }

    async fn learn(&self, learn: &Learn, reader: &Reader<'_>, now: Timestamp) -> Result<(), Unanswered> {
        let secret = echoed(&learn.from, reader)?.into_owned();
        if self.scheme.check_secret(secret.as_bytes()).is_err() {
            let (field, why) = (learn.from.to_string(), "is no secret that the scheme can use");
            return Err(Unanswered::Demand { field, why, status: StatusCode::BAD_REQUEST });
        }
        let (store, route, has_own) = (self.store.clone(), self.route.clone(), !self.secrets.is_empty());
        let kept = tokio::task::spawn_blocking(move || store.learn(&route, &secret, has_own, now)).await;
        match kept.map_err(std::io::Error::other) {
            Ok(Ok(())) => {
                let file = self.store.file().map(|file| file.display().to_string()).unwrap_or_default();
                tracing::warn!(
                    route = %self.route, file,
                    "a secret was handed to us and counts from now on; a provider that wants it shown finds it there"
                );
                Ok(())
            }
            Ok(Err(unexpected @ LearnError::NotExpected)) => Err(Unanswered::Unexpected(unexpected)),
            Ok(Err(failed)) => Err(Unanswered::NotKept(failed)),
            Err(source) => {
                let path = self.store.file().map(Into::into).unwrap_or_default();
                Err(Unanswered::NotKept(LearnError::Write { path, source }))
            }
        }
    }
}

/// A value that goes into an answer.
fn echoed<'r>(field: &'r Field, reader: &'r Reader<'_>) -> Result<Cow<'r, str>, Unanswered> {
    let refused = |why| Unanswered::Demand { field: field.to_string(), why, status: StatusCode::BAD_REQUEST };
    let value = reader.read(field).ok().flatten();
    let value = value.ok_or_else(|| refused("is not there, once and as text"))?;
    if value.len() > MAX_VALUE { Err(refused("is too long to be answered")) } else { Ok(value) }
}

fn unfit(handshake: &Handshake) -> Unanswered {
    let places = handshake.answer.headers.values().map(Template::to_string).collect::<Vec<_>>();
    let (field, status) = (places.join(", "), StatusCode::BAD_REQUEST);
    Unanswered::Demand { field, why: "has characters that no header can have", status }
}

impl Unanswered {
    /// Its name in logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Demand { .. } => "handshake_refused",
            Self::Unexpected(_) => "secret_unexpected",
            Self::NotKept(_) => "secret_not_kept",
            Self::ForeignUrl { .. } => "handshake_url_refused",
            Self::Unconfirmed { .. } => "handshake_unconfirmed",
            Self::NoActiveSecret => "no_active_secret",
        }
    }

    /// The status of the refusal; `None` where the fault is not the sender's, who should try again.
    pub fn refusal(&self) -> Option<StatusCode> {
        match self {
            Self::Demand { status, .. } => Some(*status),
            Self::Unexpected(_) | Self::ForeignUrl { .. } => Some(StatusCode::FORBIDDEN),
            Self::NotKept(_) | Self::Unconfirmed { .. } | Self::NoActiveSecret => None,
        }
    }
}
