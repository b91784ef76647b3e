//! Calls a URL that a provider wants called before it sends anything: AWS SNS's `SubscribeURL`.

use async_trait::async_trait;
use reqwest::Url;

use super::{egress, host, scheme::Confirm};

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
        let client = egress::client().build().map_err(egress::describe)?;
        let answer = client.get(url).send().await.map_err(egress::describe)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("answered {status}")),
        }
    }
}

impl Confirm {
    /// The URL, if it is one that may be called.
    pub(super) fn url(&self, text: &str) -> Option<Url> {
        host::permitted(text, &self.hosts).ok()
    }
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

    #[tokio::test]
    async fn a_name_that_leads_into_our_own_network_is_not_called() {
        let refused = PublicCaller.call("https://localhost/".parse().unwrap()).await.unwrap_err();
        assert!(refused.contains("has no public address"), "{refused}");
    }
}
