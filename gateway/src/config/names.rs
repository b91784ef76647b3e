//! Names, addresses and patterns as a config file writes them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use http::{HeaderName, HeaderValue, Method};

use super::{
    literal::{Invalid, Literal},
    nearest,
};
use crate::clock::Timestamp;

/// The name of a plugin, a destination or a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(pub(super) Arc<str>);

impl Literal for Name {
    const EXPECTED: &'static str = "a name";
    const PATTERN: &'static str = "^[a-z0-9][a-z0-9_-]{0,63}$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let rest = text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'));
        match first && rest && text.len() <= 64 {
            true => Ok(Self(text.into())),
            false => Err(Invalid::new(
                format!("`{text}` is not a name"),
                "use `a` to `z`, `0` to `9`, `_` and `-`, beginning with a letter or a digit, 64 characters at most",
            )),
        }
    }

    fn print(&self) -> String {
        self.0.to_string()
    }
}

impl Literal for SocketAddr {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1:8080\"";
    const PATTERN: &'static str = "^.+:[0-9]+$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse().map_err(|_| {
            let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok()).unwrap_or("8080");
            let hint = match text.strip_suffix(port) {
                Some(":" | "*:" | "") => {
                    format!("write \"0.0.0.0:{port}\" for every address of this machine")
                }
                Some("localhost:") => format!("write \"127.0.0.1:{port}\": names are not looked up"),
                _ => {
                    "write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned()
                }
            };
            Invalid::new(format!("`{text}` is not an address to listen on"), hint)
        })
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Literal for PathBuf {
    const EXPECTED: &'static str = "a path";
    const PATTERN: &'static str = "^.+$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        match text.is_empty() || text.contains('\0') {
            true => Err(Invalid::new("the path is empty or holds a NUL", PATH_HINT)),
            false => Ok(text.into()),
        }
    }

    fn print(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

const PATH_HINT: &str = "a relative path starts at the directory of the config file";

/// The SHA-256 of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sha256(pub(super) [u8; 32]);

impl Literal for Sha256 {
    const EXPECTED: &'static str = "a SHA-256 in hex";
    const PATTERN: &'static str = "^[0-9a-fA-F]{64}$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let mut digest = [0; 32];
        match hex::decode_to_slice(text, &mut digest) {
            Ok(()) => Ok(Self(digest)),
            Err(_) => Err(Invalid::new(
                "not a SHA-256: 64 hexadecimal digits are needed",
                "`sha256sum FILE` prints it",
            )),
        }
    }

    fn print(&self) -> String {
        hex::encode(self.0)
    }
}

impl Literal for reqwest::Url {
    const EXPECTED: &'static str = "a URL";
    const PATTERN: &'static str = "^https?://";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let url = Self::parse(text).map_err(|error| Invalid::new(format!("not a URL: {error}"), URL_HINT))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Invalid::new(format!("cannot deliver over `{}`", url.scheme()), URL_HINT));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Invalid::new(
                "the URL holds credentials, and URLs are logged",
                "put them in `headers = { authorization = { env = \"…\" } }`",
            ));
        }
        match url.fragment() {
            Some(_) => {
                Err(Invalid::new("the URL has a fragment, which is never sent", "remove it from the `#` on"))
            }
            None => Ok(url),
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

const URL_HINT: &str = "write a whole URL, such as \"https://example.com/hooks\"";

impl Literal for HeaderName {
    const EXPECTED: &'static str = "a header name";
    const PATTERN: &'static str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let name: Self = text.parse().map_err(|_| {
            Invalid::new(format!("`{text}` is not a header name"), "use letters, digits and `-`")
        })?;
        match name.as_str() {
            "content-length" | "transfer-encoding" | "connection" | "keep-alive" | "te" | "trailer"
            | "upgrade" | "proxy-connection" => Err(Invalid::new(
                format!("`{name}` belongs to a connection, not to a message"),
                "remove it: the gateway sets it where it is needed",
            )),
            "webhook-id" | "webhook-timestamp" | "webhook-signature" => Err(Invalid::new(
                format!("`{name}` is the gateway's own header"),
                "remove it: every delivery carries it as it must be",
            )),
            _ => Ok(name),
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Literal for HeaderValue {
    const EXPECTED: &'static str = "a header value";
    const PATTERN: &'static str = "^[ -~]*$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::from_str(text).map_err(|_| {
            Invalid::new(
                "not a header value: only printable ASCII may be sent",
                "remove line breaks and the like",
            )
        })
    }

    fn print(&self) -> String {
        String::from_utf8_lossy(self.as_bytes()).into_owned()
    }
}

impl Literal for Method {
    const EXPECTED: &'static str = "a method such as \"POST\"";
    const PATTERN: &'static str = "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        METHODS.iter().find(|method| method.as_str() == text).cloned().ok_or_else(|| {
            let known = METHODS.iter().map(Self::as_str);
            Invalid::new(format!("`{text}` is not a method"), nearest::hint(text, "known methods", known))
        })
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A host name, lower-case and without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host(pub(super) String);

impl Literal for Host {
    const EXPECTED: &'static str = "a host name";
    const PATTERN: &'static str = "^([0-9A-Za-z_.-]+|\\[[0-9A-Fa-f:.]+\\])$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let is_host = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => text.split('.').all(is_label) && text.len() <= 253,
        };
        match is_host {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(Invalid::new(
                format!("`{text}` is not a host name"),
                "write the bare name, without scheme, port or path, such as \"hooks.example.com\"",
            )),
        }
    }

    fn print(&self) -> String {
        self.0.clone()
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The pattern that a route's path is matched by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoutePath(pub(super) String);

impl RoutePath {
    /// The pattern without the names of its parameters: two routes of one shape match the same paths.
    pub(super) fn shape(&self) -> String {
        let shape =
            |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
        self.0.split('/').map(shape).collect::<Vec<_>>().join("/")
    }
}

impl Literal for RoutePath {
    const EXPECTED: &'static str = "a path such as \"/github\"";
    const PATTERN: &'static str = "^/";

    /// `/exact`, `/prefix/*`, or with `{name}` in place of whole segments.
    fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Invalid::new(why, PATTERN_HINT);
        let Some(path) = text.strip_prefix('/') else {
            return Err(invalid(format!("the path `{text}` does not begin with `/`")));
        };
        let mut parameters = Vec::new();
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            check_segment(segment, is_last).map_err(|why| invalid(format!("{why} in the path `{text}`")))?;
            if segment.starts_with('{') && parameters.contains(&segment) {
                return Err(invalid(format!("`{segment}` is there twice in the path `{text}`")));
            }
            parameters.push(segment);
        }
        Ok(Self(text.to_owned()))
    }

    fn print(&self) -> String {
        self.0.clone()
    }
}

const PATTERN_HINT: &str =
    "write \"/exact\", \"/prefix/*\", or \"/with/{name}\", where `*` and `{name}` stand for whole segments";

fn check_segment(segment: &str, is_last: bool) -> Result<(), String> {
    let inner = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
    match (segment, inner) {
        ("*", _) if is_last => Ok(()),
        ("*", _) => Err("`*` is not at the end".to_owned()),
        ("." | "..", _) => Err(format!("`{segment}` has no meaning")),
        ("", _) if !is_last => Err("a segment is empty".to_owned()),
        (_, Some(name)) if is_parameter(name) => Ok(()),
        (_, Some(_)) => Err(format!("`{segment}` is not a parameter's name")),
        (_, None) => match segment.chars().find(|c| !is_path_char(*c)) {
            Some(c) => Err(format!("{c:?} cannot stand where it does")),
            None => Ok(()),
        },
    }
}

fn is_parameter(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What RFC 3986 lets stand in a segment, without `*`, which is our own sign.
fn is_path_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()+,;=:@".contains(c)
}

/// The name of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable(pub(super) String);

impl Literal for Variable {
    const EXPECTED: &'static str = "the name of an environment variable";
    const PATTERN: &'static str = "^[^=$\\u0000]+$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        match text.is_empty() || text.contains(['=', '$', '\0']) {
            // What stands here may well be the secret itself.
            true => Err(Invalid::new(
                "not the name of an environment variable",
                "write it without `$`, such as \"GITHUB_SECRET\"",
            )),
            false => Ok(Self(text.to_owned())),
        }
    }

    fn print(&self) -> String {
        self.0.clone()
    }
}

impl Literal for Timestamp {
    const EXPECTED: &'static str = "a date and time such as \"2026-01-31T00:00:00Z\"";
    const PATTERN: &'static str =
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

    /// RFC 3339, from 1970 on.
    fn parse(text: &str) -> Result<Self, Invalid> {
        rfc3339(text).ok_or_else(|| {
            Invalid::new(
                format!("`{text}` is not a moment: a date, a time and an offset from UTC are needed"),
                "write it as in \"2026-01-31T00:00:00Z\" or \"2026-01-31T01:00:00+01:00\"",
            )
        })
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let moment: toml::value::Datetime = text.parse().ok()?;
    let offset_minutes = match moment.offset? {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let local = toml::value::Datetime { offset: Some(toml::value::Offset::Z), ..moment };
    let local: Timestamp = humantime::parse_rfc3339(&local.to_string()).ok()?.into();
    let millis = i64::try_from(local.as_millis()).ok()?.checked_sub(offset_minutes * 60_000)?;
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refuses<T: Literal + std::fmt::Debug>(text: &str, message: &str) {
        assert_eq!(T::parse(text).unwrap_err().message, message);
    }

    #[track_caller]
    fn hints<T: Literal + std::fmt::Debug>(text: &str, hint: &str) {
        assert_eq!(T::parse(text).unwrap_err().hint, hint);
    }

    #[test]
    fn names_are_lower_case_and_short() {
        assert!(Name::parse("0-a_b").is_ok());
        for text in ["", "-a", "_a", "A", "a.b", "é", &"a".repeat(65)] {
            refuses::<Name>(text, &format!("`{text}` is not a name"));
        }
    }

    #[test]
    fn addresses_without_host_are_explained() {
        hints::<SocketAddr>(":8080", "write \"0.0.0.0:8080\" for every address of this machine");
        hints::<SocketAddr>("9000", "write \"0.0.0.0:9000\" for every address of this machine");
        hints::<SocketAddr>("localhost:9090", "write \"127.0.0.1:9090\": names are not looked up");
    }

    #[test]
    fn urls_are_http_and_hold_no_credentials() {
        refuses::<reqwest::Url>("ftp://example.com/", "cannot deliver over `ftp`");
        refuses::<reqwest::Url>("https://a:b@example.com/", "the URL holds credentials, and URLs are logged");
        refuses::<reqwest::Url>("example.com/hooks", "not a URL: relative URL without a base");
        refuses::<reqwest::Url>("https://e.com/#a", "the URL has a fragment, which is never sent");
    }

    #[test]
    fn headers_that_the_gateway_sets_are_refused() {
        refuses::<HeaderName>("Content-Length", "`content-length` belongs to a connection, not to a message");
        refuses::<HeaderName>("webhook-id", "`webhook-id` is the gateway's own header");
        refuses::<HeaderName>("x y", "`x y` is not a header name");
    }

    #[test]
    fn methods_are_upper_case() {
        hints::<Method>("post", "did you mean `POST`?");
    }

    #[test]
    fn hosts_have_no_port_and_no_scheme() {
        assert_eq!(Host::parse("Hooks.Example.com"), Ok(Host("hooks.example.com".to_owned())));
        assert!(Host::parse("[::1]").is_ok());
        for text in ["", "a:80", "https://a", "a/b", "a..b", "*.a.com", "[x]"] {
            refuses::<Host>(text, &format!("`{text}` is not a host name"));
        }
    }

    #[test]
    fn path_patterns_are_made_of_whole_segments() {
        for text in ["/", "/github", "/github/", "/x/*", "/*", "/{tenant}/hooks/{id}", "/a%20b", "/v1.2/~a"] {
            assert_eq!(RoutePath::parse(text), Ok(RoutePath(text.to_owned())));
        }
        refuses::<RoutePath>("github", "the path `github` does not begin with `/`");
        refuses::<RoutePath>("/*/x", "`*` is not at the end in the path `/*/x`");
        refuses::<RoutePath>("/x*", "'*' cannot stand where it does in the path `/x*`");
        refuses::<RoutePath>("/a//b", "a segment is empty in the path `/a//b`");
        refuses::<RoutePath>("/a/../b", "`..` has no meaning in the path `/a/../b`");
        refuses::<RoutePath>("/{a}/{a}", "`{a}` is there twice in the path `/{a}/{a}`");
        refuses::<RoutePath>("/{}", "`{}` is not a parameter's name in the path `/{}`");
        refuses::<RoutePath>("/x{a}", "'{' cannot stand where it does in the path `/x{a}`");
        refuses::<RoutePath>("/a?b=c", "'?' cannot stand where it does in the path `/a?b=c`");
    }

    #[test]
    fn paths_that_differ_in_parameter_names_have_one_shape() {
        let shape = |text| RoutePath::parse(text).unwrap().shape();
        assert_eq!(shape("/{a}/hooks"), shape("/{b}/hooks"));
        assert_ne!(shape("/{a}/hooks"), shape("/a/hooks"));
    }

    #[test]
    fn moments_need_an_offset_which_counts() {
        let utc = Timestamp::parse("2026-01-31T00:00:00Z").unwrap();
        assert_eq!(utc.to_string(), "2026-01-31T00:00:00.000Z");
        assert_eq!(Timestamp::parse("2026-01-31T01:00:00+01:00"), Ok(utc));
        assert_eq!(Timestamp::parse("2026-01-30 22:30:00-01:30"), Ok(utc));
        for text in ["2026-01-31", "2026-01-31T00:00:00", "00:00:00", "1969-12-31T00:00:00Z", "tomorrow"] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(text in "\\PC*|[0-9TZ:+-]{0,30}|[/{}*a.]{0,12}") {
            let _ = (Name::parse(&text), SocketAddr::parse(&text), PathBuf::parse(&text), Sha256::parse(&text));
            let _ = (<reqwest::Url as Literal>::parse(&text), Host::parse(&text), RoutePath::parse(&text));
            let _ = (Timestamp::parse(&text), HeaderName::parse(&text), HeaderValue::parse(&text));
        }
    }
}
