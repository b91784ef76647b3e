//! The hosts that keys may be fetched from.

/// Whether a host, in lower case, is what a pattern says: `*` stands for part of one label, at least 3 characters of
/// `[a-z0-9-]`; `*.` at the beginning for one label or more.
pub(super) fn is_allowed(host: &str, pattern: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => {
            let labels = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
            labels.is_some_and(|labels| labels.split('.').all(is_label))
        }
        None => {
            let (labels, patterns) = (host.split('.'), pattern.split('.'));
            labels.clone().count() == patterns.clone().count()
                && labels.zip(patterns).all(|(l, p)| fits(l, p))
        }
    }
}

fn fits(label: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return label == pattern };
    let middle = label.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    middle.is_some_and(|middle| middle.len() >= 3 && is_label(middle))
}

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_part_of_one_label() {
        let sns = "sns.*.amazonaws.com";
        assert!(is_allowed("sns.us-east-1.amazonaws.com", sns));
        for host in [
            "sns.amazonaws.com",
            "sns..amazonaws.com",
            "sns.us.amazonaws.com",
            "sns.a.b.amazonaws.com",
            "sns.us-east-1.amazonaws.com.evil.test",
            "evil.test.sns.us-east-1.amazonaws.com",
            "sns.us_east.amazonaws.com",
            "snsxus-east-1.amazonaws.com",
        ] {
            assert!(!is_allowed(host, sns), "{host}");
        }
        assert!(is_allowed("keys-eu1.test", "keys-*.test"));
        assert!(!is_allowed("keys-eu.test", "keys-*.test"));
    }

    #[test]
    fn a_star_label_at_the_beginning_is_one_or_more() {
        let paypal = "*.paypal.com";
        assert!(is_allowed("api.paypal.com", paypal));
        assert!(is_allowed("api.sandbox.paypal.com", paypal));
        for host in ["paypal.com", ".paypal.com", "evilpaypal.com", "a..paypal.com", "paypal.com.evil.test"] {
            assert!(!is_allowed(host, paypal), "{host}");
        }
    }

    #[test]
    fn a_name_without_a_star_is_itself() {
        assert!(is_allowed("api.github.com", "api.github.com"));
        assert!(!is_allowed("api.github.com.", "api.github.com"));
        assert!(!is_allowed("xapi.github.com", "api.github.com"));
    }
}
