//! Checks a signature: any of those sent against any key in force.

use std::{borrow::Cow, sync::Arc};

use subtle::ConstantTimeEq;

use super::{
    Keyring, PublicUrl, Refused, Settings, Witness,
    held::{Held, Signed},
    hmac::Match,
    public_key::PublicKey,
    reader::Reader,
    scheme::{
        Algorithm, AlgorithmField, BodyHash, Field, KeySource, Requirement, SignatureScheme, Template,
        TimestampField, TimestampSource,
    },
    template::{Context, Coverage},
};
use crate::clock::Timestamp;

pub(super) struct SignatureCheck {
    scheme: SignatureScheme,
    held: Vec<Held>,
    /// The scheme's requirements, with the route's own values put in place.
    requirements: Vec<Requirement>,
    /// Which bodies the text covers.
    coverage: Coverage,
    uses_url: bool,
    url: Option<PublicUrl>,
    keyring: Arc<Keyring>,
}

/// What stays the same for all of a request's signatures.
struct Round<'r, 'q> {
    check: &'r SignatureCheck,
    request: &'r Reader<'q>,
    algorithm: Algorithm,
    held: &'r [Held],
    /// The ways our URL may have been written; only looked at where it is signed.
    urls: &'r [String],
    now: Option<Timestamp>,
}

impl SignatureCheck {
    pub(super) fn new(scheme: &SignatureScheme, settings: &Settings, keyring: &Arc<Keyring>) -> Self {
        let mut scheme = scheme.clone();
        scheme.signature.parse = scheme.signature.parse.filled_in(&settings.vars);
        let mut requirements = scheme.require.clone();
        for requirement in &mut requirements {
            let values = requirement.one_of.iter().flat_map(|value| settings.vars.expand(value));
            requirement.one_of = values.collect();
        }
        let uses_url = scheme.signed.iter().any(Template::uses_url);
        Self {
            held: Held::all(&scheme, settings),
            requirements,
            coverage: if scheme.signs_body { scheme.coverage() } else { Coverage::Any },
            uses_url,
            url: settings.url.clone(),
            keyring: keyring.clone(),
            scheme,
        }
    }

    /// Which of the route's secrets or public keys matched; none if it was one that the provider published.
    ///
    /// # Errors
    /// Which check failed.
    pub(super) async fn check(
        &self,
        request: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        for requirement in &self.requirements {
            check_requirement(requirement, request, witness)?;
        }
        self.check_body(request, witness)?;
        let algorithm = self.algorithm(request, witness)?;
        let published = self.published(request).await?;
        let held = if published.is_empty() { &self.held } else { &published };
        self.tell_of_keys(held, now, witness);
        if !held.iter().any(|held| held.is_active_at(now)) {
            return Err(Refused::NoActiveSecret);
        }
        let urls = self.urls(request)?;
        self.check_each(Round { check: self, request, algorithm, held, urls: &urls, now }, witness)
    }

    /// What the first secret in force makes of a text, in the scheme's encoding; none for public keys.
    pub(super) fn sign(&self, text: &[&[u8]], now: Timestamp) -> Option<String> {
        let held = self.held.iter().find(|held| held.is_active_at(Some(now)))?;
        let tag = held.tag(self.scheme.algorithm.all().next()?, text)?;
        Some(tag.encode(self.scheme.encoding))
    }

    /// A hash of the body that is signed instead of it must be right. Where there is none, the text itself must
    /// cover the body: else whoever has one signature could put another body under it.
    fn check_body(&self, request: &Reader<'_>, witness: &mut impl Witness) -> Result<(), Refused> {
        if let Some(hash) = &self.scheme.body_hash
            && let Some(claimed) = request.read(&hash.from)?
        {
            return check_body_hash(hash, &claimed, request, witness);
        }
        let is_covered = match self.coverage {
            Coverage::Any => true,
            Coverage::Forms => request.is_form(),
            Coverage::None => false,
        };
        match is_covered || request.request.body.is_empty() {
            true => Ok(()),
            false => Err(Refused::BodyNotCovered),
        }
    }

    fn algorithm(&self, request: &Reader<'_>, witness: &mut impl Witness) -> Result<Algorithm, Refused> {
        match &self.scheme.algorithm {
            AlgorithmField::One(one) => Ok(*one),
            AlgorithmField::ByField { from, default, map } => {
                let value = request.read(from)?.filter(|value| !value.is_empty());
                let value = value.as_deref().or(default.as_deref());
                witness.saw("algorithm", || format!("{from} is {value:?}"));
                let unknown = || Refused::AlgorithmUnknown { field: from.to_string() };
                value.and_then(|value| map.get(value)).copied().ok_or_else(unknown)
            }
        }
    }

    /// The keys that the provider publishes, where the route holds none itself.
    async fn published(&self, request: &Reader<'_>) -> Result<Vec<Held>, Refused> {
        let Some(source) = &self.scheme.keys else { return Ok(Vec::new()) };
        check_key_url(source, request)?;
        match self.held.is_empty() {
            true => Ok(self.fetch(source, request).await?.into_iter().map(Held::published).collect()),
            false => Ok(Vec::new()),
        }
    }

    async fn fetch(&self, _source: &KeySource, _request: &Reader<'_>) -> Result<Vec<PublicKey>, Refused> {
        let _keyring = &self.keyring;
        Err(Refused::NoActiveSecret)
    }

    fn tell_of_keys(&self, held: &[Held], now: Option<Timestamp>, witness: &mut impl Witness) {
        for idle in held.iter().filter(|held| !held.is_active_at(now)) {
            witness.saw("key", || format!("{} is not in force and not tried", idle.name()));
        }
    }

    /// Our URL as the provider may have written it. Without one in the config, as for `verify explain`, it is made
    /// of the host that was asked.
    fn urls(&self, request: &Reader<'_>) -> Result<Cow<'static, [String]>, Refused> {
        const NONE: &[String] = &[String::new()];
        if !self.uses_url {
            return Ok(Cow::Borrowed(NONE));
        }
        let (path, query) = (&request.request.path, request.request.query.as_deref());
        let url = match &self.url {
            Some(url) => url.of(path, query),
            None => {
                let missing = || Refused::FieldMissing { field: "header:host".to_owned() };
                let host = request.header(&http::header::HOST)?.ok_or_else(missing)?;
                let query = query.map_or(String::new(), |query| format!("?{query}"));
                format!("https://{host}{path}{query}")
            }
        };
        Ok(Cow::Owned(self.scheme.url_variants.of(url)))
    }

    /// The request as a whole or, where each item of a list is signed, every one of them.
    fn check_each(&self, round: Round<'_, '_>, witness: &mut impl Witness) -> Result<Option<usize>, Refused> {
        let Some(list) = &self.scheme.each else { return round.run(None, witness) };
        let items = round.request.json().and_then(|json| list.value(json, None)?.as_array());
        let items = items.map_or(0, Vec::len);
        witness.saw("list", || format!("{items} items at json:{list}, each to be signed"));
        let mut matched = Err(Refused::ListEmpty { list: format!("json:{list}") });
        for item in 0..items {
            matched = Ok(round.run(Some(item), witness)?);
        }
        matched
    }
}

fn check_requirement(
    requirement: &Requirement,
    request: &Reader<'_>,
    witness: &mut impl Witness,
) -> Result<(), Refused> {
    let Requirement { from, one_of, optional } = requirement;
    if one_of.is_empty() {
        witness.saw("requirement", || format!("{from} is not looked at: the route does not say what it must be"));
        return Ok(());
    }
    let value = request.read(from)?;
    witness.saw("requirement", || format!("{from} is {:?}, must be one of {one_of:?}", value.as_deref()));
    let holds = value.map_or(*optional, |value| one_of.iter().any(|wanted| *wanted == value));
    if holds { Ok(()) } else { Err(Refused::RequirementFailed { field: from.to_string() }) }
}

fn check_body_hash(
    hash: &BodyHash,
    claimed: &str,
    request: &Reader<'_>,
    witness: &mut impl Witness,
) -> Result<(), Refused> {
    let right = hash.hash.digest(&request.request.body);
    let claimed = hash.encoding.decode(claimed);
    let holds = claimed.is_some_and(|claimed| right.ct_eq(&claimed).into());
    witness.saw("body hash", || {
        format!("{} {} the body's", hash.from, if holds { "is" } else { "is not" })
    });
    if holds { Ok(()) } else { Err(Refused::BodyHashInvalid { field: hash.from.to_string() }) }
}

/// A request that names a URL for its keys must name one of the provider's, even where we hold the key already:
/// somebody behind us may go there.
fn check_key_url(source: &KeySource, request: &Reader<'_>) -> Result<(), Refused> {
    let Some(from) = &source.from else { return Ok(()) };
    let missing = || Refused::FieldMissing { field: from.to_string() };
    match source.permits(&request.read(from)?.ok_or_else(missing)?) {
        true => Ok(()),
        false => Err(Refused::RequirementFailed { field: from.to_string() }),
    }
}

impl Round<'_, '_> {
    /// Looks wherever a signature may be: the request's, or that of one item of its list.
    fn run(&self, item: Option<usize>, witness: &mut impl Witness) -> Result<Option<usize>, Refused> {
        let from = &self.check.scheme.signature.from;
        let mut refused = Refused::SignatureMissing { field: from.names() };
        for field in from.iter() {
            let Some(raw) = self.request.read_of(field, item)? else {
                witness.saw("signature", || format!("no {field}"));
                continue;
            };
            self.tell_of_signatures(field, &raw, witness);
            match self.check_place(&raw, item, witness) {
                Ok(matched) => return Ok(matched),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn tell_of_signatures(&self, field: &Field, raw: &str, witness: &mut impl Witness) {
        witness.saw("signature", || {
            let found = self.check.scheme.signature.parse.signatures(raw).count();
            format!("{field} holds {found} that may count, in {} bytes", raw.len())
        });
    }

    fn check_place(
        &self,
        raw: &str,
        item: Option<usize>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        let scheme = &self.check.scheme;
        if scheme.signature.parse.signatures(raw).all(str::is_empty) {
            return Err(self.malformed());
        }
        let time = match &scheme.timestamp {
            Some(field) => self.timestamp(field, raw, item)?,
            None => None,
        };
        let signed_at = match (&scheme.timestamp, &time) {
            (Some(field), Some(text)) => Some((field, field.parse(text)?)),
            _ => None,
        };
        let timestamp = time.as_deref().unwrap_or_default();
        if let Some((field, signed_at)) = signed_at {
            let age = || field.describe(signed_at, self.now);
            witness.saw("timestamp", || format!("{timestamp:?} in {}: {}", field.from, age()));
        }
        let context = Context {
            timestamp,
            item,
            signed_headers: scheme.signature.parse.fields(raw, "h").next(),
            ..Context::default()
        };
        let matched = self.match_any(raw, context, witness)?;
        // Last, so that "stale" is only ever said of a request that was genuine once.
        signed_at.zip(self.now).map_or(Ok(()), |((field, signed_at), now)| field.judge(signed_at, now))?;
        Ok(matched)
    }

    fn timestamp<'a>(
        &'a self,
        field: &'a TimestampField,
        raw: &'a str,
        item: Option<usize>,
    ) -> Result<Option<Cow<'a, str>>, Refused> {
        let found = match &field.from {
            TimestampSource::Field(place) => self.request.read_of(place, item)?,
            TimestampSource::Signature(name) => {
                let mut values = self.check.scheme.signature.parse.fields(raw, name);
                let value = values.next().map(Cow::Borrowed);
                if values.next().is_some() {
                    return Err(Refused::Repeated { field: field.from.to_string() });
                }
                value
            }
        };
        match found {
            None if !field.optional => Err(Refused::TimestampMissing { field: field.from.to_string() }),
            found => Ok(found),
        }
    }

    /// Tries every text that may have been signed.
    fn match_any(
        &self,
        raw: &str,
        context: Context<'_>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        let (mut best, mut incomplete) = (None, None);
        for url in self.urls {
            for template in self.check.scheme.signed.iter() {
                let context = Context { url, ..context };
                witness.saw("signed text", || template.describe(self.request, context));
                match self.match_text(template, raw, context, witness) {
                    Ok((Match::Yes, matched)) => return Ok(matched),
                    Ok((outcome, _)) => best = best.max(Some(outcome)),
                    Err(refused) => incomplete = Some(refused),
                }
            }
        }
        Err(match best {
            Some(Match::No | Match::Yes) => Refused::SignatureInvalid,
            Some(Match::Malformed) => self.malformed(),
            None => incomplete.unwrap_or(Refused::SignatureInvalid),
        })
    }

    /// Tries every key in force on one text.
    fn match_text(
        &self,
        template: &Template,
        raw: &str,
        context: Context<'_>,
        witness: &mut impl Witness,
    ) -> Result<(Match, Option<usize>), Refused> {
        let scheme = &self.check.scheme;
        let mut text = template.render(self.request, context)?;
        let mut best = Match::Malformed;
        for held in self.held.iter().filter(|held| held.is_active_at(self.now)) {
            if template.uses_secret() {
                text = template.render(self.request, Context { secret: held.expose(), ..context })?;
            }
            let (algorithm, parse) = (self.algorithm, &scheme.signature.parse);
            let signed = Signed { algorithm, text: &text, raw, parse, encoding: scheme.encoding };
            best = best.max(held.compare(signed, witness));
            if best == Match::Yes {
                return Ok((best, held.index()));
            }
        }
        Ok((best, None))
    }

    fn malformed(&self) -> Refused {
        Refused::SignatureMalformed { field: self.check.scheme.signature.from.names() }
    }
}
