//! From what the file says to what is true: defaults, bounds, references, files and secrets.
//!
//! Everything here records what is wrong and goes on; a `None` on the way means "recorded".

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    Admin, Config, Env, Journal, Places, Server, Tls,
    field::{Field, Table},
    literal::{Literal, Text, Written},
    names::Name,
    nearest, raw,
    report::Problem,
    units::Size,
};

mod destinations;
mod grants;
mod overlaps;
mod plugins;
mod proof;
mod routes;
mod secrets;
mod steps;

/// Checks a file's content and gives the config if nothing is wrong with it.
pub(super) fn check(
    raw: raw::Config,
    path: &Path,
    places: Places,
    env: &dyn Env,
    problems: Vec<Problem>,
) -> (Option<Config>, Vec<Problem>) {
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut checker = Checker { dir, env, problems, files: vec![path.to_owned()], places };
    (checker.config(raw), checker.problems)
}

struct Checker<'a> {
    /// Where relative paths start.
    dir: &'a Path,
    env: &'a dyn Env,
    problems: Vec<Problem>,
    files: Vec<PathBuf>,
    places: Places,
}

/// Plugins or destinations, right ones and wrong ones: a reference to a wrong one is not a second mistake.
struct Defined<T> {
    /// `plugin` or `destination`.
    what: &'static str,
    /// The table's key: `plugins` or `destinations`.
    table: &'static str,
    by_name: BTreeMap<Arc<str>, Definition<T>>,
    /// A route names one that is not there: perhaps by mistake for one that would otherwise be unused.
    is_missed: bool,
}

struct Definition<T> {
    name: Arc<str>,
    span: Range<usize>,
    value: Option<Arc<T>>,
    is_used: bool,
}

impl Checker<'_> {
    fn config(&mut self, raw: raw::Config) -> Option<Config> {
        let raw::Config { server, admin, journal, plugins, destinations, routes } = raw;
        self.listeners_apart(&server, &admin);
        let server = self.server(server);
        let admin = self.admin(admin);
        let journal = self.journal(journal);
        let mut plugins = self.define("plugin", "plugins", plugins, Self::plugin);
        let mut destinations = self.define("destination", "destinations", destinations, Self::destination);
        let routes = self.routes(routes, &mut plugins, &mut destinations);
        self.unused(&plugins);
        self.unused(&destinations);
        Some(Config {
            server: server?,
            admin: admin?,
            journal: journal?,
            plugins: plugins.into_values()?,
            destinations: destinations.into_values()?,
            routes: routes?,
            files: self.files_once(),
            places: std::mem::take(&mut self.places),
        })
    }

    fn server(&mut self, raw: Field<raw::Server>) -> Option<Server> {
        let raw::Server { listen, tls, max_connections, max_headers, header_timeout, body_timeout, grace } =
            raw.value?;
        // hyper reads into 8 KiB at least.
        let max_headers = self.within(max_headers, Size::kib(8)..=Size::mib(1));
        let header_timeout = self.not_zero(header_timeout);
        let body_timeout = self.not_zero(body_timeout);
        let tls = tls.map(|tls| self.tls(tls));
        Some(Server {
            listen: listen.parsed()?,
            tls: all(tls)?,
            max_connections: max_connections.value?.0 as usize,
            max_headers: usize::try_from(max_headers?.0).ok()?,
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            grace: grace.parsed()?,
        })
    }

    fn tls(&mut self, raw: Field<raw::Tls>) -> Option<Tls> {
        let raw::Tls { cert, key } = raw.value?;
        let cert = self.required(cert, "cert", &raw.span, "the PEM file of the certificate and its chain");
        let key = self.required(key, "key", &raw.span, "the PEM file of the private key");
        let cert = cert.and_then(|cert| self.file(cert, "certificate"));
        let key = key.and_then(|key| self.file(key, "key"));
        Some(Tls { cert: cert?, key: key? })
    }

    fn admin(&mut self, raw: Field<raw::Admin>) -> Option<Admin> {
        let span = raw.span;
        let raw::Admin { listen, token } = raw.value?;
        let has_token = token.is_some();
        let token = all(token.map(|token| self.token(token)));
        let listen_span = if listen.is_written() { listen.span.clone() } else { span };
        let admin = Admin { listen: listen.parsed()?, token: token? };
        if !admin.is_loopback() && !has_token {
            let message =
                format!("`{}` can be reached from other machines and no token is set", admin.listen);
            let hint = "add `token = { env = \"SLUICE_ADMIN_TOKEN\" }`, or listen on 127.0.0.1";
            self.problems.push(Problem::error(message).at(&listen_span).hint(hint));
        }
        Some(admin)
    }

    /// One port cannot serve two listeners, not even with `0.0.0.0` for the one and `127.0.0.1` for the other.
    fn listeners_apart(&mut self, server: &Field<raw::Server>, admin: &Field<raw::Admin>) -> Option<()> {
        let (server, admin) = (&server.value.as_ref()?.listen, &admin.value.as_ref()?.listen);
        let (a, b) = (server.value.as_ref()?.0, admin.value.as_ref()?.0);
        let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
        if same_ip && a.port() == b.port() && a.port() != 0 {
            let message = format!("`server.listen` and `admin.listen` are both at port {}", a.port());
            let problem = Problem::error(message).hint("choose another port for one of them");
            self.problems.push(match (server.is_written(), admin.is_written()) {
                (true, true) => problem.at(&admin.span).other(&server.span, "the other one"),
                (false, true) => problem.at(&admin.span),
                (_, false) => problem.at(&server.span),
            });
        }
        Some(())
    }

    fn journal(&mut self, raw: Field<raw::Journal>) -> Option<Journal> {
        let raw::Journal { path, retain, max_size } = raw.value?;
        let retain = self.not_zero(retain);
        let max_size = self.within(max_size, Size::mib(16)..=Size(i64::MAX as u64));
        Some(Journal { path: self.dir.join(path.parsed()?), retain: retain?, max_size: max_size?.0 })
    }

    /// Reads a table of named things. Their names count as defined even if they are wrong.
    fn define<R, T>(
        &mut self,
        what: &'static str,
        table: &'static str,
        raw: Field<Table<Written<Name>, R>>,
        read: impl Fn(&mut Self, Arc<str>, Field<R>, &Range<usize>) -> Option<T>,
    ) -> Defined<T> {
        let mut by_name = BTreeMap::new();
        for (key, value) in raw.value.unwrap_or_default().0 {
            let span = key.span.clone();
            let Some(Name(name)) = key.parsed() else { continue };
            let value = read(self, name.clone(), value, &span).map(Arc::new);
            by_name.insert(name.clone(), Definition { name, span, value, is_used: false });
        }
        Defined { what, table, by_name, is_missed: false }
    }

    /// Finds what a route names; an undefined name is an error.
    fn find<'d, T>(
        &mut self,
        defined: &'d mut Defined<T>,
        name: &Field<String>,
        route: &str,
    ) -> Option<&'d Definition<T>> {
        let wanted = name.value.as_deref()?;
        if !defined.by_name.contains_key(wanted) {
            let message = format!("{route} names {} `{wanted}`, which is not defined", defined.what);
            self.problems.push(Problem::error(message).at(&name.span).hint(defined.hint(wanted)));
            defined.is_missed = true;
        }
        let definition = defined.by_name.get_mut(wanted)?;
        definition.is_used = true;
        Some(definition)
    }

    fn unused<T>(&mut self, defined: &Defined<T>) {
        if defined.is_missed {
            return;
        }
        for definition in defined.by_name.values().filter(|definition| !definition.is_used) {
            let message = format!("{} `{}` is not used by any route", defined.what, definition.name);
            self.problems.push(Problem::warning(message).at(&definition.span));
        }
    }

    /// A key that must be there; `table` is where it is missing.
    fn required<T>(
        &mut self,
        field: Option<Field<T>>,
        key: &str,
        table: &Range<usize>,
        hint: &str,
    ) -> Option<Field<T>> {
        if field.is_none() {
            let problem = Problem::error(format!("missing key `{key}`"));
            self.problems.push(problem.at(table).hint(format!("`{key}` is {hint}")));
        }
        field
    }

    fn within<T: Literal + PartialOrd>(&mut self, field: Text<T>, bounds: RangeInclusive<T>) -> Option<T> {
        let span = field.span.clone();
        let value = field.parsed()?;
        if bounds.contains(&value) {
            return Some(value);
        }
        let (least, most) = (bounds.start().print(), bounds.end().print());
        let message = match value < *bounds.start() {
            true => format!("`{}` is below the limit of {least}", value.print()),
            false => format!("`{}` is above the limit of {most}", value.print()),
        };
        self.problems.push(Problem::error(message).at(&span));
        None
    }

    fn not_zero(&mut self, field: Text<Duration>) -> Option<Duration> {
        let span = field.span.clone();
        let value = field.parsed()?;
        if value.is_zero() {
            self.problems
                .push(Problem::error("the duration is zero").at(&span).hint("`1ms` is the shortest"));
            return None;
        }
        Some(value)
    }

    /// A file that can be opened for reading.
    fn file(&mut self, field: Text<PathBuf>, what: &str) -> Option<PathBuf> {
        let span = field.span.clone();
        let path = self.dir.join(field.parsed()?);
        self.files.push(path.clone());
        let opened = fs::metadata(&path).and_then(|metadata| match metadata.is_file() {
            true => fs::File::open(&path).map(drop),
            false => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is not a file")),
        });
        match opened {
            Ok(()) => Some(path),
            Err(error) => {
                self.problems.push(unreadable(what, &path, &error).at(&span));
                None
            }
        }
    }

    fn files_once(&self) -> Vec<PathBuf> {
        let mut seen = HashSet::new();
        self.files.iter().filter(|file| seen.insert(*file)).cloned().collect()
    }
}

impl<T> Defined<T> {
    fn hint(&self, wanted: &str) -> String {
        if self.by_name.is_empty() {
            return format!("no {} is defined yet: add `[{}.{wanted}]`", self.what, self.table);
        }
        nearest::hint(wanted, &format!("defined {}", self.table), self.by_name.keys().map(|name| &**name))
    }

    fn into_values(self) -> Option<BTreeMap<Arc<str>, Arc<T>>> {
        self.by_name.into_iter().map(|(name, definition)| Some((name, definition.value?))).collect()
    }
}

/// `None` if it is there and wrong.
fn all<T>(optional: Option<Option<T>>) -> Option<Option<T>> {
    match optional {
        Some(value) => value.map(Some),
        None => Some(None),
    }
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::error(format!("cannot read {what} `{}`: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::NotFound if path.is_relative() => {
            problem.hint("relative paths start at the directory of the config file")
        }
        io::ErrorKind::PermissionDenied => problem.hint("let the user that the gateway runs as read it"),
        _ => problem,
    }
}
