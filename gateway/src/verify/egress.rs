//! Requests of our own to providers: over HTTPS, to public addresses, and not for long.

use std::time::Duration;

use reqwest::ClientBuilder;

use crate::egress::{self, Reach, root_cause};

/// For connecting and answering together.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Clients that ask public addresses over HTTPS, and give up after [`TIMEOUT`].
pub(super) fn client() -> ClientBuilder {
    egress::client(Reach::Public).https_only(true).timeout(TIMEOUT)
}

/// Why a request failed, without its URL.
pub(super) fn describe(error: reqwest::Error) -> String {
    match error.is_timeout() {
        true => format!("no answer within {} s", TIMEOUT.as_secs()),
        false => root_cause(&error).to_string(),
    }
}
