//! Routes: how they refer to the rest and how they stand to each other.

use std::{collections::HashMap, ops::Range, sync::Arc, time::Duration};

use http::Method;

use super::{Checker, Defined, Definition, all, overlaps::Place, steps::Uses};
use crate::config::{
    Destination, Plugin, Route, Verify,
    field::Field,
    literal::{Text, Written},
    names::Name,
    raw,
    report::Problem,
    units::Size,
};

/// A body is held in memory; beyond this a few senders could fill it.
const MUCH_BODY: Size = Size::mib(64);

impl Checker<'_> {
    pub(super) fn routes(
        &mut self,
        field: Option<Field<Vec<Field<raw::Route>>>>,
        plugins: &mut Defined<Plugin>,
        destinations: &mut Defined<Destination>,
    ) -> Option<Vec<Arc<Route>>> {
        let is_written = field.is_some();
        let fields = field.map_or(Some(Vec::new()), |field| field.value)?;
        if fields.is_empty() {
            let message = if is_written { "the list of routes is empty" } else { "there is no route" };
            let hint = "add one: `[[routes]]` with `name`, `path`, `verify` and `deliver`";
            self.problems.push(Problem::error(message).hint(hint));
        }
        let mut placed = Vec::new();
        let mut names = HashMap::new();
        let mut routes = Vec::new();
        for field in fields {
            let span = field.span.clone();
            self.name_once(&field, &mut names);
            placed.extend(Place::of(&field));
            routes.push(self.route(field, &span, plugins, destinations).map(Arc::new));
        }
        self.overlaps(&placed);
        routes.into_iter().collect()
    }

    fn route(
        &mut self,
        field: Field<raw::Route>,
        span: &Range<usize>,
        plugins: &mut Defined<Plugin>,
        destinations: &mut Defined<Destination>,
    ) -> Option<Route> {
        let raw::Route {
            name,
            host,
            path,
            methods,
            verify,
            respond,
            dedupe,
            max_body,
            rate,
            pipeline,
            batch,
            deliver,
        } = field.value?;
        let mut uses = Vec::new();
        let called = called(&name);
        let name = self.required(name, "name", span, "what logs and metrics call the route");
        let path = self.required(path, "path", span, "what requests are made to, such as \"/github\"");
        let verify = self.required(verify, "verify", span, VERIFY_HINT);
        let verify = verify.and_then(|verify| self.verify(verify, plugins, &called, &mut uses));
        let respond = self.respond(respond, verify.as_ref());
        let methods = self.methods(methods);
        let dedupe = self.dedupe(dedupe);
        let max_body = self.max_body(max_body);
        let pipeline = self.pipeline(pipeline, plugins, &called, &mut uses);
        let batch = all(batch.map(|batch| self.batch(batch, plugins, &called, &mut uses)));
        let deliver = self.deliver(deliver, span, destinations, &called);
        let (host, rate) = (all(host.map(Text::parsed)), all(rate.map(Text::parsed)));
        let name = name?.parsed()?.0;
        self.places.add_uses(&name, uses);
        Some(Route {
            name,
            host: host?.map(|host| host.0),
            path: path?.parsed()?.0,
            methods: methods?,
            verify: verify?,
            respond: respond?,
            dedupe: dedupe?,
            max_body: max_body?,
            rate: rate?,
            pipeline: pipeline?,
            batch: batch?,
            deliver: deliver?,
        })
    }

    fn name_once(&mut self, route: &Field<raw::Route>, seen: &mut HashMap<Arc<str>, Range<usize>>) {
        let Some(name) = route.value.as_ref().and_then(|route| route.name.as_ref()) else { return };
        let Some(Written(text)) = &name.value else { return };
        if let Some(first) = seen.get(&text.0) {
            let problem = Problem::error(format!("two routes are called `{}`", text.0));
            self.problems.push(problem.at(&name.span).other(first, "the first one"));
        } else {
            seen.insert(text.0.clone(), name.span.clone());
        }
    }

    fn verify(
        &mut self,
        field: Field<raw::Verify>,
        plugins: &mut Defined<Plugin>,
        route: &str,
        uses: &mut Uses,
    ) -> Option<Verify> {
        match field.value? {
            raw::Verify::String(Written(raw::Unsigned)) => {
                let warning =
                    Problem::warning(format!("{route} takes in what anybody sends")).at(&field.span);
                self.problems.push(warning.hint("verify the sender with a `preset` or a `scheme`"));
                Some(Verify::None)
            }
            raw::Verify::Table(signature) => match signature.plugin.is_some() {
                true => self.plugin_proof(*signature, &field.span, plugins, route, uses),
                false => self.proof(*signature, &field.span),
            },
        }
    }

    fn methods(&mut self, field: Field<Vec<Text<Method>>>) -> Option<Vec<Method>> {
        let methods = field.value?;
        if methods.is_empty() {
            let problem = Problem::error("the list of methods is empty: no request would ever match");
            self.problems.push(problem.at(&field.span).hint("leave `methods` out to take in POST"));
        }
        let mut distinct = Vec::new();
        for method in methods {
            let method = method.parsed()?;
            if !distinct.contains(&method) {
                distinct.push(method);
            }
        }
        Some(distinct)
    }

    fn dedupe(&mut self, field: Field<raw::Dedupe>) -> Option<Option<Duration>> {
        let problem = match field.value? {
            raw::Dedupe::Boolean(false) => return Some(None),
            raw::Dedupe::String(Written(window)) if !window.is_zero() => return Some(Some(window)),
            raw::Dedupe::String(_) => "the duration is zero",
            raw::Dedupe::Boolean(true) => "`true` does not say for how long",
        };
        let hint = "write a duration such as \"24h\", or `false` to not look for duplicates";
        self.problems.push(Problem::error(problem).at(&field.span).hint(hint));
        None
    }

    fn max_body(&mut self, field: Text<Size>) -> Option<usize> {
        let span = field.span.clone();
        let size = self.within(field, Size(1)..=Size::gib(1))?;
        if size > MUCH_BODY {
            let warning = Problem::warning("bodies are held in memory, and these may be larger than 64MiB");
            self.problems.push(warning.at(&span).hint("keep `max_body` near what the provider sends"));
        }
        usize::try_from(size.0).ok()
    }

    fn deliver(
        &mut self,
        field: Field<Vec<Field<String>>>,
        route_span: &Range<usize>,
        destinations: &mut Defined<Destination>,
        route: &str,
    ) -> Option<Vec<Arc<str>>> {
        let span = if field.is_written() { field.span.clone() } else { route_span.clone() };
        let names = field.value?;
        if names.is_empty() {
            let warning =
                Problem::warning(format!("{route} has no destination: every event ends there")).at(&span);
            self.problems.push(warning.hint("name one in `deliver`"));
        }
        let mut found = Vec::new();
        for name in &names {
            let Some(Definition { name: destination, .. }) = self.find(destinations, name, route) else {
                continue;
            };
            if found.contains(destination) {
                let problem = Problem::error(format!("{route} names destination `{destination}` twice"));
                self.problems.push(problem.at(&name.span).hint("a destination gets each message once"));
            } else {
                found.push(destination.clone());
            }
        }
        (found.len() == names.len()).then_some(found)
    }
}

const VERIFY_HINT: &str = "a table such as `{ preset = \"github\", secrets = [{ env = \"…\" }] }`, or \"none\" \
                           to take in what anybody sends";

/// What messages call a route.
pub(super) fn called(name: &Option<Text<Name>>) -> String {
    match name.as_ref().and_then(|name| name.value.as_ref()) {
        Some(Written(name)) => format!("route `{}`", name.0),
        None => "a route".to_owned(),
    }
}
