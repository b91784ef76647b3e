//! Signs a message (RFC 9421).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, header::HOST};
use sha2::{Digest, Sha256};

use super::{SignError, Signer, base64, placing::put_header};
use crate::verify::{Refused, Unverified, scheme::HttpSignatureScheme};

/// What is covered where the scheme demands nothing: whom it is for, what it asks and what it says.
const COMPONENTS: [&str; 5] = ["@method", "@authority", "@path", "@query", "content-digest"];

impl Signer<'_> {
    /// Adds `content-digest`, `signature-input` and `signature`.
    pub(super) fn sign_message(
        &self,
        scheme: &HttpSignatureScheme,
        request: &mut Unverified,
    ) -> Result<(), SignError> {
        let digest = format!("sha-256=:{}:", base64(&Sha256::digest(&request.body)));
        put_header(request, &HeaderName::from_static("content-digest"), digest.as_bytes())?;
        let demanded = scheme.components.iter().map(String::as_str);
        let components = COMPONENTS.into_iter().chain(demanded.filter(|name| !COMPONENTS.contains(name)));
        let components: Vec<_> = components.collect();
        let names: Vec<_> = components.iter().map(|name| format!("\"{name}\"")).collect();
        let params = format!("({});created={}", names.join(" "), request.received_at.as_secs());
        let mut base = String::new();
        for name in &components {
            base += &format!("\"{name}\": {}\n", self.component(name, request)?);
        }
        base += &format!("\"@signature-params\": {params}");
        let signature = base64(&self.bytes(base.as_bytes())?);
        put_header(
            request,
            &HeaderName::from_static("signature-input"),
            format!("sig1={params}").as_bytes(),
        )?;
        put_header(request, &HeaderName::from_static("signature"), format!("sig1=:{signature}:").as_bytes())
    }

    fn component(&self, name: &str, request: &Unverified) -> Result<String, SignError> {
        let header = |name: &str| {
            let value = request.headers.get(name).and_then(|value| value.to_str().ok());
            let missing = || SignError::Incomplete(Refused::FieldMissing { field: format!("header:{name}") });
            value.map(|value| value.trim().to_owned()).ok_or_else(missing)
        };
        match name {
            "@method" => Ok(request.method.to_string()),
            "@authority" => header(HOST.as_str()).map(|host| host.to_ascii_lowercase()),
            "@path" => Ok(request.path.clone()),
            "@query" => Ok(format!("?{}", request.query.as_deref().unwrap_or_default())),
            "@target-uri" => self.url_of(request),
            name => header(name),
        }
    }

    fn bytes(&self, base: &[u8]) -> Result<Vec<u8>, SignError> {
        if let Some(pair) = &self.private {
            return Ok(pair.sign(base).as_ref().to_vec());
        }
        let key =
            STANDARD.decode(self.secret).map_err(|_| SignError::Secret("it is not base64".to_owned()))?;
        let mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        Ok(mac.chain_update(base).finalize().into_bytes().to_vec())
    }
}
