//! Where a provider publishes its public keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verify::source::Field;

/// Where a provider publishes its public keys. Nothing is ever fetched but over HTTPS from the hosts named here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// The URL, where it is always the same; `{id}` stands for the key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where the request names the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Field>,
    /// The hosts that may be asked; `*` stands for part of one label, `*.` at the beginning for any labels.
    pub hosts: Vec<String>,
    /// What is found there.
    pub document: KeyDocument,
    /// Where the request names the key's id, where its signature does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Field>,
}

/// What is found at a key's URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyDocument {
    /// A JSON Web Key Set (RFC 7517).
    Jwks,
    /// A certificate in PEM; of a chain the first counts.
    Certificate,
    /// GitHub's list: `public_keys` with `key_identifier` and `key` in PEM.
    GithubKeys,
    /// A key in PEM, or in base64 of its DER form, at this JSON pointer.
    Json { key: String },
}

impl KeySource {
    /// Whether keys may come from this URL: HTTPS, no user, no port of its own, and a host that is named.
    pub(in crate::verify) fn permits(&self, url: &str) -> bool {
        let Ok(url) = reqwest::Url::parse(url) else { return false };
        let plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
        let host = url.host_str().filter(|_| plain && url.port().is_none());
        host.is_some_and(|host| self.hosts.iter().any(|pattern| is_host(pattern, host)))
    }
}

/// Whether `pattern` stands for `host`, which is in lower case.
fn is_host(pattern: &str, host: &str) -> bool {
    if let Some(parent) = pattern.strip_prefix("*.") {
        let is_under =
            |(label, rest): (&str, &str)| !label.is_empty() && (rest == parent || is_host(pattern, rest));
        return host.split_once('.').is_some_and(is_under);
    }
    let (patterns, labels) = (pattern.split('.'), host.split('.'));
    patterns.clone().count() == labels.clone().count() && patterns.zip(labels).all(|(p, l)| is_label(p, l))
}

fn is_label(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == label,
        Some((before, after)) => {
            let rest = label.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            rest.is_some_and(|rest| !rest.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_that_are_named_are_permitted() {
        let hosts = ["sns.*.amazonaws.com", "*.paypal.com"].map(str::to_owned).to_vec();
        let source = KeySource { url: None, from: None, hosts, document: KeyDocument::Jwks, key_id: None };
        for url in ["https://sns.eu-west-1.amazonaws.com/x.pem", "https://api.sandbox.PayPal.com/c"] {
            assert!(source.permits(url), "{url}");
        }
        for url in [
            "http://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com:444/x.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.test/x.pem",
            "https://sns.eu-west-1.amazonaws.com@evil.test/x.pem",
            "https://u@sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.a.b.amazonaws.com/",
            "https://sns..amazonaws.com/",
            "https://paypal.com/",
            "https://.paypal.com/",
            "https://a..paypal.com/",
            "https://evilpaypal.com/",
            "https://evil.test\\.paypal.com/",
            "/x.pem",
            "",
        ] {
            assert!(!source.permits(url), "{url}");
        }
    }
}
