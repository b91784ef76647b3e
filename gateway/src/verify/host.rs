//! The hosts that a provider's keys may be fetched from, and its confirmations sent to.

use reqwest::Url;

/// The URL that a text names: HTTPS, without credentials, on the usual port, at one of these hosts.
///
/// # Errors
/// What is wrong with it, to be said of `its URL`.
pub(super) fn permitted(text: &str, hosts: &[String]) -> Result<Url, &'static str> {
    let mut url: Url = text.parse().map_err(|_| "is no URL")?;
    if url.scheme() != "https" {
        return Err("is not HTTPS");
    }
    if !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
        return Err("has a port or credentials");
    }
    let host = url.domain().unwrap_or_default();
    if !hosts.iter().any(|pattern| is_allowed(host, pattern)) {
        return Err("is not at a host of the provider");
    }
    url.set_fragment(None);
    Ok(url)
}

/// Whether a host, in lower case, is what a pattern says: `*` stands for part of one label, at least 3 characters of
/// `[a-z0-9-]`; `*.` at the beginning for one label or more.
fn is_allowed(host: &str, pattern: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => {
            let labels = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
            labels.is_some_and(|labels| labels.split('.').all(is_label))
        }
        None => {
            let (labels, patterns) = (host.split('.'), pattern.split('.'));
            labels.clone().count() == patterns.clone().count()
                && labels.zip(patterns).all(|(l, p)| fits(l, p))
        }
    }
}

fn fits(label: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return label == pattern };
    let middle = label.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    middle.is_some_and(|middle| middle.len() >= 3 && is_label(middle))
}

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_at_the_hosts_that_are_named_are_permitted() {
        let hosts = ["sns.*.amazonaws.com", "*.paypal.com"].map(str::to_owned).to_vec();
        for url in ["https://sns.eu-west-1.amazonaws.com/x.pem", "https://api.sandbox.PayPal.com/c"] {
            assert!(permitted(url, &hosts).is_ok(), "{url}");
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
            "https://169.254.169.254/",
            "https://[::1]/",
            "file:///etc/passwd",
            "/x.pem",
            "",
        ] {
            assert!(permitted(url, &hosts).is_err(), "{url}");
        }
    }

    #[test]
    fn a_star_is_part_of_one_label() {
        let sns = "sns.*.amazonaws.com";
        assert!(is_allowed("sns.us-east-1.amazonaws.com", sns));
        for host in [
            "sns.amazonaws.com",
            "sns..amazonaws.com",
            "sns.us.amazonaws.com",
            "sns.a.b.amazonaws.com",
            "sns.us-east-1.amazonaws.com.evil.test",
            "evil.test.sns.us-east-1.amazonaws.com",
            "sns.us_east.amazonaws.com",
            "snsxus-east-1.amazonaws.com",
        ] {
            assert!(!is_allowed(host, sns), "{host}");
        }
        assert!(is_allowed("keys-eu1.test", "keys-*.test"));
        assert!(!is_allowed("keys-eu.test", "keys-*.test"));
    }

    #[test]
    fn a_star_label_at_the_beginning_is_one_or_more() {
        let paypal = "*.paypal.com";
        assert!(is_allowed("api.paypal.com", paypal));
        assert!(is_allowed("api.sandbox.paypal.com", paypal));
        for host in ["paypal.com", ".paypal.com", "evilpaypal.com", "a..paypal.com", "paypal.com.evil.test"] {
            assert!(!is_allowed(host, paypal), "{host}");
        }
    }

    #[test]
    fn a_name_without_a_star_is_itself() {
        assert!(is_allowed("api.github.com", "api.github.com"));
        assert!(!is_allowed("api.github.com.", "api.github.com"));
        assert!(!is_allowed("xapi.github.com", "api.github.com"));
    }
}
