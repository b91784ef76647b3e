//! Checks a signature: any of those sent against any key in force.

use std::{borrow::Cow, sync::Arc};

use subtle::ConstantTimeEq;

use super::{
    Keyring, PublicUrl, Refused, Settings, Witness, canonical,
    held::{Held, Signed},
    hmac::Match,
    host,
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
        self.check_list(request)?;
        let algorithm = self.algorithm(request, witness)?;
        let published = self.published(request, now).await?;
        let held = if published.is_empty() { &self.held } else { &published };
        self.tell_of_keys(held, now, witness);
        if !held.iter().any(|held| held.is_active_at(now)) {
            return Err(Refused::NoActiveSecret);
        }
        let urls = self.urls(request)?;
        self.check_each(Round { check: self, request, algorithm, held, urls: &urls, now }, witness)
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

    /// Where a header lists what is signed, the time's header must be among it: else its time could be moved at will.
    fn check_list(&self, request: &Reader<'_>) -> Result<(), Refused> {
        let mut lists = self.scheme.signed.iter().filter_map(Template::header_list);
        let time = self.scheme.timestamp.as_ref().map(|field| &field.from);
        let (Some(list), Some(TimestampSource::Field(Field::Header(time)))) = (lists.next(), time) else {
            return Ok(());
        };
        match canonical::lists_header(request, list, time)? {
            true => Ok(()),
            false => Err(Refused::RequirementFailed { field: format!("header:{list}") }),
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
    async fn published(&self, request: &Reader<'_>, now: Option<Timestamp>) -> Result<Vec<Held>, Refused> {
        let Some(source) = &self.scheme.keys else { return Ok(Vec::new()) };
        if !self.held.is_empty() {
            return check_key_url(source, request).map(|()| Vec::new());
        }
        let keys = self.keyring.keys(source, request, None, now).await?;
        Ok(keys.iter().map(|published| Held::published(published.key.clone())).collect())
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
        witness.saw("requirement", || {
            format!("{from} is not looked at: the route does not say what it must be")
        });
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
    witness.saw("body hash", || format!("{} {} the body's", hash.from, if holds { "is" } else { "is not" }));
    if holds { Ok(()) } else { Err(Refused::BodyHashInvalid { field: hash.from.to_string() }) }
}

/// A request that names a URL for its keys must name one of the provider's, even where we hold the key already:
/// somebody behind us may go there.
fn check_key_url(source: &KeySource, request: &Reader<'_>) -> Result<(), Refused> {
    let Some(from) = &source.from else { return Ok(()) };
    let missing = || Refused::FieldMissing { field: from.to_string() };
    match host::permitted(&request.read(from)?.ok_or_else(missing)?, &source.hosts) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refused::RequirementFailed { field: from.to_string() }),
    }
}

impl Round<'_, '_> {
    /// Looks wherever a signature may be: the request's, or that of one item of its list.
    fn run(&self, item: Option<usize>, witness: &mut impl Witness) -> Result<Option<usize>, Refused> {
        let from = &self.check.scheme.signature.from;
        let mut refused = None;
        for field in from.iter() {
            let Some(raw) = self.request.read_of(field, item)? else {
                witness.saw("signature", || format!("no {field}"));
                continue;
            };
            self.tell_of_signatures(field, &raw, witness);
            match self.check_place(&raw, item, witness) {
                Ok(matched) => return Ok(matched),
                // Only said of a signature that is right: no other will be fresher.
                Err(late @ (Refused::TimestampStale { .. } | Refused::TimestampFuture { .. })) => {
                    return Err(late);
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| Refused::SignatureMissing { field: from.names() }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Secret,
        verify::{
            Unverified, Vars,
            hmac::Key,
            scheme::{Encoding, Family, KeyField, preset},
            tests::{ready, request},
        },
    };

    /// Writes down what it is told.
    #[derive(Default)]
    struct Notes {
        seen: Vec<String>,
        expected: Vec<String>,
    }

    impl Witness for Notes {
        fn saw(&mut self, what: &'static str, detail: impl FnOnce() -> String) {
            self.seen.push(format!("{what}: {}", detail()));
        }

        fn expected(&mut self, signature: impl FnOnce() -> String) {
            self.expected.push(signature());
        }
    }

    fn scheme(text: &str) -> SignatureScheme {
        toml::from_str(text).unwrap()
    }

    fn by_preset(name: &str) -> SignatureScheme {
        match &preset(name).unwrap().scheme.family {
            Family::Signature(scheme) => (**scheme).clone(),
            _ => panic!("{name} has no signature"),
        }
    }

    /// A route with these secrets, whose URL is `https://h.test`.
    fn route(scheme: &SignatureScheme, secrets: &[&str]) -> SignatureCheck {
        let secrets = secrets.iter().map(|secret| Secret::new(secret.as_bytes(), "test")).collect();
        let settings = Settings {
            url: Some("https://h.test".parse().unwrap()),
            ..Settings::new(preset("github").unwrap().scheme.clone(), secrets)
        };
        SignatureCheck::new(scheme, &settings, &Arc::default())
    }

    fn run(check: &SignatureCheck, request: &Unverified) -> Result<Option<usize>, &'static str> {
        noted(check, request).0
    }

    fn noted(check: &SignatureCheck, request: &Unverified) -> (Result<Option<usize>, &'static str>, Notes) {
        let (vars, mut notes) = (Vars::default(), Notes::default());
        let now = Some(request.received_at);
        let outcome = ready(check.check(&Reader::new(request, &vars), now, &mut notes));
        (outcome.map_err(|refused| refused.code()), notes)
    }

    fn tag(algorithm: Algorithm, key: &str, text: &str, encoding: Encoding) -> String {
        Key::of(algorithm, &KeyField::default(), key.as_bytes()).unwrap().tag(&[text]).encode(encoding)
    }

    fn put(request: &mut Unverified, name: &'static str, value: &str) {
        request.headers.insert(name, value.parse().unwrap());
    }

    fn with(headers: &[(&'static str, &str)], body: &str) -> Unverified {
        let mut request = request();
        headers.iter().for_each(|(name, value)| put(&mut request, name, value));
        request.body = body.to_owned().into();
        request
    }

    #[test]
    fn a_body_that_nothing_covers_is_refused() {
        let check = route(&by_preset("twilio"), &["k"]);
        let signature = tag(Algorithm::HmacSha1, "k", "https://h.test/in", Encoding::Base64);
        let signed = |kind, body| with(&[("x-twilio-signature", &signature), ("content-type", kind)], body);
        assert_eq!(run(&check, &signed("application/json", "")), Ok(Some(0)));
        assert_eq!(run(&check, &signed("application/json", "{}")), Err("body_not_covered"));
        assert_eq!(
            run(&check, &signed("application/x-www-form-urlencoded", "a=1")),
            Err("signature_invalid")
        );
        let mut unreadable = signed("application/x-www-form-urlencoded", "");
        unreadable.body = (&b"\xff"[..]).into();
        assert_eq!(run(&check, &unreadable), Err("body_not_covered"));
    }

    #[test]
    fn every_item_of_a_list_must_be_signed() {
        let check = route(
            &scheme(
                r#"
                algorithm = "hmac-sha256"
                signature = { from = "json:/items/*/sig" }
                signed = "{json:/items/*/id}:{json:/items/*/note?}"
                signs_body = false
                each = "/items"
                "#,
            ),
            &["k"],
        );
        let sign = |text: &str| tag(Algorithm::HmacSha256, "k", text, Encoding::Hex);
        let items = |items: &[(&str, &str)]| {
            let items: Vec<_> =
                items.iter().map(|(id, sig)| serde_json::json!({ "id": id, "sig": sig })).collect();
            with(&[], &serde_json::json!({ "items": items }).to_string())
        };
        assert_eq!(run(&check, &items(&[("a", &sign("a:")), ("b", &sign("b:"))])), Ok(Some(0)));
        assert_eq!(run(&check, &items(&[("a", &sign("a:")), ("b", &sign("a:"))])), Err("signature_invalid"));
        assert_eq!(run(&check, &items(&[("b", ""), ("a", &sign("a:"))])), Err("signature_malformed"));
        assert_eq!(run(&check, &items(&[])), Err("list_empty"));
        assert_eq!(run(&check, &with(&[], r#"{"items":{"id":"a"}}"#)), Err("list_empty"));
        assert_eq!(run(&check, &with(&[], "[")), Err("list_empty"));
    }

    #[test]
    fn the_algorithm_may_depend_on_a_field_and_only_those_listed_count() {
        let check = route(
            &scheme(
                r#"
                algorithm = { from = "header:x-alg", default = "1", map = { 1 = "hmac-sha1", 2 = "hmac-sha256" } }
                signature = { from = "header:x-sig" }
                signed = "{body}"
                "#,
            ),
            &["k"],
        );
        let sha1 = tag(Algorithm::HmacSha1, "k", "{}", Encoding::Hex);
        let sha256 = tag(Algorithm::HmacSha256, "k", "{}", Encoding::Hex);
        assert_eq!(run(&check, &with(&[("x-sig", &sha1)], "{}")), Ok(Some(0)));
        assert_eq!(run(&check, &with(&[("x-sig", &sha256), ("x-alg", "2")], "{}")), Ok(Some(0)));
        assert_eq!(run(&check, &with(&[("x-sig", &sha1), ("x-alg", "2")], "{}")), Err("signature_malformed"));
        assert_eq!(run(&check, &with(&[("x-sig", &sha1), ("x-alg", "3")], "{}")), Err("algorithm_unknown"));
    }

    #[test]
    fn any_text_and_any_place_may_match() {
        let check = route(
            &scheme(
                r#"
                algorithm = "hmac-sha256"
                signature = { from = ["header:x-new", "header:x-old"] }
                signed = ["{header:x-id}.{body}", "{body}"]
                "#,
            ),
            &["other", "k"],
        );
        let sign = |text: &str| tag(Algorithm::HmacSha256, "k", text, Encoding::Hex);
        let (whole, body) = (sign("7.{}"), sign("{}"));
        assert_eq!(run(&check, &with(&[("x-old", &whole), ("x-id", "7")], "{}")), Ok(Some(1)));
        assert_eq!(run(&check, &with(&[("x-old", &body), ("x-new", "zz")], "{}")), Ok(Some(1)));
        assert_eq!(run(&check, &with(&[("x-old", &whole)], "{}")), Err("signature_invalid"));
        assert_eq!(run(&check, &with(&[], "{}")), Err("signature_missing"));
    }

    #[test]
    fn a_timestamp_that_need_not_be_there_counts_where_it_is() {
        let check = route(
            &scheme(
                r#"
                algorithm = "hmac-sha256"
                signature = { from = "header:x-sig" }
                signed = "{timestamp}{body}"
                timestamp = { from = "header:x-time", optional = true }
                "#,
            ),
            &["k"],
        );
        let sign = |text: &str| tag(Algorithm::HmacSha256, "k", text, Encoding::Hex);
        assert_eq!(run(&check, &with(&[("x-sig", &sign("{}"))], "{}")), Ok(Some(0)));
        let late = with(&[("x-sig", &sign("17{}")), ("x-time", "17")], "{}");
        assert_eq!(run(&check, &late), Err("timestamp_stale"));
        let empty = with(&[("x-sig", &sign("{}")), ("x-time", "")], "{}");
        assert_eq!(run(&check, &empty), Err("timestamp_malformed"));
    }

    #[test]
    fn a_requirement_on_a_value_that_the_route_does_not_give_is_not_looked_at() {
        let signature = tag(Algorithm::HmacSha256, "k", "{}", Encoding::Hex);
        let check = route(&by_preset("pusher"), &["k"]);
        let (outcome, notes) = noted(&check, &with(&[("x-pusher-signature", &signature)], "{}"));
        assert_eq!(outcome, Ok(Some(0)));
        assert!(notes.seen[0].contains("header:x-pusher-key is not looked at"), "{}", notes.seen[0]);
    }

    #[test]
    fn a_witness_hears_everything_but_secrets() {
        let scheme = by_preset("hubspot-v1");
        let right = tag(Algorithm::HashSha256, "-", "sesame{}", Encoding::Hex);
        let wrong = with(&[("x-hubspot-signature", &right.replace(['0', '1'], "2"))], "{}");
        let (outcome, notes) = noted(&route(&scheme, &["sesame"]), &wrong);
        assert_eq!(outcome, Err("signature_invalid"));
        assert_eq!(notes.expected, std::slice::from_ref(&right));
        let told = notes.seen.join("\n");
        assert!(told.contains("`{secret}{body}`, 2 bytes and the secret"), "{told}");
        assert!(told.contains("secret 1 (test) does not match"), "{told}");
        assert!(!told.contains("sesame") && !told.contains(&right), "{told}");
    }

    #[test]
    fn a_list_of_headers_must_name_the_times() {
        let scheme = by_preset("contentful");
        let settings =
            Settings::new(preset("contentful").unwrap().scheme.clone(), vec![Secret::new(*b"k", "test")]);
        let check = SignatureCheck::new(&scheme, &settings, &Arc::default());
        let outcome = |list: &str, canonical: &str| {
            let text = format!("POST\n/in\n{canonical}\n{{}}");
            let signature = tag(Algorithm::HmacSha256, "k", &text, Encoding::Hex);
            let headers = [
                ("x-contentful-signature", &*signature),
                ("x-contentful-signed-headers", list),
                ("x-contentful-timestamp", "1700000000000"),
            ];
            run(&check, &with(&headers, "{}"))
        };
        let listed = outcome("x-contentful-timestamp", "x-contentful-timestamp:1700000000000");
        assert_eq!(listed, Ok(Some(0)));
        assert_eq!(outcome("host", "host:hooks.test"), Err("requirement_failed"));
    }

    #[test]
    fn without_a_configured_url_that_of_the_request_is_taken() {
        let scheme = by_preset("square");
        let settings =
            Settings::new(preset("square").unwrap().scheme.clone(), vec![Secret::new(*b"k", "test")]);
        let check = SignatureCheck::new(&scheme, &settings, &Arc::default());
        let signature = tag(Algorithm::HmacSha256, "k", "https://hooks.test/in?a=1{}", Encoding::Base64);
        let mut request = with(&[("x-square-hmacsha256-signature", &signature)], "{}");
        request.query = Some("a=1".to_owned());
        assert_eq!(run(&check, &request), Ok(Some(0)));
    }
}
