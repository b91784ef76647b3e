//! Compiled code as the cache keeps it.

use super::contract::{Checked, Contract, Kind};

/// A program as the cache keeps it.
///
/// ```text
/// configured? (1 byte) | contract (1 byte) | kind (1 byte) | wasmtime's serialized component
/// ```
pub(super) struct Image<'a> {
    pub(super) configured: bool,
    pub(super) checked: Checked,
    pub(super) code: &'a [u8],
}

impl<'a> Image<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Checked { contract, kind } = self.checked;
        let contract = match contract {
            Contract::V0_1 => 0,
            Contract::V1 => 1,
        };
        let kind = match kind {
            Kind::Filter => 0,
            Kind::Transform => 1,
            Kind::Verify => 2,
            Kind::Batch => 3,
        };
        [&[self.configured.into(), contract, kind], self.code].concat()
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&[configured, contract, kind], code) = bytes.split_first_chunk()?;
        let contract = match contract {
            0 => Contract::V0_1,
            1 => Contract::V1,
            _ => return None,
        };
        let kind = match kind {
            0 => Kind::Filter,
            1 => Kind::Transform,
            2 => Kind::Verify,
            3 => Kind::Batch,
            _ => return None,
        };
        Some(Self { configured: configured == 1, checked: Checked { contract, kind }, code })
    }
}
