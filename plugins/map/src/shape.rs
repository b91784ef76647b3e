//! The output's shape: JSON with places to be filled.

use sluice_plugin::{
    Error,
    json::{Kind, Pointer, Pointers, Raw},
};
use templates::{Facts, Missing, Place, Template};

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// JSON that is the same for every event.
    Fixed(String),
    /// A value of the event's body, of whatever type it is there.
    Value {
        /// Where it stands in the config, for errors.
        path: String,
        place: Place,
        /// JSON that takes its place.
        default: Option<String>,
    },
    Text(Template),
    Array(Vec<Self>),
    /// Members in the config's order: the name as JSON with its colon, and the value.
    Object(Vec<(String, Self)>),
}

impl Shape {
    /// Reads a shape. `path` is where it stands in the config.
    pub(crate) fn compile(raw: Raw<'_>, path: &str, pointers: &mut Pointers) -> Result<Self, Error> {
        match raw.kind() {
            Kind::String => Template::parse(&raw.text().unwrap_or_default(), path, pointers).map(Self::Text),
            Kind::Array => {
                let elements = raw.elements().enumerate();
                let shapes = elements.map(|(i, raw)| Self::compile(raw, &format!("{path}[{i}]"), pointers));
                shapes.collect::<Result<_, _>>().map(Self::Array)
            }
            Kind::Object if is_instruction(raw) => Self::compile_instruction(raw, path, pointers),
            Kind::Object => {
                let members = raw.members().map(|(name, value)| {
                    let path = format!("{path}.{}", name.text().unwrap_or_default());
                    Ok((format!("{}:", name.json()), Self::compile(value, &path, pointers)?))
                });
                members.collect::<Result<_, _>>().map(Self::Object)
            }
            Kind::Null | Kind::Bool | Kind::Number => Ok(Self::Fixed(raw.json().to_owned())),
        }
    }

    /// Reads `{ pointer = …, default = … }` or `{ value = … }`.
    fn compile_instruction(raw: Raw<'_>, path: &str, pointers: &mut Pointers) -> Result<Self, Error> {
        let wrong = |what: String| Error::config(format_args!("`{path}`: {what}"));
        let (mut pointer, mut default, mut value) = (None, None, None);
        for (name, member) in raw.members() {
            match name.text().as_deref() {
                Some("pointer") => {
                    pointer = Some(member.read::<Pointer>().map_err(|e| wrong(format!("`pointer`: {e}")))?);
                }
                Some("default") => default = Some(member.json().to_owned()),
                Some("value") => value = Some(member.json().to_owned()),
                _ => {
                    return Err(wrong(format!(
                        "{} can't stand beside `pointer` or `value`; for an object with members of these names, \
                         use {{ value = … }}",
                        name.json()
                    )));
                }
            }
        }
        match (pointer, default, value) {
            (Some(pointer), default, None) => {
                Ok(Self::Value { path: path.to_owned(), place: Place::new(pointer, pointers), default })
            }
            (None, None, Some(value)) => Ok(Self::Fixed(value)),
            _ => Err(wrong(
                "has `value`, which needs no `pointer` and no `default`; take one side away".to_owned(),
            )),
        }
    }

    /// The output for one event. If all of it is to be left out, it is `null`.
    pub(crate) fn write(&self, facts: &Facts<'_>) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(512);
        if !self.append(facts, &mut out)? {
            out.clear();
            out.extend_from_slice(b"null");
        }
        Ok(out)
    }

    /// Writes this part; `false`, perhaps having written some of it, if it is to be left out.
    fn append(&self, facts: &Facts<'_>, out: &mut Vec<u8>) -> Result<bool, Error> {
        match self {
            Self::Fixed(json) => out.extend_from_slice(json.as_bytes()),
            Self::Text(template) => return template.write_json(facts, out),
            Self::Value { path, place, default } => {
                let found = facts.value(place).map(Raw::json).or(default.as_deref());
                let json = match (found, facts.missing) {
                    (Some(json), _) => json,
                    (None, Missing::Null) => "null",
                    (None, Missing::Omit) => return Ok(false),
                    (None, Missing::Error) => {
                        let pointer = &place.pointer;
                        return Err(Error::invalid(format_args!(
                            "event has no body {pointer}, which `{path}` is made from"
                        )));
                    }
                };
                out.extend_from_slice(json.as_bytes());
            }
            Self::Array(elements) => {
                append_list(b"[]", elements.iter().map(|element| ("", element)), facts, out)?;
            }
            Self::Object(members) => {
                append_list(b"{}", members.iter().map(|(name, value)| (name.as_str(), value)), facts, out)?;
            }
        }
        Ok(true)
    }
}

/// Writes what belongs between two brackets, without what is to be left out.
fn append_list<'a>(
    [open, close]: &[u8; 2],
    items: impl Iterator<Item = (&'a str, &'a Shape)>,
    facts: &Facts<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    out.push(*open);
    let mut first = true;
    for (name, shape) in items {
        let before = out.len();
        if !first {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        if shape.append(facts, out)? {
            first = false;
        } else {
            out.truncate(before);
        }
    }
    out.push(*close);
    Ok(())
}

fn is_instruction(object: Raw<'_>) -> bool {
    object.members().any(|(name, _)| matches!(name.text().as_deref(), Some("pointer" | "value")))
}
