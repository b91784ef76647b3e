//! Grants: what a plugin may use beside the event.

use super::{Checker, all};
use crate::config::{
    Grants, HttpGrant, Scheme, field::Field, literal::Written, raw, report::Problem, units::Size,
};

impl Checker<'_> {
    pub(super) fn grants(&mut self, field: Field<raw::Grants>) -> Option<Grants> {
        let raw::Grants { kv, http } = field.value?;
        let kv = all(kv.map(|kv| self.within(kv, Size::kib(1)..=Size::gib(1))));
        let mut granted: Vec<HttpGrant> = Vec::new();
        let mut are_right = true;
        for field in http.value? {
            let span = field.span.clone();
            let Some(grant) = self.http_grant(field) else {
                are_right = false;
                continue;
            };
            if granted.iter().any(|known| known.to_string() == grant.to_string()) {
                self.problems.push(Problem::error(format!("`{grant}` is granted twice")).at(&span));
            }
            granted.push(grant);
        }
        let kv = kv?.map(|size| size.0);
        are_right.then_some(Grants { kv, http: granted })
    }

    fn http_grant(&mut self, field: Field<raw::HttpGrant>) -> Option<HttpGrant> {
        let raw::HttpOrigin { url, private } = match field.value? {
            raw::HttpGrant::String(Written(grant)) => return Some(grant),
            raw::HttpGrant::Table(table) => table,
        };
        let url =
            self.required(url, "url", &field.span, "the server, such as \"http://users.internal:8080\"")?;
        let (span, origin, private) = (url.span.clone(), url.parsed()?, private.value?);
        if origin.scheme == Scheme::Http && !private {
            let problem =
                Problem::error("over the public internet, plain http can be read and changed on its way");
            let hint = "write `https`, or add `private = true` if the server is in a network of yours";
            self.problems.push(problem.at(&span).hint(hint));
            return None;
        }
        if origin.is_local() && !private {
            let problem = Problem::error(format!("`{}` is not at the public internet", origin.host));
            self.problems.push(problem.at(&span).hint("add `private = true` if the plugin is to reach it"));
            return None;
        }
        Some(HttpGrant { scheme: origin.scheme, host: origin.host, port: origin.port, private })
    }
}
