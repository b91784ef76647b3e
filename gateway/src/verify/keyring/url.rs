//! The URL that a request's key is at.

use reqwest::Url;

use crate::verify::{Refused, host, reader::Reader, scheme::KeySource};

/// A longer id is nobody's.
const MAX_ID: usize = 128;

/// Where to ask for a request's key.
///
/// # Errors
/// [`Refused::KeyNotAllowed`] unless it is HTTPS, on its own port, at one of the source's hosts.
pub(super) fn of(source: &KeySource, reader: &Reader<'_>, key_id: Option<&str>) -> Result<Url, Refused> {
    let text = match (&source.url, &source.from) {
        (Some(url), _) if url.contains("{id}") => {
            let id = key_id.filter(|id| is_plain(id)).ok_or_else(|| Refused::key_unknown(key_id))?;
            url.replace("{id}", id)
        }
        (Some(url), _) => url.clone(),
        (None, Some(field)) => {
            let missing = || Refused::FieldMissing { field: field.to_string() };
            reader.read(field)?.ok_or_else(missing)?.into_owned()
        }
        (None, None) => return Err(not_allowed("the scheme does not say where")),
    };
    check(source, &text)
}

fn check(source: &KeySource, text: &str) -> Result<Url, Refused> {
    host::permitted(text, &source.hosts).map_err(|why| not_allowed(&format!("its URL {why}")))
}

/// Nothing that means something in a URL.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(plain) && id.bytes().any(|byte| byte != b'.')
}

fn not_allowed(reason: &str) -> Refused {
    Refused::KeyNotAllowed { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{tests::request, vars::Vars};

    fn url(source: &str, header: &str, id: Option<&str>) -> Result<String, &'static str> {
        let source: KeySource = toml::from_str(&format!("{source}\ndocument = 'jwks'")).unwrap();
        let mut request = request();
        request.headers.insert("x-cert-url", header.parse().unwrap());
        let vars = Vars::default();
        of(&source, &Reader::new(&request, &vars), id).map(String::from).map_err(|refused| refused.code())
    }

    #[test]
    fn only_urls_of_the_providers_hosts_are_asked() {
        let source = "from = 'header:X-Cert-Url'\nhosts = ['sns.*.amazonaws.com']";
        let good = "https://sns.us-east-1.amazonaws.com/a.pem";
        assert_eq!(url(source, good, None), Ok(good.to_owned()));
        assert_eq!(url(source, "https://SNS.us-east-1.amazonaws.com:443/a.pem#b", None), Ok(good.to_owned()));
        for bad in [
            "http://sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com:8443/a.pem",
            "https://sns.us-east-1.amazonaws.com@evil.test/a.pem",
            "https://u@sns.us-east-1.amazonaws.com/a.pem",
            "https://evil.test/sns.us-east-1.amazonaws.com",
            "https://evil.test\\@sns.us-east-1.amazonaws.com/",
            "https://127.0.0.1/a.pem",
            "https://[::1]/a.pem",
            "https:///a.pem",
            "file:///etc/passwd",
            "a.pem",
            "",
        ] {
            assert_eq!(url(source, bad, None), Err("key_not_allowed"), "{bad}");
        }
    }

    #[test]
    fn an_id_in_the_url_cannot_change_the_rest_of_it() {
        let source = "url = 'https://a.test/keys/{id}'\nhosts = ['a.test']";
        assert_eq!(url(source, "", Some("k-1_x.y")), Ok("https://a.test/keys/k-1_x.y".to_owned()));
        for id in ["", ".", "..", "a/b", "a?b", "a#b", "%2e%2e", "ä", &"a".repeat(129)] {
            assert_eq!(url(source, "", Some(id)), Err("key_unknown"), "{id}");
        }
        assert_eq!(url(source, "", None), Err("key_unknown"));
    }
}
