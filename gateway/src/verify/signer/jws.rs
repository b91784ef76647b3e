//! Signs claims: a JSON Web Token with a keyed hash (RFC 7515, RFC 7519).

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::{Sha256, Sha384, Sha512};

use super::{
    SignError, Signer,
    placing::put,
    signature::{digest, encode},
};
use crate::verify::{
    Unverified,
    hmac::decode_key,
    scheme::{Encoding, JwsAlgorithm, JwsScheme, Required},
};

/// How long a token is good for, in seconds.
const LIFETIME: u64 = 300;

impl Signer<'_> {
    /// Puts a token with all the claims that the scheme demands into its place.
    pub(super) fn sign_claims(&self, scheme: &JwsScheme, request: &mut Unverified) -> Result<(), SignError> {
        let key = decode_key(&scheme.key, self.secret).map_err(|e| SignError::Secret(e.to_string()))?;
        let claims = Value::Object(self.claims(scheme, request)?);
        let algorithm = scheme.algs.first().copied().unwrap_or(JwsAlgorithm::HS256);
        let header = serde_json::json!({ "alg": algorithm, "typ": "JWT" });
        let part = |json: &Value| encode(Encoding::Base64url, json.to_string().as_bytes());
        let text = format!("{}.{}", part(&header), part(&claims));
        let tag = encode(Encoding::Base64url, &tag(algorithm, &key, text.as_bytes()));
        put(request, &scheme.from, None, &format!("{}{text}.{tag}", scheme.prefix))
    }

    fn claims(&self, scheme: &JwsScheme, request: &Unverified) -> Result<Map<String, Value>, SignError> {
        let mut claims = Map::new();
        let now = request.received_at.as_secs();
        claims.insert("iat".to_owned(), now.into());
        claims.insert("nbf".to_owned(), now.into());
        claims.insert("exp".to_owned(), (now + LIFETIME).into());
        claims.insert("jti".to_owned(), request.id.to_string().into());
        for (name, values) in &scheme.claims {
            let value = values.iter().flat_map(|value| self.vars.expand(value)).next();
            claims.extend(value.map(|value| (name.clone(), value.into())));
        }
        if let Some(url) = &scheme.url_hash {
            let hash = digest(url.hash, self.url_of(request)?.as_bytes());
            claims.insert(url.claim.clone(), encode(url.encoding, &hash).into());
        }
        if let Some(body) = &scheme.body_hash
            && (body.required != Required::IfBody || !request.body.is_empty())
        {
            let hash = encode(body.encoding, &digest(body.hash, &request.body));
            claims.insert(body.claim.clone(), hash.into());
        }
        Ok(claims)
    }
}

fn tag(algorithm: JwsAlgorithm, key: &[u8], text: &[u8]) -> Vec<u8> {
    match algorithm {
        JwsAlgorithm::HS384 => keyed::<Hmac<Sha384>>(key, text),
        JwsAlgorithm::HS512 => keyed::<Hmac<Sha512>>(key, text),
        // Others are keyed by nobody here: `can_sign` has refused them.
        JwsAlgorithm::HS256
        | JwsAlgorithm::RS256
        | JwsAlgorithm::RS512
        | JwsAlgorithm::ES256
        | JwsAlgorithm::ES384
        | JwsAlgorithm::ES512 => keyed::<Hmac<Sha256>>(key, text),
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}
