//! Finds the route of a request: method + host + path. Built once; no I/O and no lock while matching.
//!
//! A path is matched segment by segment as it was sent: nothing is decoded or resolved first, so `/a/../b` is
//! just a path with a segment `..` in it. At each segment a literal beats a `{name}`, and that beats a `*`.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use http::{HeaderValue, Method};

use crate::config;

/// All routes of a generation.
#[derive(Default)]
pub struct Router {
    any_host: Node,
    hosts: HashMap<String, Node>,
}

/// The route of a request.
#[derive(Debug, PartialEq)]
pub struct RouteMatch<'r> {
    /// Its index in the slice that the router was built from.
    pub index: usize,
    pub name: &'r Arc<str>,
    /// The `{name}` segments, percent-decoded.
    pub params: Vec<(String, String)>,
    /// Where the method is not one of the route's own, but one that handshakes come with: those that are, as the
    /// `allow` header has them. What fits no handshake is to be answered with it.
    pub only_handshakes: Option<HeaderValue>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoute {
    NotFound,
    /// The path is known, but not with this method.
    MethodNotAllowed {
        /// The methods it is known with, as the `allow` header has them.
        allow: HeaderValue,
    },
}

/// Why no router can be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteConflict {
    #[error("routes `{first}` and `{second}` both take {method} `{path}`")]
    Overlap { first: Arc<str>, second: Arc<str>, method: Method, path: String },
    #[error("path `{path}` of route `{route}` {reason}")]
    Path { route: Arc<str>, path: String, reason: &'static str },
}

/// One segment of a route's path.
#[derive(Debug, PartialEq)]
enum Segment<'p> {
    Literal(&'p str),
    Param(&'p str),
    /// The rest of the path, at least one segment of it.
    Rest,
}

/// What may follow one beginning of a path.
#[derive(Default)]
struct Node {
    literals: HashMap<String, Self>,
    param: Option<Box<Self>>,
    /// The routes whose path ends here.
    end: Endpoint,
    /// The routes whose path goes on with `*`.
    rest: Endpoint,
}

/// The routes of one path, told apart by method.
#[derive(Default)]
struct Endpoint {
    routes: Vec<Entry>,
}

struct Entry {
    index: usize,
    name: Arc<str>,
    /// Those that events come with.
    methods: Vec<Method>,
    /// Others, which only handshakes come with.
    greetings: Vec<Method>,
    /// Names of the `{name}` segments, in order.
    params: Vec<String>,
}

impl Router {
    /// # Errors
    /// When two routes want the same requests, or a path cannot be understood.
    pub fn build(routes: &[Arc<config::Route>]) -> Result<Self, RouteConflict> {
        let mut router = Self::default();
        for (index, route) in routes.iter().enumerate() {
            let root = match &route.host {
                Some(host) => router.hosts.entry(host.to_ascii_lowercase()).or_default(),
                None => &mut router.any_host,
            };
            root.insert(index, route)?;
        }
        Ok(router)
    }

    /// `host` may have a port and any case; `path` is the raw path without its query.
    ///
    /// # Errors
    /// When there is no such path, or not with this method.
    pub fn find(&self, method: &Method, host: Option<&str>, path: &str) -> Result<RouteMatch<'_>, NoRoute> {
        let mut values = Vec::new();
        let path = path.strip_prefix('/').ok_or(NoRoute::NotFound)?;
        let endpoint = self
            .of_host(host)
            .and_then(|root| root.find(path, &mut values))
            .or_else(|| self.any_host.find(path, &mut values))
            .ok_or(NoRoute::NotFound)?;
        let entry = endpoint
            .routes
            .iter()
            .find(|entry| entry.takes(method))
            .ok_or_else(|| NoRoute::MethodNotAllowed { allow: endpoint.allow() })?;
        let values = values.into_iter().map(|value| percent_decode(value).into_owned());
        let params = entry.params.iter().cloned().zip(values).collect();
        let only_handshakes = (!entry.methods.contains(method)).then(|| endpoint.allow());
        Ok(RouteMatch { index: entry.index, name: &entry.name, params, only_handshakes })
    }

    fn of_host(&self, host: Option<&str>) -> Option<&Node> {
        if self.hosts.is_empty() {
            return None;
        }
        let host = without_port(host?);
        let host = host.strip_suffix('.').unwrap_or(host);
        match host.bytes().any(|b| b.is_ascii_uppercase()) {
            true => self.hosts.get(&host.to_ascii_lowercase()),
            false => self.hosts.get(host),
        }
    }
}

/// `example.com:8080` without `:8080`; an IPv6 address keeps its colons.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

impl Node {
    fn insert(&mut self, index: usize, route: &config::Route) -> Result<(), RouteConflict> {
        let wrong =
            |reason| RouteConflict::Path { route: route.name.clone(), path: route.path.clone(), reason };
        let mut node = self;
        let mut params = Vec::new();
        for segment in segments(&route.path).map_err(wrong)? {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.to_owned()).or_default(),
                Segment::Param(name) => {
                    params.push(name.to_owned());
                    node.param.get_or_insert_default()
                }
                Segment::Rest => return node.rest.insert(index, route, params),
            };
        }
        node.end.insert(index, route, params)
    }

    /// The most specific endpoint for `path`, which has no leading `/`. What its `{name}` segments stand for
    /// is pushed on `values`.
    fn find<'p>(&self, path: &'p str, values: &mut Vec<&'p str>) -> Option<&Endpoint> {
        let (segment, rest) = path.split_once('/').map_or((path, None), |(s, rest)| (s, Some(rest)));
        if let Some(found) = self.literals.get(segment).and_then(|node| node.go_on(rest, values)) {
            return Some(found);
        }
        if let Some(node) = self.param.as_deref().filter(|_| !segment.is_empty()) {
            values.push(segment);
            if let Some(found) = node.go_on(rest, values) {
                return Some(found);
            }
            values.pop();
        }
        self.rest.if_any()
    }

    fn go_on<'p>(&self, rest: Option<&'p str>, values: &mut Vec<&'p str>) -> Option<&Endpoint> {
        match rest {
            Some(rest) => self.find(rest, values),
            None => self.end.if_any(),
        }
    }
}

impl Endpoint {
    fn insert(
        &mut self,
        index: usize,
        route: &config::Route,
        params: Vec<String>,
    ) -> Result<(), RouteConflict> {
        let own = |method: &Method| route.methods.contains(method);
        let greetings: Vec<_> = route.verify.handshake_methods().filter(|method| !own(method)).collect();
        for entry in &self.routes {
            if let Some(method) = route.methods.iter().chain(&greetings).find(|method| entry.takes(method)) {
                return Err(RouteConflict::Overlap {
                    first: entry.name.clone(),
                    second: route.name.clone(),
                    method: method.clone(),
                    path: route.path.clone(),
                });
            }
        }
        let (name, methods) = (route.name.clone(), route.methods.clone());
        self.routes.push(Entry { index, name, methods, greetings, params });
        Ok(())
    }

    fn if_any(&self) -> Option<&Self> {
        (!self.routes.is_empty()).then_some(self)
    }

    fn allow(&self) -> HeaderValue {
        let methods: Vec<_> =
            self.routes.iter().flat_map(|entry| &entry.methods).map(Method::as_str).collect();
        // Methods are tokens, and so is a list of them.
        HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
    }
}

impl Entry {
    fn takes(&self, method: &Method) -> bool {
        self.methods.contains(method) || self.greetings.contains(method)
    }
}

fn segments(path: &str) -> Result<Vec<Segment<'_>>, &'static str> {
    let rest = path.strip_prefix('/').ok_or("does not begin with `/`")?;
    let mut segments = Vec::new();
    for text in rest.split('/') {
        if segments.contains(&Segment::Rest) {
            return Err("goes on after `*`");
        }
        segments.push(segment(text)?);
    }
    Ok(segments)
}

fn segment(text: &str) -> Result<Segment<'_>, &'static str> {
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some("") => Err("has a `{}` without a name"),
        Some(name) if !name.contains(['{', '}']) => Ok(Segment::Param(name)),
        None if text == "*" => Ok(Segment::Rest),
        None if !text.contains(['{', '}', '*', '?', '#']) => Ok(Segment::Literal(text)),
        _ => Err("has a segment that is neither plain text, nor `{name}`, nor `*`"),
    }
}

/// Undoes percent encoding. What is malformed or not UTF-8 stays as it is.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let mut decoded = [0];
        let hex = tail.get(..2).filter(|_| *first == b'%');
        match hex.map(|hex| hex::decode_to_slice(hex, &mut decoded)) {
            Some(Ok(())) => (bytes.push(decoded[0]), rest = &tail[2..]),
            Some(Err(_)) | None => (bytes.push(*first), rest = tail),
        };
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::tests::route;

    fn router(routes: &[(&str, &str)]) -> Result<Router, RouteConflict> {
        let routes: Vec<_> = routes.iter().map(|(host, path)| Arc::new(on_host(host, path))).collect();
        Router::build(&routes)
    }

    /// A route whose name is its host and path.
    fn on_host(host: &str, path: &str) -> config::Route {
        let name = format!("{host}{path}");
        config::Route { host: Some(host.to_owned()).filter(|h| !h.is_empty()), ..route(&name, path) }
    }

    #[track_caller]
    fn check(router: &Router, host: &str, path: &str, expected: &str) {
        let found = router.find(&Method::POST, Some(host), path);
        assert_eq!(found.map(|m| m.name.to_string()), Ok(expected.to_owned()));
    }

    fn not_found(router: &Router, path: &str) -> bool {
        router.find(&Method::POST, None, path) == Err(NoRoute::NotFound)
    }

    #[test]
    fn a_literal_beats_a_name_beats_the_rest() {
        let router = router(&[("", "/a/*"), ("", "/a/{x}"), ("", "/a/b"), ("", "/a/{x}/c")]).unwrap();
        check(&router, "h", "/a/b", "/a/b");
        check(&router, "h", "/a/q", "/a/{x}");
        check(&router, "h", "/a/b/c", "/a/{x}/c");
        check(&router, "h", "/a/b/d", "/a/*");
        check(&router, "h", "/a/", "/a/*");
        assert!(not_found(&router, "/a"));
    }

    #[test]
    fn the_host_of_a_route_beats_any_host() {
        let router = router(&[("", "/a"), ("", "/b"), ("x.test", "/a"), ("x.test", "/c")]).unwrap();
        check(&router, "x.test", "/a", "x.test/a");
        check(&router, "X.Test:8080", "/a", "x.test/a");
        check(&router, "x.test.", "/a", "x.test/a");
        check(&router, "x.test", "/b", "/b");
        check(&router, "y.test", "/a", "/a");
        assert!(not_found(&router, "/c"));
    }

    #[test]
    fn names_are_percent_decoded_and_in_order() {
        let router = router(&[("", "/{org}/x/{repo}")]).unwrap();
        let found = router.find(&Method::POST, None, "/a%2Fb/x/%zz%C3%A9").unwrap();
        let expected = [("org", "a/b"), ("repo", "%zzé")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(found.params, expected);
        assert!(not_found(&router, "//x/b"), "a name stands for at least one character");
    }

    #[test]
    fn paths_are_matched_as_they_were_sent() {
        let router = router(&[("", "/admin"), ("", "/x/*")]).unwrap();
        for path in ["/x/../admin", "/x/%2e%2e/admin"] {
            check(&router, "h", path, "/x/*");
        }
        for path in ["/y/../admin", "//admin", "/admin/", "/%61dmin", "/Admin", "", "admin", "*"] {
            assert!(not_found(&router, path), "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_are_allowed() {
        let mut both = route("both", "/a");
        both.methods = vec![Method::POST, Method::PUT];
        let router = Router::build(&[Arc::new(both), Arc::new(route("other", "/b"))]).unwrap();
        let allow = HeaderValue::from_static("POST, PUT");
        assert_eq!(router.find(&Method::GET, None, "/a"), Err(NoRoute::MethodNotAllowed { allow }));
    }

    #[test]
    fn routes_on_one_path_are_told_apart_by_method() {
        let mut get = route("get", "/a/{y}");
        get.methods = vec![Method::GET];
        let router = Router::build(&[Arc::new(route("post", "/a/{x}")), Arc::new(get)]).unwrap();
        let found = router.find(&Method::GET, None, "/a/1").unwrap();
        assert_eq!((found.index, found.params), (1, vec![("y".to_owned(), "1".to_owned())]));
    }

    #[test]
    fn methods_of_handshakes_lead_to_the_route_and_are_not_among_those_allowed() {
        let verify = crate::verify::tests::by_preset("dropbox", &["x"]);
        let dropbox = config::Route { verify, ..route("dropbox", "/a") };
        let router = Router::build(&[Arc::new(dropbox.clone())]).unwrap();
        let allow = HeaderValue::from_static("POST");
        assert_eq!(router.find(&Method::POST, None, "/a").unwrap().only_handshakes, None);
        assert_eq!(router.find(&Method::GET, None, "/a").unwrap().only_handshakes, Some(allow.clone()));
        assert_eq!(router.find(&Method::HEAD, None, "/a"), Err(NoRoute::MethodNotAllowed { allow }));

        let get = config::Route { methods: vec![Method::GET], ..route("get", "/a") };
        let conflict = Router::build(&[Arc::new(dropbox), Arc::new(get)]).err().unwrap();
        assert_eq!(conflict.to_string(), "routes `dropbox` and `get` both take GET `/a`");
    }

    #[test]
    fn two_routes_for_the_same_requests_are_refused() {
        let conflict = router(&[("", "/a/{x}"), ("", "/a/{y}")]).err().unwrap();
        assert_eq!(conflict.to_string(), "routes `/a/{x}` and `/a/{y}` both take POST `/a/{y}`");
    }

    #[test]
    fn paths_that_cannot_be_understood_are_refused() {
        for path in ["a", "/*/a", "/a*", "/{}", "/a{b}", "/{a}b", "/{a{b}}", "/a?b", "/}"] {
            assert!(matches!(router(&[("", path)]), Err(RouteConflict::Path { .. })), "{path}");
        }
    }

    /// How specific a pattern is where it matches: for each segment 0 literal, 1 name, 2 rest.
    fn rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
        let mut ranks = Vec::new();
        let mut parts = path.split('/').skip(1);
        for segment in segments(pattern).unwrap() {
            let part = parts.next()?;
            ranks.push(match segment {
                Segment::Literal(text) => (text == part).then_some(0)?,
                Segment::Param(_) => (!part.is_empty()).then_some(1)?,
                Segment::Rest => return Some([ranks, vec![2]].concat()),
            });
        }
        parts.next().is_none().then_some(ranks)
    }

    proptest! {
        #[test]
        fn the_most_specific_route_is_found(
            patterns in prop::collection::btree_set("(/(a|b|\\{x\\})){1,4}(/\\*)?", 1..12),
            path in "(/(a|b|c|)){1,5}",
        ) {
            let pairs: Vec<_> = patterns.iter().map(|p| ("", p.as_str())).collect();
            let best = patterns.iter().filter_map(|p| Some((rank(p, &path)?, p))).min();
            let router = router(&pairs).unwrap();
            let found = router.find(&Method::POST, None, &path).ok().map(|m| m.name.to_string());
            prop_assert_eq!(found.as_ref(), best.map(|(_, pattern)| pattern));
        }

        #[test]
        fn arbitrary_paths_never_panic(path: String, host: String) {
            let router = router(&[("", "/{a}/b/*"), ("x", "/{a}")]).unwrap();
            let _ = router.find(&Method::POST, Some(&host), &path);
        }
    }
}
