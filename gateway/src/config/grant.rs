//! Servers that a plugin may send requests to, as a config file writes them.

use std::net::IpAddr;

use reqwest::Url;

use super::{
    HttpGrant, Scheme,
    literal::{Invalid, Literal},
};

/// A name, reached over HTTPS at public addresses only.
impl Literal for HttpGrant {
    const EXPECTED: &'static str = "a host such as \"api.example.com\"";
    const PATTERN: &'static str = "^(\\*\\.)?[^*/?#@\\s]+$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.contains("://") {
            return Err(Invalid::new(format!("`{text}` is a URL, not a host"), hint_for_url(text)));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let (host, port) =
            host_and_port(name).ok_or_else(|| Invalid::new(format!("`{text}` is not a host"), HOST_HINT))?;
        if host.parse::<IpAddr>().is_ok() || host.starts_with('[') || is_local(&host) {
            let hint =
                format!("write `{{ url = \"https://{name}\", private = true }}` if it is to be reached");
            return Err(Invalid::new(format!("`{host}` is not a name of the public internet"), hint));
        }
        if name != text && !host.contains('.') {
            let why = format!("`{text}` stands for every name that ends with `.{host}`");
            return Err(Invalid::new(why, "name the domain, such as \"*.example.com\""));
        }
        let host = if name == text { host } else { format!("*.{host}") };
        Ok(Self { scheme: Scheme::Https, host, port, private: false })
    }

    fn print(&self) -> String {
        let Self { host, port, .. } = self;
        if *port == Scheme::Https.port() { host.clone() } else { format!("{host}:{port}") }
    }
}

const HOST_HINT: &str = "write a name such as \"api.example.com\", with a port where it is not 443, or with `*.` \
                         before it for all names below it";

/// `host` or `host:port` and nothing else. A host that cannot be in a URL, or says something else there, is none.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let is_plain = |c: char| c.is_alphanumeric() || "-.:[]_".contains(c);
    if !text.chars().all(is_plain) || text.ends_with([':', '.']) {
        return None;
    }
    let url = Url::parse(&format!("https://{text}")).ok()?;
    let port = url.port_or_known_default().filter(|port| *port != 0)?;
    url.host_str().filter(|host| !host.starts_with('.')).map(|host| (host.to_owned(), port))
}

fn hint_for_url(text: &str) -> String {
    let host = Url::parse(text).ok().and_then(|url| {
        let is_https = url.scheme() == "https";
        url.host_str().filter(|_| is_https).map(str::to_owned)
    });
    match host {
        Some(host) => format!(
            "write \"{host}\"; for private addresses `{{ url = \"https://{host}\", private = true }}`"
        ),
        None => {
            "only private addresses are reached over plain http: `{ url = \"http://…\", private = true }`"
                .to_owned()
        }
    }
}

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Literal for Origin {
    const EXPECTED: &'static str = "a URL such as \"http://users.internal:8080\"";
    const PATTERN: &'static str = "^https?://[^/?#@*]+/?$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let url = Url::parse(text)
            .map_err(|error| Invalid::new(format!("`{text}` is not a URL: {error}"), ORIGIN_HINT))?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => return Err(Invalid::new(format!("plugins cannot send over `{other}`"), ORIGIN_HINT)),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Invalid::new("the URL holds credentials, which a grant has no use for", ORIGIN_HINT));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(Invalid::new(
                "a grant is for all of a server, and the URL says more than that",
                ORIGIN_HINT,
            ));
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        if host.contains('*') {
            let hint = "name each host, or write \"*.example.com\" without a URL for public ones";
            return Err(Invalid::new(format!("`{host}` is not one host"), hint));
        }
        match url.port_or_known_default() {
            Some(port @ 1..) => Ok(Self { scheme, host, port }),
            _ => Err(Invalid::new("there is no port 0", ORIGIN_HINT)),
        }
    }

    fn print(&self) -> String {
        let Self { scheme, host, port } = self;
        format!("{scheme}://{host}:{port}")
    }
}

const ORIGIN_HINT: &str = "write scheme, host and port only, such as \"http://users.internal:8080\"";

impl Origin {
    /// Whether it can be seen without looking it up that this is no server of the public internet.
    pub(super) fn is_local(&self) -> bool {
        is_local(&self.host)
    }
}

fn is_local(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn grants(text: &str, host: &str, port: u16) {
        let expected = HttpGrant { scheme: Scheme::Https, host: host.to_owned(), port, private: false };
        assert_eq!(HttpGrant::parse(text), Ok(expected));
    }

    #[test]
    fn a_host_is_reached_over_https() {
        grants("api.example.com", "api.example.com", 443);
        grants("API.Example.com:8443", "api.example.com", 8443);
        grants("*.example.com", "*.example.com", 443);
        grants("*.a.example.com:444", "*.a.example.com", 444);
        grants("bücher.example", "xn--bcher-kva.example", 443);
    }

    #[test]
    fn what_is_more_or_less_than_a_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            ".",
            "a b",
            "a/b",
            "u@a.test",
            "a.test/",
            "a.test?x",
            "a.test#x",
            "a.test:",
            "a.test:0",
            "a.test:99999",
            "a.test.",
            ".a.test",
            "a.*.test",
            "**.a.test",
            "*.*.a.test",
            "a*.test",
            "*.com",
            "https://a.test",
            "localhost",
            "127.0.0.1",
            "1.2.3.4",
            "0x7f.1",
            "[::1]",
            "*.127.0.0.1",
            "x.localhost",
        ] {
            assert!(HttpGrant::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |scheme, host: &str, port| Ok(Origin { scheme, host: host.to_owned(), port });
        assert_eq!(Origin::parse("http://Users.internal:8080"), origin(Scheme::Http, "users.internal", 8080));
        assert_eq!(Origin::parse("http://users/"), origin(Scheme::Http, "users", 80));
        assert_eq!(Origin::parse("https://[::1]"), origin(Scheme::Https, "[::1]", 443));
        for text in [
            "",
            "users",
            "ftp://a",
            "http://a/x",
            "http://a/?x",
            "http://a#x",
            "http://u:p@a",
            "http://a:0",
            "http://*.a",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_plainly_local_is_known_as_such() {
        for (text, expected) in [
            ("http://10.1.2.3", true),
            ("http://127.0.0.1:80", true),
            ("http://[fd00::1]", true),
            ("http://localhost", true),
            ("http://1.1.1.1", false),
            ("http://users.internal", false),
        ] {
            assert_eq!(Origin::parse(text).unwrap().is_local(), expected, "{text}");
        }
    }
}
