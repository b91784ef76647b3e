//! Signs a request the way a provider does: the other end of [`Verifier`](super::Verifier).

use ring::signature::Ed25519KeyPair;

use super::{
    PublicUrl, Refused, Unverified, Vars,
    scheme::{Algorithm, AlgorithmField, Family, Field, Fields, Scheme},
};
use placing::{put, put_header};

mod http_signature;
mod jws;
mod placing;
mod seed;
mod signature;

/// Makes requests that a route with the same scheme and secret lets in.
pub struct Signer<'s> {
    scheme: &'s Scheme,
    secret: &'s [u8],
    /// For schemes of public keys: the private one, made of the secret.
    private: Option<Ed25519KeyPair>,
    vars: Vars,
    url: Option<PublicUrl>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    #[error("only the provider can sign: {0}")]
    OnlyTheProvider(&'static str),
    #[error("the secret cannot be used: {0}")]
    Secret(String),
    #[error("`{field}` cannot hold this value")]
    Value { field: String },
    #[error("the signature goes into `{field}`, and the body is not JSON that has room for it")]
    NotJson { field: String },
    #[error("`{field}` is of a form, and the body is none: its `content-type` says which it is")]
    NotAForm { field: String },
    #[error("`{field}` is no place in a request")]
    NotAPlace { field: String },
    #[error("the provider signs the URL that it knows us by, and none is given")]
    NoUrl,
    #[error("the request lacks something that is signed")]
    Incomplete(#[source] Refused),
}

/// Whether whoever has the secret can sign.
///
/// # Errors
/// Why not.
pub(super) fn can_sign(scheme: &Scheme) -> Result<(), SignError> {
    const RSA: &str = "RSA signatures need its private key";
    const ECDSA: &str = "ECDSA signatures need its private key";
    const PUBLISHED: &str = "it publishes the public half of a key that only it has";
    let reason = match &scheme.family {
        Family::Signature(signature) if signature.keys.is_some() => PUBLISHED,
        Family::Signature(signature) => match signature.algorithm {
            AlgorithmField::One(algorithm) => return can_sign_with(algorithm),
            AlgorithmField::ByField { .. } => "the request chooses the algorithm",
        },
        Family::Rfc9421(http) => return can_sign_with(http.algorithm),
        Family::Jws(jws) if jws.keys.is_some() => PUBLISHED,
        Family::Jws(jws) if jws.algs.iter().all(|alg| alg.is_keyed()) && jws.detached.is_none() => {
            return Ok(());
        }
        Family::Jws(_) => ECDSA,
        Family::Token(_) | Family::Basic(_) => return Ok(()),
        Family::None {} => "it proves nothing, so there is nothing to sign with",
    };
    return Err(SignError::OnlyTheProvider(reason));

    fn can_sign_with(algorithm: Algorithm) -> Result<(), SignError> {
        match algorithm {
            Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaSecp256k1Sha256 => {
                Err(SignError::OnlyTheProvider(ECDSA))
            }
            Algorithm::RsaPkcs1Sha1
            | Algorithm::RsaPkcs1Sha256
            | Algorithm::RsaPkcs1Sha512
            | Algorithm::RsaPssSha512 => Err(SignError::OnlyTheProvider(RSA)),
            Algorithm::HmacMd5
            | Algorithm::HmacSha1
            | Algorithm::HmacSha256
            | Algorithm::HmacSha512
            | Algorithm::HashMd5
            | Algorithm::HashSha1
            | Algorithm::HashSha256
            | Algorithm::Ed25519 => Ok(()),
        }
    }
}

impl<'s> Signer<'s> {
    /// The secret is what a route has under `secrets`; for Ed25519 it is the private key: its seed in hex, or in
    /// base64 behind `whsk_`.
    ///
    /// # Errors
    /// [`SignError::OnlyTheProvider`] if no secret is enough; [`SignError::Secret`] if the scheme cannot use this one.
    pub fn new(scheme: &'s Scheme, secret: &'s [u8]) -> Result<Self, SignError> {
        can_sign(scheme)?;
        let private = match seed::is_needed(scheme) {
            true => Some(seed::key_pair(secret)?),
            false => {
                scheme.check_secret(secret).map_err(SignError::Secret)?;
                None
            }
        };
        Ok(Self { scheme, secret, private, vars: Vars::default(), url: None })
    }

    /// With the values that the route gives the scheme.
    pub fn with_vars(self, vars: Vars) -> Self {
        Self { vars, ..self }
    }

    /// With the URL that the provider knows us by.
    pub fn with_url(self, url: Option<PublicUrl>) -> Self {
        Self { url, ..self }
    }

    /// Adds what proves the request, as sent at its `received_at`: headers for most schemes; for some also to the query
    /// or the body, which is then written anew. Its id, and the type if there is one, go into the headers that the
    /// scheme reads them from, unless they are there already.
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
            Family::Signature(scheme) => self.sign_text(scheme, request, event_type),
            Family::Jws(scheme) => self.sign_claims(scheme, request),
            Family::Rfc9421(scheme) => self.sign_message(scheme, request),
            Family::Basic(_) => {
                let value = format!("Basic {}", base64(self.secret));
                put_header(request, &http::header::AUTHORIZATION, value.as_bytes())
            }
            Family::Token(scheme) => {
                let token = [scheme.prefix.as_bytes(), self.secret].concat();
                let token = String::from_utf8(token);
                let token = token.map_err(|_| SignError::Secret("it is not text".to_owned()))?;
                let Some(place) = scheme.from.iter().next() else { return Ok(()) };
                let items = placing::items(request, scheme.each.as_ref());
                items.into_iter().try_for_each(|item| put(request, place, item, &token))
            }
            Family::None {} => can_sign(self.scheme),
        }
    }

    fn url_of(&self, request: &Unverified) -> Result<String, SignError> {
        let url = self.url.as_ref().ok_or(SignError::NoUrl)?;
        Ok(url.of(&request.path, request.query.as_deref()))
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
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

#[cfg(test)]
mod tests;
