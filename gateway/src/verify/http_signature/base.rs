//! The signature base (RFC 9421 §2.5): a line for everything that is covered.

use std::collections::HashSet;

use http::{HeaderMap, header::HOST};
use sfv::{FieldType, InnerList, Item, List};

use crate::verify::{Refused, reader::Reader, settings::PublicUrl};

/// More components than that are nobody's.
const MAX_COMPONENTS: usize = 64;

pub(super) struct Base<'a, 'r> {
    pub(super) reader: &'a Reader<'r>,
    /// Our URL, where a proxy in front of us makes the request look otherwise.
    pub(super) url: Option<&'a PublicUrl>,
}

impl Base<'_, '_> {
    pub(super) fn of(&self, covered: &InnerList) -> Result<Vec<u8>, Refused> {
        let malformed = || Refused::SignatureMalformed { field: "header:signature-input".to_owned() };
        if covered.items.len() > MAX_COMPONENTS {
            return Err(malformed());
        }
        let (mut base, mut seen) = (Vec::new(), HashSet::new());
        for item in &covered.items {
            let identifier = item.serialize();
            let value = self.value(item, &identifier)?;
            base.extend([identifier.as_bytes(), b": ", &value, b"\n"].concat());
            if !seen.insert(identifier) {
                return Err(malformed());
            }
        }
        let parameters = List::from([covered.clone().into()]).serialize().ok_or_else(malformed)?;
        base.extend(format!("\"@signature-params\": {parameters}").into_bytes());
        Ok(base)
    }

    fn value(&self, item: &Item, identifier: &str) -> Result<Vec<u8>, Refused> {
        let unsupported = || Refused::ComponentUnsupported { component: identifier.to_owned() };
        let name = item.bare_item.as_string().ok_or_else(unsupported)?.as_str();
        if name == "@query-param" {
            return self.query_parameter(item).ok_or_else(unsupported).map(String::into_bytes);
        }
        // `sf`, `key`, `bs`, `tr` and `req` (§2.1) ask for what no sender of webhooks is known to do.
        if !item.params.is_empty() {
            return Err(unsupported());
        }
        match name.strip_prefix('@') {
            Some(derived) => self.derived(derived).ok_or_else(unsupported).map(String::into_bytes),
            None => {
                let missing = || Refused::FieldMissing { field: format!("header:{name}") };
                joined(&self.reader.request.headers, name).ok_or_else(missing)
            }
        }
    }

    /// §2.2, where a request has it.
    fn derived(&self, name: &str) -> Option<String> {
        let request = self.reader.request;
        let query = request.query.as_deref();
        match name {
            "method" => Some(request.method.to_string()),
            "path" if request.path.is_empty() => Some("/".to_owned()),
            "path" => Some(request.path.clone()),
            "query" => Some(format!("?{}", query.unwrap_or_default())),
            "request-target" => Some(self.target()),
            "scheme" => self.origin().map(|(scheme, _)| scheme),
            "authority" => self.origin().map(|(_, authority)| authority),
            "target-uri" => match self.url {
                Some(url) => Some(url.of(&request.path, query)),
                None => self.origin().map(|(scheme, host)| format!("{scheme}://{host}{}", self.target())),
            },
            _ => None,
        }
    }

    fn target(&self) -> String {
        let request = self.reader.request;
        match &request.query {
            Some(query) => format!("{}?{query}", request.path),
            None => request.path.clone(),
        }
    }

    /// Scheme and authority as the sender knows them: in lower case, without the scheme's own port.
    fn origin(&self) -> Option<(String, String)> {
        let (scheme, authority) = match self.url {
            Some(url) => {
                let url = url.to_string().to_ascii_lowercase();
                let (scheme, rest) = url.split_once("://")?;
                (scheme.to_owned(), rest.split(['/', '?']).next()?.to_owned())
            }
            None => {
                let host = self.reader.request.headers.get(HOST)?.to_str().ok()?;
                ("https".to_owned(), host.to_ascii_lowercase())
            }
        };
        let own_port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(own_port).unwrap_or(&authority).to_owned();
        Some((scheme, authority))
    }

    /// §2.2.8: decoded and encoded anew, so that every way to write it comes out the same. `None` unless it is there
    /// once.
    fn query_parameter(&self, item: &Item) -> Option<String> {
        let (key, wanted) = item.params.first().filter(|_| item.params.len() == 1)?;
        let wanted = wanted.as_string().filter(|_| key.as_str() == "name")?.as_str();
        let mut values = self.reader.query().filter(|(name, _)| encode(name) == wanted);
        let (_, value) = values.next()?;
        values.next().is_none().then(|| encode(&value))
    }
}

/// The values of a header field on one line, as §2.1 joins them; `None` where it is missing.
pub(super) fn joined(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}

/// WHATWG URL's application/x-www-form-urlencoded percent-encode set, with `%20` for a blank.
fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}
