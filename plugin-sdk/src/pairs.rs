//! Looks up names in lists of pairs, as headers and parameters are kept in tests.

/// The values of this name, whatever its case, in order.
pub(crate) fn values(pairs: &[(String, Vec<u8>)], name: &str) -> impl Iterator<Item = Vec<u8>> {
    pairs.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
}

/// The first value of exactly this name.
pub(crate) fn first(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
}
