//! The ways a provider may have written our URL.

use super::scheme::UrlVariants;

impl UrlVariants {
    pub(super) fn of(self, url: String) -> Vec<String> {
        match self {
            Self::Exact => vec![url],
            Self::Twilio => with_and_without_port(url),
        }
    }
}

/// As it is, without its port, and with its port, the scheme's own if it has none. Nothing else is changed, user
/// and password neither.
fn with_and_without_port(url: String) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url] };
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let own = if scheme == "http" { "80" } else { "443" };
    let (name, port) = host.rsplit_once(':').filter(|(_, port)| digits(port)).unwrap_or((host, own));
    let without = format!("{scheme}://{user}{name}{rest}");
    let with = format!("{scheme}://{user}{name}:{port}{rest}");
    let mut variants = vec![url];
    for variant in [without, with] {
        if !variants.contains(&variant) {
            variants.push(variant);
        }
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, others: &[&str]) {
        let variants = UrlVariants::Twilio.of(url.to_owned());
        assert_eq!(variants[0], url);
        assert_eq!(variants[1..], *others);
        assert_eq!(UrlVariants::Exact.of(url.to_owned()), [url]);
    }

    #[test]
    fn a_port_is_added_and_left_out() {
        check("https://h.test/a?b=c:1", &["https://h.test:443/a?b=c:1"]);
        check("http://h.test", &["http://h.test:80"]);
        check("https://h.test:1234/a", &["https://h.test/a"]);
        check("https://u:p@h.test/@x", &["https://u:p@h.test:443/@x"]);
        check("https://[::1]:8443?q", &["https://[::1]?q"]);
    }
}
