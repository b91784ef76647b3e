//! Finds the word that a person probably meant.

/// `did you mean …`, or the list of what there is.
pub(crate) fn hint<'a>(wanted: &str, what: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(wanted, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{what} are {}", list(known)),
    }
}

/// The known word that differs by a typing mistake or two, if there is one.
pub(crate) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let allowed = 1 + wanted.chars().count() / 4;
    known
        .map(|word| (strsim::damerau_levenshtein(&wanted, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The words in backticks, the first twenty of them if there are more.
fn list<'a>(words: impl Iterator<Item = &'a str> + Clone) -> String {
    let shown = words.clone().take(20).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match words.skip(20).count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_letters_are_one_mistake() {
        assert_eq!(hint("retyr", "known keys", ["url", "retry"].into_iter()), "did you mean `retry`?");
    }

    #[test]
    fn strangers_are_answered_with_the_list() {
        assert_eq!(
            hint("colour", "known keys", ["url", "retry"].into_iter()),
            "known keys are `url`, `retry`"
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let words: Vec<_> = (100..200).map(|n| n.to_string()).collect();
        let hint = hint("abcdefgh", "presets", words.iter().map(String::as_str));
        assert!(hint.ends_with("`119` and 80 more"), "{hint}");
    }

    #[test]
    fn case_is_one_of_the_mistakes_that_are_seen_through() {
        assert_eq!(nearest("post", ["GET", "POST"].into_iter()), Some("POST"));
    }
}
