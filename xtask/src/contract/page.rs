//! The contract as a page of Markdown.

use std::fmt::Write;

use wit_parser::{
    Docs, Function, Interface, InterfaceId, PackageId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, World,
    WorldItem, WorldKey,
};

use super::{WIT, signature};

/// Writes one package.
pub(super) struct Page<'a> {
    resolve: &'a Resolve,
    package: PackageId,
    text: String,
}

/// A part of a type: its name, its own type, what it means.
type Part<'a> = (&'a str, Option<Type>, &'a Docs);

impl<'a> Page<'a> {
    pub(super) fn new(resolve: &'a Resolve, package: PackageId) -> Self {
        Self { resolve, package, text: String::new() }
    }

    pub(super) fn write(mut self) -> String {
        let package = &self.resolve.packages[self.package];
        self.line(&format!("# The contract, `{}`", package.name));
        self.line(&format!(
            "Made of [`{WIT}`](../../{WIT}) by `cargo xtask contract`; a change belongs there.\n\
             [Versions](versioning.md) says what may change, [limits and grants](limits-and-grants.md) how much of \
             each there is, [kinds](kinds.md) what the gateway makes of an answer."
        ));
        self.docs(&package.docs);
        self.worlds();
        package.interfaces.values().for_each(|id| self.interface(*id));
        self.text.trim_end().to_owned() + "\n"
    }

    fn worlds(&mut self) {
        self.line("## Worlds");
        self.line("What a plugin of each kind may import, and what it exports.");
        self.row("| World | Exports | Imports |");
        self.row("|---|---|---|");
        for id in self.resolve.packages[self.package].worlds.values() {
            let World { name, imports, exports, .. } = &self.resolve.worlds[*id];
            let (imports, exports) = (self.listed(imports.iter()), self.listed(exports.iter()));
            self.row(&format!("| `{name}` | {exports} | {imports} |"));
        }
        self.row("");
    }

    /// The interfaces of a world, in the order in which the contract has them.
    fn listed<'i>(&self, items: impl Iterator<Item = (&'i WorldKey, &'i WorldItem)>) -> String {
        let mut ids: Vec<_> = items
            .filter_map(|(_, item)| match item {
                WorldItem::Interface { id, .. } => Some(*id),
                WorldItem::Function(_) | WorldItem::Type { .. } => None,
            })
            .collect();
        ids.sort();
        let links: Vec<_> = ids.into_iter().map(|id| link(name_of(&self.resolve.interfaces[id]))).collect();
        links.join(", ")
    }

    fn interface(&mut self, id: InterfaceId) {
        let resolve = self.resolve;
        let interface = &resolve.interfaces[id];
        self.line(&format!("## `{}`", name_of(interface)));
        self.docs(&interface.docs);
        // What is used of another interface is described there.
        let own = |ty: &&TypeId| signature::origin(resolve, **ty) == **ty;
        interface.types.values().filter(own).for_each(|ty| self.type_def(*ty));
        let functions = interface.functions.values().filter(|function| function.kind.resource().is_none());
        self.functions(functions, "### Functions");
    }

    fn type_def(&mut self, id: TypeId) {
        let def = &self.resolve.types[id];
        let heading = self.path(id);
        match &def.kind {
            TypeDefKind::Resource => {
                self.line(&format!("### `{heading}`"));
                self.line("A resource: it stays with the gateway, and its methods copy what they return.");
                self.docs(&def.docs);
                self.methods(id);
            }
            TypeDefKind::Record(record) => {
                let parts = record.fields.iter().map(|field| (&*field.name, Some(field.ty), &field.docs));
                self.parts(&heading, "record", &def.docs, &parts.collect::<Vec<_>>());
            }
            TypeDefKind::Variant(variant) => {
                let parts = variant.cases.iter().map(|case| (&*case.name, case.ty, &case.docs));
                self.parts(&heading, "variant", &def.docs, &parts.collect::<Vec<_>>());
            }
            TypeDefKind::Enum(cases) => {
                let parts = cases.cases.iter().map(|case| (&*case.name, None, &case.docs));
                self.parts(&heading, "enum", &def.docs, &parts.collect::<Vec<_>>());
            }
            kind => {
                self.line(&format!("### `{heading}`"));
                self.line(&format!("`{}`", signature::anonymous(self.resolve, kind)));
                self.docs(&def.docs);
            }
        }
    }

    fn methods(&mut self, resource: TypeId) {
        let TypeOwner::Interface(owner) = self.resolve.types[resource].owner else { return };
        let all = self.resolve.interfaces[owner].functions.values();
        self.functions(all.filter(|function| function.kind.resource() == Some(resource)), "");
    }

    fn functions(&mut self, functions: impl Iterator<Item = &'a Function>, heading: &str) {
        let mut functions = functions.peekable();
        if functions.peek().is_none() {
            return;
        }
        if !heading.is_empty() {
            self.line(heading);
        }
        functions.for_each(|function| self.function(function));
        self.row("");
    }

    fn function(&mut self, function: &Function) {
        let links = self.links(signature::types(self.resolve, function));
        let shown = format!("- `{}`{links}", signature::of(self.resolve, function));
        match &function.docs.contents {
            Some(text) => self.row(&format!("{shown}\\\n  {}", one_line(text))),
            None => self.row(&shown),
        }
    }

    fn parts(&mut self, heading: &str, what: &str, docs: &Docs, parts: &[Part<'_>]) {
        self.line(&format!("### `{heading}`"));
        self.docs(docs);
        self.row(&format!("| {what} | |"));
        self.row("|---|---|");
        for (name, ty, docs) in parts {
            let is = ty.as_ref().map(|ty| signature::name(self.resolve, ty));
            let shown = match (what, is) {
                ("record", Some(is)) => format!("{name}: {is}"),
                (_, Some(is)) => format!("{name}({is})"),
                (_, None) => (*name).to_owned(),
            };
            let links = self.links(signature::types_in(self.resolve, ty));
            let text = docs.contents.as_deref().map(one_line).unwrap_or_default();
            let gap = if text.is_empty() { "" } else { " " };
            self.row(&format!("| `{shown}`{links} |{gap}{text} |"));
        }
        self.row("");
    }

    fn links(&self, types: Vec<TypeId>) -> String {
        let links: Vec<_> = types.into_iter().map(|id| link(&self.path(id))).collect();
        if links.is_empty() { String::new() } else { format!(" ({})", links.join(", ")) }
    }

    /// `incoming/event`
    fn path(&self, id: TypeId) -> String {
        let def = &self.resolve.types[id];
        let own = def.name.as_deref().unwrap_or_default();
        match def.owner {
            TypeOwner::Interface(owner) => {
                format!("{}/{own}", name_of(&self.resolve.interfaces[owner]))
            }
            TypeOwner::World(_) | TypeOwner::None => own.to_owned(),
        }
    }

    fn docs(&mut self, docs: &Docs) {
        if let Some(text) = &docs.contents {
            let paragraphs = text.trim().split("\n\n").map(one_line).collect::<Vec<_>>();
            self.line(&paragraphs.join("\n\n"));
        }
    }

    /// A paragraph.
    fn line(&mut self, text: &str) {
        self.row(text);
        self.row("");
    }

    fn row(&mut self, text: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{text}");
    }
}

fn name_of(interface: &Interface) -> &str {
    interface.name.as_deref().unwrap_or_default()
}

/// To a heading of this page.
fn link(heading: &str) -> String {
    format!("[`{heading}`](#{})", anchor(heading))
}

/// What GitHub makes of a heading.
pub(super) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
