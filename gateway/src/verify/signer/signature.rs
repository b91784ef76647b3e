//! Signs a text made from the request.

use http::{HeaderName, header::DATE};

use super::{
    SignError, Signer,
    placing::{has, is_form, items, put, put_time, wrap_in_form},
};
use crate::{
    clock::Timestamp,
    verify::{
        Refused, Unverified,
        hmac::{Key, decode_key},
        reader::Reader,
        scheme::{
            BodyHash, Derive, Encoding, Family, Field, Parse, SignatureScheme, Template, TimestampField,
            TimestampSource, TimestampUnit,
        },
        template::{Context, Part},
    },
};

impl Signer<'_> {
    /// Puts a signature into the first place that the scheme reads one from, and before it what it covers.
    pub(super) fn sign_text(
        &self,
        scheme: &SignatureScheme,
        request: &mut Unverified,
        event_type: Option<&str>,
    ) -> Result<(), SignError> {
        let nothing = || SignError::Incomplete(Refused::SignatureInvalid);
        let template = scheme.signed.iter().next().ok_or_else(nothing)?;
        let place = scheme.signature.from.iter().next().ok_or_else(nothing)?;
        let only_forms = template.parts().contains(&Part::FormConcat) && scheme.body_hash.is_none();
        if only_forms && !is_form(request) && !request.body.is_empty() {
            return Err(SignError::NotAForm { field: template.to_string() });
        }
        let time = scheme.timestamp.as_ref().map(|field| (field, field.write(request.received_at)));
        for item in items(request, scheme.each.as_ref()) {
            self.complete(template, request, item, event_type)?;
        }
        if let Some((TimestampField { from: TimestampSource::Field(place), .. }, text)) = &time {
            put_time(request, place, text)?;
        }
        self.meet(scheme, request)?;
        if let Some(hash) = &scheme.body_hash {
            put_body_hash(hash, request)?;
        }
        for item in items(request, scheme.each.as_ref()) {
            let text = time.as_ref().map_or("", |(_, text)| text.as_str());
            let signature = self.signature(scheme, template, request, text, item)?;
            let written = self.written(scheme, template, &signature, time.as_ref(), request);
            put(request, place, item, &written)?;
        }
        Ok(())
    }

    /// Gives the request what the text needs and it lacks.
    fn complete(
        &self,
        template: &Template,
        request: &mut Unverified,
        item: Option<usize>,
        event_type: Option<&str>,
    ) -> Result<(), SignError> {
        for part in template.parts() {
            match part {
                Part::Field { field: Field::Form(name), .. } => wrap_in_form(request, name),
                Part::Field { field: Field::Var(_), .. } => {}
                Part::Field { field, optional: false } if !has(request, field, item) => {
                    let value = self.value_for(field, request, event_type);
                    put(request, field, item, &value)?;
                }
                Part::ListedHeaders(list) if !request.headers.contains_key(list) => {
                    put(request, &Field::Header(list.clone()), item, &self.listed(list))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A list of headers: itself, and the time's where a header has it.
    fn listed(&self, list: &HeaderName) -> String {
        let Family::Signature(scheme) = &self.scheme.family else { return list.to_string() };
        match scheme.timestamp.as_ref().map(|field| &field.from) {
            Some(TimestampSource::Field(Field::Header(time))) => format!("{list},{time}"),
            _ => list.to_string(),
        }
    }

    /// What a provider would have there: the id, the type, or else the time.
    fn value_for(&self, field: &Field, request: &Unverified, event_type: Option<&str>) -> String {
        let common = &self.scheme.common;
        match field {
            field if common.id.iter().any(|id| id == field) => request.id.to_string(),
            field if common.event_type.iter().any(|types| types == field) => {
                event_type.unwrap_or("test").to_owned()
            }
            Field::Header(name) if *name == DATE => httpdate::fmt_http_date(request.received_at.into()),
            _ => request.received_at.as_secs().to_string(),
        }
    }

    /// Gives the request what else must be so, such as a version.
    fn meet(&self, scheme: &SignatureScheme, request: &mut Unverified) -> Result<(), SignError> {
        for requirement in &scheme.require {
            let mut values = requirement.one_of.iter().flat_map(|value| self.vars.expand(value));
            if let Some(value) = values.next()
                && !has(request, &requirement.from, None)
            {
                put(request, &requirement.from, None, &value)?;
            }
        }
        Ok(())
    }

    fn signature(
        &self,
        scheme: &SignatureScheme,
        template: &Template,
        request: &Unverified,
        timestamp: &str,
        item: Option<usize>,
    ) -> Result<String, SignError> {
        let url = if template.uses_url() { self.url_of(request)? } else { String::new() };
        let key = match self.private {
            Some(_) => Vec::new(),
            None => decode_key(&scheme.key, self.secret).map_err(|e| SignError::Secret(e.to_string()))?,
        };
        let names = covered_header(request);
        let reader = Reader::new(request, &self.vars);
        let context =
            Context { timestamp, url: &url, secret: &key, signed_headers: Some(names.as_str()), item };
        let pieces = template.render(&reader, context).map_err(SignError::Incomplete)?;
        Ok(match &self.private {
            Some(pair) => encode(scheme.encoding, pair.sign(&pieces.concat()).as_ref()),
            None => {
                let key = Key::new(scheme, self.secret).map_err(|e| SignError::Secret(e.to_string()))?;
                key.tag(&pieces).encode(scheme.encoding)
            }
        })
    }

    /// A signature as it stands in its place, with what stands beside it.
    fn written(
        &self,
        scheme: &SignatureScheme,
        template: &Template,
        signature: &str,
        time: Option<&(&TimestampField, String)>,
        request: &Unverified,
    ) -> String {
        let beside = time.and_then(|(field, text)| match &field.from {
            TimestampSource::Signature(name) => Some((name.as_str(), text.as_str())),
            TimestampSource::Field(_) => None,
        });
        let parse = self.filled_in(&scheme.signature.parse);
        let written = parse.write(signature, beside);
        match &parse {
            Parse::Kv { pair_sep, kv_sep, .. } if template.parts().contains(&Part::SignedHeaders) => {
                format!("h{kv_sep}{}{pair_sep}{written}", covered_header(request))
            }
            _ => written,
        }
    }

    fn filled_in(&self, parse: &Parse) -> Parse {
        let mut parse = parse.clone();
        if let Parse::Kv { field, .. } = &mut parse
            && let Some(value) = self.vars.expand(field).into_iter().next()
        {
            *field = value;
        }
        parse
    }
}

/// The header that is covered where the signature says which are: one that every request has.
fn covered_header(request: &Unverified) -> HeaderName {
    let first = request.headers.keys().find(|name| request.headers.get_all(*name).iter().count() == 1);
    first.cloned().unwrap_or(http::header::HOST)
}

fn put_body_hash(hash: &BodyHash, request: &mut Unverified) -> Result<(), SignError> {
    if is_form(request) {
        return Ok(());
    }
    let value = encode(hash.encoding, &digest(hash.hash, &request.body));
    put(request, &hash.from, None, &value)
}

pub(super) fn digest(hash: Derive, bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    match hash {
        Derive::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
        Derive::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
        Derive::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
    }
}

pub(super) fn encode(encoding: Encoding, bytes: &[u8]) -> String {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    match encoding {
        Encoding::Hex => hex::encode(bytes),
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Base64url => URL_SAFE_NO_PAD.encode(bytes),
    }
}

impl TimestampField {
    fn write(&self, time: Timestamp) -> String {
        match self.unit {
            TimestampUnit::S => time.as_secs().to_string(),
            TimestampUnit::Ms => time.as_millis().to_string(),
            TimestampUnit::Iso8601 => time.to_string(),
        }
    }
}
