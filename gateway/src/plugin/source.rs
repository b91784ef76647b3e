//! A plugin's file.

use std::{fs::File, io::Read};

use sha2::{Digest, Sha256};

use super::{PluginError, inspection};
use crate::config;

/// The largest plugin file that is read, in bytes. JavaScript and Python plugins come with their interpreter.
pub(super) const MAX_FILE: u64 = 64 << 20;
/// More code than this is an interpreter's, in bytes.
const LARGE: u64 = 512 << 10;

/// A plugin's file, read once: what is pinned, checked and compiled are the same bytes.
pub(super) struct Source {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: [u8; 32],
}

impl Source {
    pub(super) fn read(plugin: &config::Plugin) -> Result<Self, PluginError> {
        let (name, path) = (|| plugin.name.clone(), || plugin.file.clone());
        let mut bytes = Vec::new();
        File::open(&plugin.file)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
            .map_err(|source| PluginError::Read { plugin: name(), path: path(), source })?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(PluginError::TooLarge { plugin: name(), path: path() });
        }
        if bytes.is_empty() {
            return Err(PluginError::Empty { plugin: name(), path: path() });
        }
        let digest = Sha256::digest(&bytes).into();
        match plugin.sha256 {
            Some(pinned) if pinned != digest => {
                Err(PluginError::Digest { plugin: name(), path: path(), pinned, found: digest })
            }
            _ => Ok(Self { bytes, digest }),
        }
    }

    /// Whether it has more code than any plugin without an interpreter.
    pub(super) fn is_large(&self) -> bool {
        self.bytes.len() as u64 > LARGE && inspection::code(&self.bytes) > LARGE
    }
}
