//! A signature scheme as data: what `presets.toml` holds and what a config can write out.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scheme {}

impl Scheme {
    /// Says what is wrong with a secret for this scheme.
    pub fn check_secret(&self, secret: &[u8]) -> Result<(), String> {
        if secret.is_empty() { Err("the secret is empty".to_owned()) } else { Ok(()) }
    }
}

const PRESETS: [&str; 7] = ["standard-webhooks", "svix", "github", "stripe", "slack", "shopify", "gitlab"];

/// The scheme of a provider.
pub fn preset(name: &str) -> Option<Arc<Scheme>> {
    PRESETS.contains(&name).then(|| Arc::new(Scheme {}))
}

/// The providers that [`preset`] knows.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.into_iter()
}
