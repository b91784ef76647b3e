//! A scheme in words.

use crate::verify::scheme::{
    Algorithm, AlgorithmField, BodyBinding, Derive, Encoding, Family, Field, Fields, Handshake,
    HttpSignatureScheme, JwsAlgorithm, JwsScheme, KeyEncoding, KeyField, Needs, Parse, Required, Respond,
    Scheme, SignatureField, SignatureScheme, TimestampField, TimestampSource, TimestampUnit, TokenScheme,
    Tolerance,
};

/// The proof's kind in a few letters, e.g. `HMAC-SHA256`.
pub(crate) fn family(scheme: &Scheme) -> String {
    match &scheme.family {
        Family::Signature(signature) => algorithms(&signature.algorithm).join(" / "),
        Family::Jws(jws) => format!("JWS {}", names(&jws.algs, jws_algorithm).join(" / ")),
        Family::Token(_) => "token".to_owned(),
        Family::Basic(_) => "user and password".to_owned(),
        Family::Rfc9421(http) => format!("RFC 9421 {}", algorithm(http.algorithm)),
        Family::None {} => "none".to_owned(),
    }
}

/// What a route has to say beside the preset's name: the keys of `verify`.
pub(crate) fn needs(scheme: &Scheme) -> Vec<String> {
    let proof = match scheme.needs() {
        Needs::Nothing => None,
        Needs::Secrets => Some("secrets"),
        Needs::LearnedSecrets => Some("secrets (or handed over)"),
        Needs::PublicKeys => Some("public key"),
        Needs::PublishedKeys => Some("published keys"),
    };
    let needed = scheme.common.vars.iter().filter(|(_, var)| !var.optional && var.default.is_empty());
    let vars = needed.map(|(name, _)| format!("vars.{name}"));
    let url = scheme.signs_url().then(|| "url".to_owned());
    proof.map(str::to_owned).into_iter().chain(vars).chain(url).collect()
}

/// Whether a changed body would be noticed by the check itself.
pub(crate) fn covers_body(scheme: &Scheme) -> bool {
    match &scheme.family {
        Family::Signature(signature) => signature.signs_body,
        Family::Jws(jws) => {
            let binds = |body: &BodyBinding| body.required != Required::Never;
            jws.detached.is_some() || jws.body_hash.as_ref().is_some_and(binds)
        }
        Family::Rfc9421(http) => http.components.iter().any(|component| component == "content-digest"),
        Family::Token(_) | Family::Basic(_) | Family::None {} => false,
    }
}

/// How a request is proven, a sentence each.
pub(crate) fn proof(scheme: &Scheme) -> Vec<String> {
    let mut said = match &scheme.family {
        Family::Signature(signature) => of_signature(signature),
        Family::Jws(jws) => of_jws(jws),
        Family::Token(token) => of_token(token),
        Family::Basic(_) => {
            vec![
                "`authorization: Basic` carries user and password; the secret is `user:password`.".to_owned(),
            ]
        }
        Family::Rfc9421(http) => of_http(http),
        Family::None {} => vec!["Nothing proves a request: anybody could have sent it.".to_owned()],
    };
    said.push(body(scheme));
    said
}

/// Where the delivery id and the event type are.
pub(crate) fn details(scheme: &Scheme) -> Vec<String> {
    let said = |what: &str, fields: &Fields| match fields.is_empty() {
        true => format!("{what}: none that Sluice could read."),
        false => format!("{what}: {}.", places(fields)),
    };
    vec![said("Delivery id", &scheme.common.id), said("Event type", &scheme.common.event_type)]
}

/// What is answered to events.
pub(crate) fn answer(scheme: &Scheme) -> String {
    let Respond { status, body, refused, .. } = &scheme.common.respond;
    let with = body.as_ref().map_or_else(String::new, |body| format!(" and `{body}`"));
    let status = status.unwrap_or(if body.is_some() { 200 } else { 202 });
    format!(
        "An event is answered with {status}{with}, a request that is not proven with {}.",
        refused.unwrap_or(401)
    )
}

/// What is answered without becoming an event.
pub(crate) fn handshakes(scheme: &Scheme) -> impl Iterator<Item = String> {
    scheme.common.handshake.iter().map(handshake)
}

fn handshake(handshake: &Handshake) -> String {
    let Handshake { about, method, proven, learn, confirm, .. } = handshake;
    let mut said = format!("{method}: {about}");
    if *proven {
        said += "; it must be proven as events are";
    }
    if learn.is_some() {
        said += "; the secret that it hands us is kept and used";
    }
    if let Some(confirm) = confirm {
        said += &format!("; confirmed by calling the URL in {}", place(&confirm.from));
    }
    said + "."
}

fn of_signature(scheme: &SignatureScheme) -> Vec<String> {
    let texts: Vec<_> = scheme.signed.iter().map(|text| format!("`{text}`")).collect();
    let encoding = encoding(scheme.encoding);
    let algorithms = algorithms(&scheme.algorithm).join(" or ");
    let mut said = vec![
        format!("{algorithms} of {}.", texts.join(" or ")),
        format!(
            "The signature is in {}, {}, in {encoding}.",
            places(&scheme.signature.from),
            written(&scheme.signature)
        ),
        key(&scheme.key, scheme.algorithm.is_asymmetric()),
    ];
    if let AlgorithmField::ByField { from, .. } = &scheme.algorithm {
        said.push(format!("{} says which algorithm it is.", capital(&place(from))));
    }
    said.extend(
        scheme.each.as_ref().map(|list| format!("Every item of `{list}` carries a signature of its own.")),
    );
    said.push(time(scheme.timestamp.as_ref()));
    if let Some(hash) = &scheme.body_hash {
        said.push(format!("The text covers {}: the body's {}.", place(&hash.from), derive(hash.hash)));
    }
    said.extend(scheme.require.iter().map(|requirement| {
        let values: Vec<_> = requirement.one_of.iter().map(|value| format!("`{value}`")).collect();
        format!("{} must be {}.", capital(&place(&requirement.from)), values.join(" or "))
    }));
    said.extend(scheme.keys.as_ref().map(|keys| published(&keys.hosts)));
    said
}

fn written(signature: &SignatureField) -> String {
    match &signature.parse {
        Parse::Raw => "alone".to_owned(),
        Parse::Prefix { prefix } => format!("behind `{prefix}`"),
        Parse::Csv { sep, prefix, first_field } => {
            let first = if first_field.is_some() { ", the first item of which is the time" } else { "" };
            format!("as `{prefix}SIGNATURE`, several apart by `{sep}`{first}")
        }
        Parse::Versions { version, sep, ver_sep } => {
            let apart = if *sep == ' ' { "a blank".to_owned() } else { format!("`{sep}`") };
            format!("as `{version}{ver_sep}SIGNATURE`, several apart by {apart}")
        }
        Parse::Kv { pair_sep, kv_sep, field } => {
            format!("as `{field}{kv_sep}SIGNATURE` among fields apart by `{pair_sep}`")
        }
    }
}

fn key(key: &KeyField, is_public: bool) -> String {
    let what = if is_public { "public key" } else { "secret" };
    let from = match key.encoding {
        KeyEncoding::Utf8 if is_public => return "The key is the sender's public key.".to_owned(),
        KeyEncoding::Utf8 => format!("the {what}'s text as it is"),
        KeyEncoding::Utf8Nfkd => format!("the {what}'s text in Unicode's form KD"),
        KeyEncoding::Hex => format!("the {what} decoded from hex"),
        KeyEncoding::Base64 => format!("the {what} decoded from base64"),
    };
    let prefixes: Vec<_> = key.strip_prefix.iter().map(|prefix| format!("`{prefix}`")).collect();
    let without = match prefixes.is_empty() {
        true => String::new(),
        false => format!(", without {} before it", prefixes.join(" or ")),
    };
    let suffix =
        if key.suffix.is_empty() { String::new() } else { format!(", with `{}` behind it", key.suffix) };
    let hashed = key.derive.map_or_else(String::new, |hash| format!(", hashed with {}", derive(hash)));
    format!("The key is {from}{without}{suffix}{hashed}.")
}

fn time(timestamp: Option<&TimestampField>) -> String {
    let Some(field) = timestamp else {
        return "No time is signed: a request that was caught can be sent again, which only dedupe notices."
            .to_owned();
    };
    let from = match &field.from {
        TimestampSource::Field(from) => place(from),
        TimestampSource::Signature(name) => format!("the signature's field `{name}`"),
    };
    let unit = match field.unit {
        TimestampUnit::S => "in seconds since 1970",
        TimestampUnit::Ms => "in milliseconds since 1970",
        TimestampUnit::Iso8601 => "as RFC 3339",
    };
    let optional = if field.optional { ", if there is one" } else { "" };
    format!("The time of signing is in {from}, {unit}{optional}: {}.", tolerances(field))
}

fn tolerances(field: &TimestampField) -> String {
    match (field.past, field.future.unwrap_or(field.past)) {
        (Tolerance::Seconds(past), Tolerance::Seconds(future)) if past == future => {
            format!("at most {past} s from ours")
        }
        (Tolerance::Seconds(past), Tolerance::Seconds(future)) => {
            format!("at most {past} s old and {future} s ahead of ours")
        }
        (Tolerance::Seconds(past), Tolerance::Unlimited(_)) => format!("at most {past} s old"),
        (Tolerance::Unlimited(_), Tolerance::Seconds(future)) => {
            format!("however old, at most {future} s ahead of ours")
        }
        (Tolerance::Unlimited(_), Tolerance::Unlimited(_)) => "signed, but not limited".to_owned(),
    }
}

fn of_jws(scheme: &JwsScheme) -> Vec<String> {
    let algorithms = names(&scheme.algs, jws_algorithm).join(", ");
    let behind = match (scheme.prefix.is_empty(), scheme.prefix_optional) {
        (true, _) => String::new(),
        (false, true) => format!(", with or without `{}` before it", scheme.prefix),
        (false, false) => format!(", behind `{}`", scheme.prefix),
    };
    let mut said = vec![format!("A JSON Web Signature ({algorithms}) in {}{behind}.", place(&scheme.from))];
    if scheme.algs.iter().all(|alg| alg.is_keyed()) {
        said.push(key(&scheme.key, false));
    }
    for (claim, values) in &scheme.claims {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        said.push(format!("The claim `{claim}` must be {}.", values.join(" or ")));
    }
    if !scheme.require_claims.is_empty() {
        said.push(format!("It must have the claims `{}`.", scheme.require_claims.join("`, `")));
    }
    said.extend(scheme.max_age.map(|age| format!("Its `iat` must be at most {age} s from ours.")));
    said.extend(scheme.url_hash.as_ref().map(|url| {
        format!(
            "The claim `{}` is the {} of our URL, in {}.",
            url.claim,
            derive(url.hash),
            encoding(url.encoding)
        )
    }));
    said.extend(scheme.body_hash.as_ref().map(|body| {
        let when = match body.required {
            Required::Always => "",
            Required::IfBody => ", where there is one",
            Required::Never => ", if the claim is there",
        };
        let (hash, encoding) = (derive(body.hash), encoding(body.encoding));
        format!("The claim `{}` is the {hash} of the body, in {encoding}{when}.", body.claim)
    }));
    said.extend(scheme.detached.as_ref().map(|detached| {
        format!("What it signs is made of `{}`, the headers that it lists and the body.", detached.head)
    }));
    said.extend(scheme.keys.as_ref().map(|keys| published(&keys.hosts)));
    said
}

fn of_token(scheme: &TokenScheme) -> Vec<String> {
    let behind = match (scheme.prefix.is_empty(), scheme.prefix_optional) {
        (true, _) => String::new(),
        (false, true) => format!(", with or without `{}` before it", scheme.prefix),
        (false, false) => format!(", behind `{}`", scheme.prefix),
    };
    let mut said = vec![format!("The secret itself is in {}{behind}.", places(&scheme.from))];
    said.extend(scheme.each.as_ref().map(|list| format!("Every item of `{list}` carries it.")));
    said
}

fn of_http(scheme: &HttpSignatureScheme) -> Vec<String> {
    let mut said = vec![
        format!("An HTTP Message Signature (RFC 9421), {}.", algorithm(scheme.algorithm)),
        format!("Its `created` must be at most {} s from ours.", scheme.max_age),
    ];
    if !scheme.components.is_empty() {
        said.push(format!("It must cover `{}`.", scheme.components.join("`, `")));
    }
    said
}

fn body(scheme: &Scheme) -> String {
    let says = match (&scheme.family, covers_body(scheme)) {
        (Family::None {}, _) => "",
        (Family::Rfc9421(_), false) => {
            "The body is covered where the signature covers `content-digest`; else it is protected by TLS only."
        }
        (_, true) => "The body is covered.",
        (_, false) => "The body is not covered: authentic sender; the body is protected by TLS only.",
    };
    says.to_owned()
}

fn published(hosts: &[String]) -> String {
    format!("The provider publishes its keys at {}; `public_keys` take their place.", hosts.join(", "))
}

/// The places in words, the first that is there counts.
pub(crate) fn places(fields: &Fields) -> String {
    fields.iter().map(place).collect::<Vec<_>>().join(" or ")
}

fn place(field: &Field) -> String {
    match field {
        Field::Header(name) => format!("header `{name}`"),
        Field::Query(name) => format!("query parameter `{name}`"),
        Field::Form(name) => format!("form field `{name}`"),
        Field::Json(pointer) => format!("JSON `{pointer}`"),
        Field::Var(name) => format!("the route's `vars.{name}`"),
        Field::Claim(name) => format!("claim `{name}`"),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn algorithms(field: &AlgorithmField) -> Vec<String> {
    let mut names: Vec<_> = match field {
        AlgorithmField::One(one) => vec![algorithm(*one).to_owned()],
        AlgorithmField::ByField { map, .. } => map.values().map(|one| algorithm(*one).to_owned()).collect(),
    };
    names.dedup();
    names
}

fn names<T: Copy>(list: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    list.iter().map(|one| name(*one)).collect()
}

fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacMd5 => "HMAC-MD5",
        Algorithm::HmacSha1 => "HMAC-SHA1",
        Algorithm::HmacSha256 => "HMAC-SHA256",
        Algorithm::HmacSha512 => "HMAC-SHA512",
        Algorithm::HashMd5 => "MD5 with the secret",
        Algorithm::HashSha1 => "SHA1 with the secret",
        Algorithm::HashSha256 => "SHA256 with the secret",
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::EcdsaP256Sha256 => "ECDSA P-256",
        Algorithm::EcdsaSecp256k1Sha256 => "ECDSA secp256k1",
        Algorithm::RsaPkcs1Sha1 => "RSA-SHA1",
        Algorithm::RsaPkcs1Sha256 => "RSA-SHA256",
        Algorithm::RsaPkcs1Sha512 => "RSA-SHA512",
        Algorithm::RsaPssSha512 => "RSA-PSS-SHA512",
    }
}

fn jws_algorithm(algorithm: JwsAlgorithm) -> &'static str {
    match algorithm {
        JwsAlgorithm::HS256 => "HS256",
        JwsAlgorithm::HS384 => "HS384",
        JwsAlgorithm::HS512 => "HS512",
        JwsAlgorithm::RS256 => "RS256",
        JwsAlgorithm::RS512 => "RS512",
        JwsAlgorithm::ES256 => "ES256",
        JwsAlgorithm::ES384 => "ES384",
        JwsAlgorithm::ES512 => "ES512",
    }
}

fn encoding(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
        Encoding::Base64url => "base64url",
    }
}

fn derive(hash: Derive) -> &'static str {
    match hash {
        Derive::Sha1 => "SHA1",
        Derive::Sha256 => "SHA256",
        Derive::Sha512 => "SHA512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::scheme::preset;

    #[track_caller]
    fn check(name: &str, sentences: &[&str]) {
        let scheme = &preset(name).unwrap().scheme;
        let said =
            [proof(scheme), details(scheme), vec![answer(scheme)], handshakes(scheme).collect()].concat();
        for sentence in sentences {
            assert!(said.iter().any(|line| line == sentence), "no `{sentence}` in\n{}", said.join("\n"));
        }
    }

    #[test]
    fn schemes_are_told_as_they_are() {
        check(
            "slack",
            &[
                "HMAC-SHA256 of `v0:{timestamp}:{body}`.",
                "The signature is in header `x-slack-signature`, behind `v0=`, in hex.",
                "The key is the secret's text as it is.",
                "The time of signing is in header `x-slack-request-timestamp`, in seconds since 1970: at most 300 s \
                 from ours.",
                "The body is covered.",
                "Delivery id: JSON `/event_id`.",
                "POST: Slack asks whether the URL is ours; it must be proven as events are.",
            ],
        );
        check("gocardless", &["An event is answered with 202, a request that is not proven with 498."]);
        check("mailgun", &["The body is not covered: authentic sender; the body is protected by TLS only."]);
        check("svix", &["The key is the secret decoded from base64, without `whsec_` before it."]);
    }

    #[test]
    fn only_what_binds_the_body_covers_it() {
        let covers = |name: &str| covers_body(&preset(name).unwrap().scheme);
        for name in ["github", "twilio", "plaid", "truelayer", "messagebird-jwt", "aws-sns"] {
            assert!(covers(name), "{name}");
        }
        for name in ["gitlab", "mailgun", "vonage-jwt", "monday", "postmark", "strava"] {
            assert!(!covers(name), "{name}");
        }
    }
}
