//! What a route's config says about its senders.

use std::{fmt, str::FromStr, sync::Arc};

use super::{
    keyring::PublishedKey,
    scheme::{KeyDocument, Scheme},
    vars::Vars,
};
use crate::config::Secret;

/// A scheme with what belongs to it on this route.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The preset's name; `None` for a scheme written out in the config.
    pub preset: Option<String>,
    pub scheme: Arc<Scheme>,
    /// Shared with the sender: any of them that is valid counts. Empty where the scheme needs none.
    pub secrets: Vec<Secret>,
    /// The sender's public keys, in the scheme's encoding or in PEM (keys or certificates): any that is valid counts.
    /// They take the place of those that the provider publishes.
    pub public_keys: Vec<Secret>,
    /// A JSON Web Key Set, likewise.
    pub jwks: Option<Arc<[u8]>>,
    pub vars: Vars,
    /// Our URL as the provider knows it, for schemes that sign it.
    pub url: Option<PublicUrl>,
}

/// Our URL as the provider knows it: an origin such as `https://hooks.example.com`, which a request's own path and query
/// are put behind, or a URL with a path, which takes the place of the request's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl Settings {
    /// Settings with nothing but secrets.
    pub fn new(scheme: Arc<Scheme>, secrets: Vec<Secret>) -> Self {
        let (public_keys, vars) = (Vec::new(), Vars::default());
        Self { preset: None, scheme, secrets, public_keys, jwks: None, vars, url: None }
    }

    /// Whether a JSON Web Key Set holds a key that can be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_key_set(json: &[u8]) -> Result<(), String> {
        PublishedKey::read(&KeyDocument::Jwks, json).map(drop)
    }
}

impl PublicUrl {
    /// The URL of a request: what is signed.
    pub fn of(&self, path: &str, query: Option<&str>) -> String {
        let Self(url) = self;
        let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        let mut url = if has_path { url.clone() } else { format!("{url}{path}") };
        if let Some(query) = query.filter(|_| !url.contains('?')) {
            url.push('?');
            url.push_str(query);
        }
        url
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("http" | "https", rest))
                if !rest.is_empty() && !rest.starts_with('/') && !rest.contains('#') =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!("`{text}` is not a URL such as `https://hooks.example.com`")),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(configured: &str, expected: &str) {
        let url: PublicUrl = configured.parse().unwrap();
        assert_eq!(url.of("/in/x", Some("a=1")), expected);
    }

    #[test]
    fn an_origin_takes_the_requests_path_and_a_path_takes_its_place() {
        check("https://hooks.test", "https://hooks.test/in/x?a=1");
        check("https://hooks.test/public", "https://hooks.test/public?a=1");
        check("https://hooks.test/public?b=2", "https://hooks.test/public?b=2");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in ["hooks.test", "ftp://x", "https://", "https:///x", "https://x/#a"] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }
}
