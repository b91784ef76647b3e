//! Finds the word that a person probably meant.

/// `did you mean …`, or the list of what there is.
pub(super) fn hint<'a>(wanted: &str, what: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(wanted, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{what} are {}", list(known)),
    }
}

/// The known word that differs by a typing mistake or two, if there is one.
pub(super) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let allowed = 1 + wanted.chars().count() / 4;
    known
        .map(|word| (strsim::damerau_levenshtein(&wanted, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
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
    fn case_is_one_of_the_mistakes_that_are_seen_through() {
        assert_eq!(nearest("post", ["GET", "POST"].into_iter()), Some("POST"));
    }
}
