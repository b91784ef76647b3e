//! Calls a URL that a provider wants called before it sends anything: AWS SNS's `SubscribeURL`.

use std::{io, net::IpAddr, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

use super::scheme::Confirm;

/// From connecting to the end of the answer's head.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Calls URLs.
#[async_trait]
pub trait Caller: Send + Sync {
    /// Makes a GET request and looks at nothing but its status.
    ///
    /// # Errors
    /// Why the answer is not a 2xx, fit for a log.
    async fn call(&self, url: Url) -> Result<(), String>;
}

/// Calls over HTTPS, at public addresses only, without following redirects.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublicCaller;

#[async_trait]
impl Caller for PublicCaller {
    /// A client for each call: there is one when a subscription is made, and then none for months.
    async fn call(&self, url: Url) -> Result<(), String> {
        // Fails only if a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .https_only(true)
            .redirect(redirect::Policy::none())
            .dns_resolver(std::sync::Arc::new(PublicAddresses))
            .timeout(TIMEOUT)
            .build();
        let answer = client.map_err(why)?.get(url).send().await.map_err(why)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("answered {status}")),
        }
    }
}

/// The causes too; not the URL, whose query is as good as a password.
fn why(error: reqwest::Error) -> String {
    crate::telemetry::Chain(&error.without_url()).to_string()
}

/// Resolves names to public addresses: no name leads into our own network.
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            match public.is_empty() {
                true => Err(io::Error::other(format!("`{}` has no public address", name.as_str())).into()),
                false => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether an address is one of the public internet (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
            let shared = a == 100 && (64..128).contains(&b);
            let protocol = (a, b, c) == (192, 0, 0) || (a == 198 && (b == 18 || b == 19));
            !(special || shared || protocol || a == 0 || a >= 224)
        }
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            // Global unicast is 2000::/3; within it documentation, Teredo and 6to4, which may lead anywhere.
            let special = (first == 0x2001 && (second < 0x0200 || second == 0x0db8)) || first == 0x2002;
            first & 0xe000 == 0x2000 && !special
        }
    }
}

impl Confirm {
    /// The URL, if it is one that may be called: HTTPS, at a host that is allowed, on the usual port.
    pub(super) fn url(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
        let host = url.domain()?;
        let allowed = self.hosts.iter().any(|pattern| host_matches(pattern, host));
        (url.scheme() == "https" && plain && allowed).then_some(url)
    }
}

/// `*` stands for part of one label, of three characters at least; `*.` at the beginning for any labels.
fn host_matches(pattern: &str, host: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix("*.") {
        return host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    }
    let (patterns, labels) = (pattern.split('.'), host.split('.'));
    patterns.clone().count() == labels.clone().count()
        && patterns.zip(labels).all(|(pattern, label)| label_matches(pattern, label))
}

fn label_matches(pattern: &str, label: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == label };
    let rest = label.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    rest.is_some_and(|part| part.len() >= 3 && part.bytes().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sns() -> Confirm {
        let hosts = ["sns.*.amazonaws.com", "sns.*.amazonaws.com.cn"].map(str::to_owned).to_vec();
        Confirm { from: "json:/SubscribeURL".parse().unwrap(), hosts }
    }

    #[test]
    fn urls_of_the_provider_may_be_called() {
        for text in [
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=x",
            "https://SNS.us-east-1.amazonaws.com:443/",
            "https://sns.cn-north-1.amazonaws.com.cn/",
        ] {
            assert!(sns().url(text).is_some(), "{text}");
        }
    }

    #[test]
    fn no_other_url_may_be_called() {
        for text in [
            "http://sns.us-east-1.amazonaws.com/",
            "https://sns.us-east-1.amazonaws.com:8443/",
            "https://sns.us-east-1.amazonaws.com@evil.test/",
            "https://evil.test/sns.us-east-1.amazonaws.com",
            "https://evil.test#.amazonaws.com",
            "https://sns.us-east-1.amazonaws.com.evil.test/",
            "https://sns.a.b.amazonaws.com/",
            "https://sns..amazonaws.com/",
            "https://user:pw@sns.us-east-1.amazonaws.com/",
            "https://169.254.169.254/",
            "https://[::1]/",
            "file:///etc/passwd",
            "",
        ] {
            assert!(sns().url(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_star_at_the_beginning_stands_for_any_labels_but_not_for_none() {
        assert!(host_matches("*.paypal.com", "api.sandbox.paypal.com"));
        assert!(!host_matches("*.paypal.com", "paypal.com"));
        assert!(!host_matches("*.paypal.com", "evilpaypal.com"));
    }

    #[test]
    fn addresses_of_our_own_networks_are_not_public() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "2001:db8::1",
            "2002:7f00:1::",
            "ff02::1",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["52.94.0.1", "100.128.0.1", "172.32.0.1", "2600:1f00::1", "2a00::1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_into_our_own_network_is_not_called() {
        let refused = PublicCaller.call("https://localhost/".parse().unwrap()).await.unwrap_err();
        assert!(refused.contains("has no public address"), "{refused}");
    }
}
