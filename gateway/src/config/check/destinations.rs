//! Destinations: where messages go and how they are signed.

use std::{ops::Range, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};

use super::{Checker, all};
use crate::config::{
    Destination, Secret,
    field::{Field, Table},
    literal::{Literal, Text, Written},
    raw,
    report::Problem,
};

impl Checker<'_> {
    pub(super) fn destination(
        &mut self,
        name: Arc<str>,
        field: Field<raw::Destination>,
        key: &Range<usize>,
    ) -> Option<Destination> {
        let raw::Destination { url, timeout, concurrency, retry, sign, headers, forward_headers } =
            field.value?;
        let url = self.required(url, "url", key, "where messages are posted");
        let timeout = self.not_zero(timeout);
        let retry = self.retry(retry);
        let sign = all(sign.map(|sign| self.sign(sign)));
        let headers = self.headers(headers);
        let forward_headers: Option<Vec<_>> = forward_headers.value?.into_iter().map(Text::parsed).collect();
        Some(Destination {
            name,
            url: url?.parsed()?,
            timeout: timeout?,
            concurrency: concurrency.value?.0 as usize,
            retry: retry?,
            sign: sign?.unwrap_or_default(),
            headers: headers?,
            forward_headers: forward_headers?,
        })
    }

    fn retry(&mut self, field: Field<Vec<Text<Duration>>>) -> Option<Vec<Duration>> {
        let waits: Vec<_> = field.value?.into_iter().map(|wait| self.not_zero(wait)).collect();
        waits.into_iter().collect()
    }

    fn sign(&mut self, field: Field<raw::Sign>) -> Option<Vec<Secret>> {
        let raw::Sign { secrets } = field.value?;
        let secrets = self.secrets(secrets, &field.span)?;
        for (span, secret) in &secrets {
            if let Err(error) = secret.signing_key() {
                let problem = Problem::error(format!("not a signing secret: {error}")).at(span);
                self.problems
                    .push(problem.hint("`openssl rand -base64 32` gives what belongs behind `whsec_`"));
            }
        }
        Some(secrets.into_iter().map(|(_, secret)| secret).collect())
    }

    fn headers(
        &mut self,
        field: Field<Table<Written<HeaderName>, raw::HeaderSource>>,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let mut headers = Vec::new();
        let mut are_right = true;
        for (name, value) in field.value?.0 {
            let span = name.span.clone();
            let Some((name, value)) = name.parsed().zip(self.header_value(value)) else {
                are_right = false;
                continue;
            };
            if headers.iter().any(|(other, _)| *other == name) {
                self.problems.push(Problem::error(format!("header `{name}` is given twice")).at(&span));
            }
            headers.push((name, value));
        }
        are_right.then_some(headers)
    }

    fn header_value(&mut self, field: Field<raw::HeaderSource>) -> Option<HeaderValue> {
        let source = match field.value? {
            raw::HeaderSource::String(Written(value)) => return Some(value),
            raw::HeaderSource::Table(source) => source,
        };
        let (bytes, origin) = self.secret_bytes(source.env, source.file, &field.span)?;
        let value = std::str::from_utf8(&bytes).ok().and_then(|text| HeaderValue::parse(text).ok());
        let Some(mut value) = value else {
            let problem =
                Problem::error(format!("{origin} holds characters that cannot be sent in a header"));
            self.problems.push(problem.at(&field.span).hint("only printable ASCII may be sent"));
            return None;
        };
        // Not to be shown by `Debug`.
        value.set_sensitive(true);
        Some(value)
    }
}
