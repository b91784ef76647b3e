//! The documents that providers publish their keys in.

use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

use crate::{
    clock::Timestamp,
    verify::{
        der::{self, Validity},
        jwk::Jwk,
        pointer::Pointer,
        public_key::PublicKey,
        scheme::{KeyDocument, KeyField},
    },
};

/// One of the keys in a document.
#[derive(Clone, Debug)]
pub(in crate::verify) struct PublishedKey {
    /// `None` where the document holds but one key, which its URL names.
    pub(in crate::verify) id: Option<String>,
    pub(in crate::verify) key: PublicKey,
    /// Of a certificate.
    pub(super) validity: Option<Validity>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct GithubKeys {
    public_keys: Vec<GithubKey>,
}

#[derive(Deserialize)]
struct GithubKey {
    key_identifier: String,
    key: String,
}

impl PublishedKey {
    /// The keys of a document. Those of a kind that we do not know are left out.
    ///
    /// # Errors
    /// What is wrong with it, also where no key is left.
    pub(in crate::verify) fn read(document: &KeyDocument, bytes: &[u8]) -> Result<Vec<Self>, String> {
        let keys = match document {
            KeyDocument::Jwks => Self::from_jwks(bytes)?,
            KeyDocument::GithubKeys => Self::from_github(bytes)?,
            KeyDocument::Certificate => {
                let certificate = CertificateDer::from_pem_slice(bytes);
                vec![Self::from_certificate(&certificate.map_err(|_| "it is no certificate in PEM")?)?]
            }
            KeyDocument::Json { key } => vec![Self::from_json(bytes, key)?],
        };
        if keys.is_empty() { Err("it holds no key that we know how to use".to_owned()) } else { Ok(keys) }
    }

    /// The keys of a JSON Web Key Set (RFC 7517 §5). Those of a kind that we do not know are left out.
    pub(in crate::verify) fn from_jwks(json: &[u8]) -> Result<Vec<Self>, String> {
        let set: Jwks =
            serde_json::from_slice(json).map_err(|_| "it is not a JSON Web Key Set".to_owned())?;
        let keys = set.keys.into_iter().filter_map(|key| {
            let jwk: Jwk = serde_json::from_value(key).ok()?;
            let key = jwk.key().filter(|_| jwk.signs())?;
            Some(Self { id: jwk.id, key, validity: None })
        });
        Ok(keys.collect())
    }

    fn from_github(json: &[u8]) -> Result<Vec<Self>, String> {
        let list: GithubKeys = serde_json::from_slice(json)
            .map_err(|_| "it is not a list of GitHub's public keys".to_owned())?;
        let keys = list.public_keys.into_iter().filter_map(|listed| {
            let key = from_text(&listed.key).ok()?;
            Some(Self { id: Some(listed.key_identifier), key, validity: None })
        });
        Ok(keys.collect())
    }

    fn from_json(json: &[u8], pointer: &str) -> Result<Self, String> {
        let pointer: Pointer = pointer.parse()?;
        let found = Pointer::find_all(std::slice::from_ref(&pointer), json).pop().flatten();
        let text = found.ok_or_else(|| format!("it has no text at `{pointer}`"))?;
        Ok(Self { id: None, key: from_text(&text)?, validity: None })
    }

    fn from_certificate(der: &[u8]) -> Result<Self, String> {
        let key = PublicKey::from_certificate(der).map_err(|error| error.to_string())?;
        let validity = der::validity(der).ok_or("the certificate does not say when it is valid")?;
        Ok(Self { id: None, key, validity: Some(validity) })
    }

    /// Whether it may be meant by this id.
    pub(in crate::verify) fn answers_to(&self, key_id: Option<&str>) -> bool {
        key_id.is_none_or(|wanted| self.id.as_deref() == Some(wanted))
    }

    /// Without `now` always.
    pub(super) fn is_valid_at(&self, now: Option<Timestamp>) -> bool {
        self.validity.zip(now).is_none_or(|(validity, now)| validity.holds_at(now))
    }
}

/// A key in PEM, or in base64 of its DER form.
fn from_text(text: &str) -> Result<PublicKey, String> {
    PublicKey::from_text(&KeyField::default(), text.as_bytes()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "C7FHjbiePLAhWgYXUYCXClazW9O-mLaFmm2KSwUpepQ";
    const Y: &str = "amQJfDBCAtBlFaJBoRaC6lnIy4ev9QwC7Mo5J_-GRIU";

    fn read(document: &KeyDocument, text: &str) -> Result<Vec<Option<String>>, String> {
        let keys = PublishedKey::read(document, text.as_bytes())?;
        Ok(keys.into_iter().map(|key| key.id).collect())
    }

    #[test]
    fn a_key_set_is_read_without_what_is_of_no_use() {
        let set = json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "a", "use": "sig", "x": X, "y": Y },
            { "kty": "EC", "crv": "P-256", "kid": "for-encryption", "use": "enc", "x": X, "y": Y },
            { "kty": "EC", "crv": "secp256k1", "kid": "unknown-curve", "x": X, "y": Y },
            { "kty": "oct", "kid": "secret", "k": "AAAA" },
            { "kty": "EC", "crv": "P-256", "kid": "half", "x": X },
            "nonsense",
        ]});
        assert_eq!(read(&KeyDocument::Jwks, &set.to_string()), Ok(vec![Some("a".to_owned())]));
        assert!(read(&KeyDocument::Jwks, r#"{"keys":[]}"#).unwrap_err().contains("no key"));
        assert!(read(&KeyDocument::Jwks, "<html>").unwrap_err().contains("not a JSON Web Key Set"));
    }

    #[test]
    fn keys_in_json_and_in_githubs_list_are_found() {
        let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let at = KeyDocument::Json { key: "/data/key".to_owned() };
        for text in [&pem, &base64] {
            assert_eq!(read(&at, &json!({ "data": { "key": text } }).to_string()), Ok(vec![None]));
        }
        assert!(read(&at, r#"{"data":{}}"#).unwrap_err().contains("`/data/key`"));
        let list = json!({ "public_keys": [{ "key_identifier": "k1", "key": pem, "is_current": true }] });
        assert_eq!(read(&KeyDocument::GithubKeys, &list.to_string()), Ok(vec![Some("k1".to_owned())]));
    }

    #[test]
    fn of_a_chain_of_certificates_the_first_counts() {
        let pem = || rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert.pem();
        let chain = format!("{}{}", pem(), pem());
        let keys = PublishedKey::read(&KeyDocument::Certificate, chain.as_bytes()).unwrap();
        assert_eq!(keys.len(), 1);
        assert!(keys[0].is_valid_at(None));
        assert!(!keys[0].is_valid_at(Some(Timestamp::default())));
        assert!(read(&KeyDocument::Certificate, "<html>").is_err());
    }
}
