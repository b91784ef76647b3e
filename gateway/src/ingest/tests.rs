use std::sync::Arc;

use http::Method;

use crate::config;

/// A route for POST that anybody may send to.
pub(crate) fn route(name: &str, path: &str) -> config::Route {
    config::Route {
        name: Arc::from(name),
        host: None,
        path: path.to_owned(),
        methods: vec![Method::POST],
        verify: config::Verify::None,
        dedupe: None,
        max_body: 1 << 20,
        rate: None,
        pipeline: Vec::new(),
        deliver: Vec::new(),
    }
}
