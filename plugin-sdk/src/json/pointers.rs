//! Several pointers found in one pass.

use super::{
    Pointer, Raw,
    scan::{Malformed, Scanner},
};
use crate::Error;

/// A set of pointers, compiled into a tree: one pass over a document finds them all.
#[derive(Clone, Debug, Default)]
pub struct Pointers {
    root: Node,
    len: usize,
}

/// Which pointer of a set: what [`Pointers::add`] returns and [`Selected::get`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

/// What the pointers of a set found in one document.
#[derive(Clone, Debug)]
pub struct Selected<'a>(Vec<Option<Raw<'a>>>);

/// A place on the way of a pointer.
#[derive(Clone, Debug, Default)]
struct Node {
    name: String,
    /// The name as an array's index, if it is one.
    index: Option<usize>,
    /// Where the value is put, if a pointer ends here.
    slot: Option<usize>,
    children: Vec<Self>,
}

impl Pointers {
    /// A set without pointers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pointer; the same one again gets the same slot.
    pub fn add(&mut self, pointer: &Pointer) -> Slot {
        let node = pointer.tokens().iter().fold(&mut self.root, |node, token| node.child(token));
        let slot = *node.slot.get_or_insert(self.len);
        self.len = self.len.max(slot + 1);
        Slot(slot)
    }

    /// Whether the set has no pointers.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Finds the pointers' values. Where an object repeats a name, the last one counts.
    ///
    /// Only what the pointers lead to is read and checked. The rest is passed over at several times the speed of
    /// a parser, and checked only as far as that needs: strings end, brackets pair.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the document is not JSON as far as that.
    pub fn select<'a>(&self, json: &'a [u8]) -> Result<Selected<'a>, Error> {
        let mut found = vec![None; self.len];
        let mut scanner = Scanner::new(json);
        self.root
            .find(&mut scanner, &mut found)
            .and_then(|()| scanner.end())
            .map_err(|Malformed { at }| not_json(json, at))?;
        found
            .into_iter()
            .map(|value| value.map(Raw::parse).transpose())
            .collect::<Result<_, _>>()
            .map(Selected)
    }
}

impl<'a> Selected<'a> {
    /// The value a pointer found; `None` where the document has no such place.
    pub fn get(&self, slot: Slot) -> Option<Raw<'a>> {
        self.0.get(slot.0).copied().flatten()
    }
}

impl Node {
    fn child(&mut self, token: &str) -> &mut Self {
        let at = self.children.iter().position(|child| child.name == token).unwrap_or_else(|| {
            self.children.push(Self { name: token.to_owned(), index: index(token), ..Self::default() });
            self.children.len() - 1
        });
        &mut self.children[at]
    }

    /// Takes the next value and notes what the pointers that lead here find in it.
    fn find<'a>(&self, scanner: &mut Scanner<'a>, found: &mut [Option<&'a [u8]>]) -> Result<(), Malformed> {
        let Some(slot) = self.slot else { return self.descend(scanner, found) };
        if !self.children.is_empty() {
            self.descend(&mut scanner.clone(), found)?;
        }
        found[slot] = Some(scanner.value()?);
        Ok(())
    }

    fn descend<'a>(
        &self,
        scanner: &mut Scanner<'a>,
        found: &mut [Option<&'a [u8]>],
    ) -> Result<(), Malformed> {
        match scanner.peek() {
            Some(b'{') => self.find_in_object(scanner, found),
            Some(b'[') => self.find_in_array(scanner, found),
            _ => scanner.value().map(drop),
        }
    }

    fn find_in_object<'a>(
        &self,
        scanner: &mut Scanner<'a>,
        found: &mut [Option<&'a [u8]>],
    ) -> Result<(), Malformed> {
        scanner.expect(b'{')?;
        let mut first = true;
        while scanner.next_in(b'}', first)? {
            first = false;
            match self.member(scanner.name()?) {
                Some(child) => {
                    child.forget(found);
                    child.find(scanner, found)?;
                }
                None => drop(scanner.value()?),
            }
        }
        Ok(())
    }

    fn find_in_array<'a>(
        &self,
        scanner: &mut Scanner<'a>,
        found: &mut [Option<&'a [u8]>],
    ) -> Result<(), Malformed> {
        scanner.expect(b'[')?;
        let mut at = 0;
        while scanner.next_in(b']', at == 0)? {
            match self.children.iter().find(|child| child.index == Some(at)) {
                Some(child) => child.find(scanner, found)?,
                None => drop(scanner.value()?),
            }
            at += 1;
        }
        Ok(())
    }

    /// The child of a member's name, which has its quotes and escapes.
    fn member(&self, name: &[u8]) -> Option<&Self> {
        if name.contains(&b'\\') {
            let name: String = serde_json::from_slice(name).ok()?;
            return self.children.iter().find(|child| child.name == name);
        }
        let name = &name[1..name.len() - 1];
        self.children.iter().find(|child| child.name.as_bytes() == name)
    }

    /// Takes back what an earlier member of the same name led to.
    fn forget(&self, found: &mut [Option<&[u8]>]) {
        if let Some(slot) = self.slot {
            found[slot] = None;
        }
        self.children.iter().for_each(|child| child.forget(found));
    }
}

/// RFC 6901 knows indices without leading zeros only.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with(['0', '+']);
    plain.then(|| token.parse().ok()).flatten()
}

fn not_json(json: &[u8], at: usize) -> Error {
    match json.get(at) {
        Some(byte) => Error::invalid(format_args!(
            "body is not valid JSON: unexpected `{}` at byte {at}",
            byte.escape_ascii()
        )),
        None => Error::invalid(format_args!("body is not valid JSON: it ends too early, at byte {at}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(json: &str, pointer: &str, value: Option<&str>) {
        let mut pointers = Pointers::new();
        let slot = pointers.add(&pointer.parse().unwrap());
        let found = pointers.select(json.as_bytes()).unwrap();
        assert_eq!(found.get(slot).map(Raw::json), value);
    }

    #[test]
    fn values_are_found_as_they_are_written() {
        let json = r#" {"a": {"b": [1e400, {"c": "x\u0041"}]}, "": 0, "é/~": null} "#;
        check(json, "/a/b/0", Some("1e400"));
        check(json, "/a/b/1/c", Some(r#""x\u0041""#));
        check(json, "/a/b/1", Some(r#"{"c": "x\u0041"}"#));
        check(json, "/", Some("0"));
        check(json, "/é~1~0", Some("null"));
        check(json, "", Some(json.trim()));
    }

    #[test]
    fn absent_places_are_none() {
        let json = r#"{"a": [1], "b": "text"}"#;
        for pointer in ["/c", "/a/1", "/a/-", "/a/00", "/a/+0", "/a/x", "/b/0", "/a/0/0"] {
            check(json, pointer, None);
        }
    }

    #[test]
    fn escaped_names_are_compared_decoded() {
        check(r#"{"\u0061ction": 1}"#, "/action", Some("1"));
        check(r#"{"a\u0041": 1}"#, r"/a\u0041", None);
    }

    #[test]
    fn last_of_repeated_names_counts() {
        check(r#"{"a": 1, "a": 2}"#, "/a", Some("2"));
        check(r#"{"a": {"b": 1}, "a": {}}"#, "/a/b", None);
    }

    #[test]
    fn one_pass_finds_all_also_one_within_another() {
        let mut pointers = Pointers::new();
        let [a, b, again] = ["/a", "/a/b", "/a"].map(|pointer| pointers.add(&pointer.parse().unwrap()));
        assert_eq!(a, again);
        let found = pointers.select(br#"{"a": {"b": 1}}"#).unwrap();
        assert_eq!(found.get(a).unwrap().json(), r#"{"b": 1}"#);
        assert_eq!(found.get(b).unwrap().json(), "1");
    }

    #[test]
    fn malformed_documents_are_refused() {
        let mut pointers = Pointers::new();
        pointers.add(&"/a/b".parse().unwrap());
        for json in [
            "",
            "{",
            "a",
            "[1",
            "{\"a\" 1}",
            "{\"a\":}",
            "{a:1}",
            "{} {}",
            "{\"a\":{\"b\":tru}}",
            "{\"x\":\"y",
        ] {
            assert!(matches!(pointers.select(json.as_bytes()), Err(Error::Invalid(_))), "{json}");
        }
    }

    #[test]
    fn error_names_the_byte() {
        let error = Pointers::new().select(br#"payload=1"#).unwrap_err();
        assert_eq!(error.to_string(), "body is not valid JSON: unexpected `p` at byte 0");
    }

    /// Every place of a document is found, and is what a parser finds there.
    #[test]
    fn agrees_with_a_parser_everywhere() {
        let document = json!({
            "action": "opened", "n": [1, -2.5e3, [], {}, [[{"deep": [true, null]}]]],
            "text": "quote \" backslash \\ brace } \u{1F600}", "": {"": ""}, "a/b": {"~": 1},
        });
        for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
            let mut places = Vec::new();
            every_place(&document, &mut String::new(), &mut places);
            let mut pointers = Pointers::new();
            let slots: Vec<_> = places.iter().map(|place| pointers.add(&place.parse().unwrap())).collect();
            let found = pointers.select(text.as_bytes()).unwrap();
            for (place, slot) in places.iter().zip(slots) {
                let value: Value = found.get(slot).unwrap().read().unwrap();
                assert_eq!(Some(&value), document.pointer(place), "{place}");
            }
        }
    }

    fn every_place(value: &Value, at: &mut String, places: &mut Vec<String>) {
        places.push(at.clone());
        let children: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(elements) => {
                elements.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        for (name, value) in children {
            let len = at.len();
            at.push('/');
            at.push_str(&name.replace('~', "~0").replace('/', "~1"));
            every_place(value, at, places);
            at.truncate(len);
        }
    }
}
