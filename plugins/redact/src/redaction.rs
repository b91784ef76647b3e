//! What is to be redacted in a body, as a tree of names.

use sluice_plugin::{
    Error,
    json::{Kind, Pointer, Raw},
};

/// Redacts a JSON document.
#[derive(Clone, Debug)]
pub(crate) struct Redaction {
    root: Node,
    /// What a masked value becomes, as JSON.
    mask: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Mask,
    /// Wins over a mask of the same place.
    Remove,
}

#[derive(Clone, Debug, Default)]
struct Node {
    action: Option<Action>,
    /// By name; `*` stands for every member or element.
    children: Vec<(String, Self)>,
}

impl Redaction {
    pub(crate) fn new(mask: &str) -> Result<Self, Error> {
        Ok(Self { root: Node::default(), mask: serde_json::to_string(mask)? })
    }

    /// Adds a place.
    ///
    /// # Errors
    /// Why it can't be redacted.
    pub(crate) fn add(&mut self, pointer: &Pointer, action: Action) -> Result<(), &'static str> {
        if pointer.tokens().is_empty() {
            return Err("the empty pointer names the whole body; use a filter to drop the event");
        }
        let node = pointer.tokens().iter().fold(&mut self.root, |node, token| node.child(token));
        node.action = node.action.max(Some(action));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.root.children.is_empty()
    }

    /// The document without what is to be redacted. White space between the members and elements on the way to a
    /// redacted place is lost; all else is as it was written.
    pub(crate) fn apply(&self, document: Raw<'_>) -> Vec<u8> {
        let mut out = String::with_capacity(document.json().len());
        self.copy(document, &[&self.root], &mut out);
        out.into_bytes()
    }

    /// Copies a value that several nodes may have something to say about: one by name and one by `*`.
    fn copy(&self, value: Raw<'_>, nodes: &[&Node], out: &mut String) {
        if nodes.iter().all(|node| node.children.is_empty()) {
            return out.push_str(value.json());
        }
        match value.kind() {
            Kind::Object => {
                let members = value.members();
                let members =
                    members.map(|(name, value)| (Some(name.json()), step(nodes, &text(name)), value));
                self.copy_items(["{", "}"], members, out);
            }
            Kind::Array => {
                let elements = value.elements().enumerate();
                let elements = elements.map(|(i, value)| (None, step(nodes, &i.to_string()), value));
                self.copy_items(["[", "]"], elements, out);
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => out.push_str(value.json()),
        }
    }

    fn copy_items<'a>(
        &self,
        [open, close]: [&str; 2],
        items: impl Iterator<Item = (Option<&'a str>, Vec<&'a Node>, Raw<'a>)>,
        out: &mut String,
    ) {
        out.push_str(open);
        let mut first = true;
        for (name, nodes, value) in items {
            let action = nodes.iter().filter_map(|node| node.action).max();
            if action == Some(Action::Remove) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            if let Some(name) = name {
                out.push_str(name);
                out.push(':');
            }
            match action {
                Some(_) => out.push_str(&self.mask),
                None => self.copy(value, &nodes, out),
            }
        }
        out.push_str(close);
    }
}

impl Node {
    fn child(&mut self, token: &str) -> &mut Self {
        let at = self.children.iter().position(|(name, _)| name == token).unwrap_or_else(|| {
            self.children.push((token.to_owned(), Self::default()));
            self.children.len() - 1
        });
        &mut self.children[at].1
    }
}

/// The nodes for a member or element.
fn step<'a>(nodes: &[&'a Node], name: &str) -> Vec<&'a Node> {
    let children = nodes.iter().flat_map(|node| &node.children);
    children.filter(|(token, _)| token == "*" || token == name).map(|(_, node)| node).collect()
}

fn text(name: Raw<'_>) -> std::borrow::Cow<'_, str> {
    name.text().unwrap_or_default()
}
