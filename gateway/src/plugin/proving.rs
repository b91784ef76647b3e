//! What a `verify` plugin may ask of its request and of the route's secrets.

use wasmtime::component::Resource;

use super::{
    bindings::{requests, secrets},
    claimed::Claimed,
    guest::Guest,
};
use crate::verify::keyed::{Algorithm, KeyEncoding, Keyed, which_of};

impl requests::Host for Guest {}

/// There is one request per store, so the handle says nothing that the store does not know.
impl requests::HostRequest for Guest {
    fn route(&mut self, _: Resource<Claimed>) -> wasmtime::Result<String> {
        Ok(self.claimed()?.request().route.to_string())
    }

    fn received_ms(&mut self, _: Resource<Claimed>) -> wasmtime::Result<u64> {
        Ok(self.claimed()?.request().received_at.as_millis())
    }

    fn method(&mut self, _: Resource<Claimed>) -> wasmtime::Result<String> {
        Ok(self.claimed()?.request().method.to_string())
    }

    fn path(&mut self, _: Resource<Claimed>) -> wasmtime::Result<String> {
        Ok(self.claimed()?.request().path.clone())
    }

    fn query(&mut self, _: Resource<Claimed>) -> wasmtime::Result<Option<String>> {
        Ok(self.claimed()?.request().query.clone())
    }

    fn param(&mut self, _: Resource<Claimed>, name: String) -> wasmtime::Result<Option<String>> {
        let params = &self.claimed()?.request().params;
        Ok(params.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
    }

    fn url(&mut self, _: Resource<Claimed>) -> wasmtime::Result<Option<String>> {
        Ok(self.claimed()?.url().map(str::to_owned))
    }

    fn header(&mut self, _: Resource<Claimed>, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.claimed()?.header_values(&name).next().map(|value| value.as_bytes().to_vec()))
    }

    fn header_values(&mut self, _: Resource<Claimed>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.claimed()?.header_values(&name).map(|value| value.as_bytes().to_vec()).collect())
    }

    fn headers(&mut self, _: Resource<Claimed>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let headers = &self.claimed()?.request().headers;
        Ok(headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect())
    }

    fn body(&mut self, _: Resource<Claimed>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.claimed()?.request().body.to_vec())
    }

    fn body_text(&mut self, _: Resource<Claimed>) -> wasmtime::Result<Option<String>> {
        Ok(str::from_utf8(&self.claimed()?.request().body).ok().map(str::to_owned))
    }

    fn body_len(&mut self, _: Resource<Claimed>) -> wasmtime::Result<u64> {
        Ok(self.claimed()?.request().body.len() as u64)
    }

    /// Never called: the request is only ever lent.
    fn drop(&mut self, _: Resource<Claimed>) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// The secrets themselves stay here: what goes over is an answer.
impl secrets::Host for Guest {
    fn count(&mut self) -> wasmtime::Result<u32> {
        Ok(self.claimed()?.secrets().len() as u32)
    }

    fn hmac_matches(
        &mut self,
        algorithm: secrets::Algorithm,
        key: secrets::KeyEncoding,
        message: Vec<u8>,
        tag: Vec<u8>,
    ) -> wasmtime::Result<bool> {
        let keyed = Keyed { algorithm: algorithm.into(), encoding: key.into() };
        let claimed = self.claimed()?;
        Ok(claimed.note(keyed.matching(claimed.secrets(), &message, &tag)))
    }

    fn equals(&mut self, candidate: Vec<u8>) -> wasmtime::Result<bool> {
        let claimed = self.claimed()?;
        Ok(claimed.note(which_of(claimed.secrets(), &candidate)))
    }

    fn hmac(
        &mut self,
        algorithm: secrets::Algorithm,
        key: secrets::KeyEncoding,
        message: Vec<u8>,
    ) -> wasmtime::Result<Option<Vec<u8>>> {
        let keyed = Keyed { algorithm: algorithm.into(), encoding: key.into() };
        Ok(keyed.sign(self.claimed()?.secrets(), &message))
    }
}

impl From<secrets::Algorithm> for Algorithm {
    fn from(algorithm: secrets::Algorithm) -> Self {
        match algorithm {
            secrets::Algorithm::HmacSha1 => Self::Sha1,
            secrets::Algorithm::HmacSha256 => Self::Sha256,
            secrets::Algorithm::HmacSha384 => Self::Sha384,
            secrets::Algorithm::HmacSha512 => Self::Sha512,
        }
    }
}

impl From<secrets::KeyEncoding> for KeyEncoding {
    fn from(encoding: secrets::KeyEncoding) -> Self {
        match encoding {
            secrets::KeyEncoding::Text => Self::Text,
            secrets::KeyEncoding::Hex => Self::Hex,
            secrets::KeyEncoding::Base64 => Self::Base64,
        }
    }
}
