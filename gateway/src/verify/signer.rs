//! Signs a request the way a provider does: the other end of [`Verifier`](super::Verifier).

use http::{HeaderName, HeaderValue};

use super::{
    Refused, Unverified,
    hmac::Key,
    reader::Reader,
    scheme::{
        Family, Field, Fields, Scheme, SignatureScheme, TimestampField, TimestampSource, TimestampUnit,
    },
    template::Context,
    vars::Vars,
};
use crate::clock::Timestamp;

/// Makes requests that a route with the same scheme and secret lets in.
pub struct Signer<'s> {
    scheme: &'s Scheme,
    secret: &'s [u8],
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    #[error("the secret cannot be used: {0}")]
    Secret(String),
    #[error("the signature goes into `{field}`, which is not a header")]
    NotAHeader { field: String },
    #[error("`{field}` cannot hold this value")]
    Value { field: String },
    #[error("the request lacks something that is signed")]
    Incomplete(#[source] Refused),
}

impl<'s> Signer<'s> {
    /// # Errors
    /// [`SignError::Secret`] if the scheme cannot use the secret.
    pub fn new(scheme: &'s Scheme, secret: &'s [u8]) -> Result<Self, SignError> {
        scheme.check_secret(secret).map_err(SignError::Secret)?;
        Ok(Self { scheme, secret })
    }

    /// Adds the headers that prove the request, as sent at its `received_at`. Its id, and the type if there is
    /// one, go into the headers that the scheme reads them from, unless they are there already.
    ///
    /// # Errors
    /// When a value does not fit into its place.
    pub fn sign(&self, request: &mut Unverified, event_type: Option<&str>) -> Result<(), SignError> {
        let (id, types) = (&self.scheme.common.id, &self.scheme.common.event_type);
        put_detail(request, id, &request.id.to_string())?;
        if let Some(event_type) = event_type {
            put_detail(request, types, event_type)?;
        }
        match &self.scheme.family {
            Family::Signature(scheme) => self.sign_with(scheme, request),
            Family::Jws(_) | Family::Basic(_) | Family::Rfc9421(_) | Family::None {} => {
                Err(SignError::Secret("this scheme cannot be signed yet".to_owned()))
            }
            Family::Token(scheme) => {
                let mut token = scheme.prefix.clone().into_bytes();
                token.extend_from_slice(self.secret);
                let place = scheme.from.iter().next();
                place.map_or(Ok(()), |place| put(request, place, &token))
            }
        }
    }

    fn sign_with(&self, scheme: &SignatureScheme, request: &mut Unverified) -> Result<(), SignError> {
        let time = scheme.timestamp.as_ref().map(|field| (field, field.write(request.received_at)));
        let mut beside = None;
        if let Some((field, text)) = &time {
            match &field.from {
                TimestampSource::Field(place) => put(request, place, text.as_bytes())?,
                TimestampSource::Signature(name) => beside = Some((name.as_str(), text.as_str())),
            }
        }
        let key = Key::new(scheme, self.secret).map_err(|e| SignError::Secret(e.to_string()))?;
        let text = time.as_ref().map_or("", |(_, text)| text);
        let signature = {
            let vars = Vars::default();
            let reader = Reader::new(request, &vars);
            let template =
                scheme.signed.iter().next().ok_or(SignError::Incomplete(Refused::SignatureInvalid))?;
            let context = Context { timestamp: text, ..Context::default() };
            let pieces = template.render(&reader, context).map_err(SignError::Incomplete)?;
            scheme.signature.parse.write(&key.tag(&pieces).encode(scheme.encoding), beside)
        };
        let place = scheme.signature.from.iter().next();
        place.map_or(Ok(()), |place| put(request, place, signature.as_bytes()))
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

/// Puts a value into the first header that the scheme reads it from. In the body it is the caller's business.
fn put_detail(request: &mut Unverified, fields: &Fields, value: &str) -> Result<(), SignError> {
    let header = fields.iter().find_map(|field| match field {
        Field::Header(name) => Some(name),
        Field::Query(_) | Field::Form(_) | Field::Json(_) | Field::Var(_) | Field::Claim(_) => None,
    });
    match header {
        Some(name) if !request.headers.contains_key(name) => put_header(request, name, value.as_bytes()),
        _ => Ok(()),
    }
}

fn put(request: &mut Unverified, place: &Field, value: &[u8]) -> Result<(), SignError> {
    match place {
        Field::Header(name) => put_header(request, name, value),
        Field::Query(_) | Field::Form(_) | Field::Json(_) | Field::Var(_) | Field::Claim(_) => {
            Err(SignError::NotAHeader { field: place.to_string() })
        }
    }
}

fn put_header(request: &mut Unverified, name: &HeaderName, value: &[u8]) -> Result<(), SignError> {
    let value = HeaderValue::from_bytes(value).map_err(|_| SignError::Value { field: name.to_string() })?;
    request.headers.insert(name, value);
    Ok(())
}
