//! How routes stand to each other: none may take what is another's.

use std::{collections::HashMap, ops::Range};

use http::Method;

use super::{Checker, routes::called};
use crate::{
    config::{field::Field, raw, report::Problem},
    verify::scheme::Scheme,
};

/// What a route matches.
pub(super) struct Place {
    route: String,
    /// Of the path.
    span: Range<usize>,
    host: Option<String>,
    path: String,
    /// The path without the names of its parameters.
    shape: String,
    /// Its own, and those that its provider's handshakes come with.
    methods: Vec<Method>,
}

/// The routes by all that they match, the first of several.
type Taken<'a> = HashMap<(&'a Option<String>, &'a str, &'a Method), &'a Place>;

impl Checker<'_> {
    /// Two routes that match the same requests are an error; one that others leave nothing to, a warning.
    pub(super) fn overlaps(&mut self, places: &[Place]) {
        let mut taken = Taken::new();
        for place in places {
            if let Some((first, method)) = place.same_as(&taken) {
                let shown = format!("{method} {}{}", place.host.as_deref().unwrap_or_default(), place.path);
                let message = format!("{} matches what {} matches: {shown}", place.route, first.route);
                let problem = Problem::error(message).at(&place.span).other(&first.span, "the first one");
                self.problems.push(problem.hint("give one of them another path, host or method"));
            }
            for method in &place.methods {
                taken.entry((&place.host, &place.shape, method)).or_insert(place);
            }
        }
        for place in places {
            if let Some(names) = place.shadowed_by(&taken) {
                let why = format!("{names} are more specific and leave nothing to it");
                let message = format!("{} never matches: {why}", place.route);
                self.problems.push(Problem::warning(message).at(&place.span));
            }
        }
    }
}

/// How the route's senders prove themselves, as far as it is known.
fn scheme(route: &raw::Route) -> Option<&Scheme> {
    match route.verify.as_ref()?.value.as_ref()? {
        raw::Verify::String(_) => None,
        raw::Verify::Table(signature) => match (&signature.preset, &signature.scheme) {
            (Some(preset), _) => Some(&preset.value.as_ref()?.scheme),
            (None, Some(scheme)) => scheme.value.as_ref(),
            (None, None) => None,
        },
    }
}

impl Place {
    /// `None` if the route's host, path or methods are wrong, which has been recorded.
    pub(super) fn of(field: &Field<raw::Route>) -> Option<Self> {
        let route = field.value.as_ref()?;
        let field = route.path.as_ref()?;
        let path = &field.value.as_ref()?.0;
        let host = match &route.host {
            Some(host) => Some(host.value.as_ref()?.0.0.clone()),
            None => None,
        };
        let methods = route.methods.value.as_ref()?.iter();
        let mut methods: Vec<_> =
            methods.filter_map(|method| Some(method.value.as_ref()?.0.clone())).collect();
        for method in scheme(route).into_iter().flat_map(Scheme::handshake_methods) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        Some(Self {
            route: called(&route.name),
            span: field.span.clone(),
            host,
            path: path.0.clone(),
            shape: path.shape(),
            methods,
        })
    }

    fn same_as<'a>(&'a self, taken: &Taken<'a>) -> Option<(&'a Self, &'a Method)> {
        let first = |method| Some((*taken.get(&(&self.host, &*self.shape, method))?, method));
        self.methods.iter().find_map(first)
    }

    /// The most specific route wins, so only a `/prefix/*` can be left with nothing: by `/prefix/{name}` and
    /// `/prefix/{name}/*` together, for each of its methods.
    fn shadowed_by(&self, taken: &Taken<'_>) -> Option<String> {
        let prefix = self.shape.strip_suffix('*')?;
        let (one, deeper) = (format!("{prefix}{{}}"), format!("{prefix}{{}}/*"));
        let mut by = Vec::new();
        for method in &self.methods {
            for shape in [&one, &deeper] {
                let other = taken.get(&(&self.host, shape.as_str(), method))?;
                if !by.contains(&other.route) {
                    by.push(other.route.clone());
                }
            }
        }
        (!by.is_empty()).then(|| by.join(" and "))
    }
}
