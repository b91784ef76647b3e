//! Which of a route's secrets senders use, so that an old one can be retired knowingly.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use prometheus_client::metrics::counter::Counter;

use crate::{
    clock::Timestamp,
    config::{self, Secret},
    telemetry::{Metrics, VerifiedLabels},
    verify::scheme::Needs,
};

/// A route's secrets or public keys, with what is known of their use since the start.
#[derive(Debug, Default)]
pub struct Rotation {
    secrets: Vec<InUse>,
    /// How many requests they have proven together.
    proven: Arc<AtomicU64>,
}

/// One secret, and what is known of its use.
#[derive(Debug)]
pub struct InUse {
    /// Where it came from: `env GITHUB_SECRET`, `file /run/secrets/x`, `inline 2`.
    label: Arc<str>,
    secret: Secret,
    count: Counter,
    last: Arc<Last>,
}

/// When a secret last proved a request.
#[derive(Debug, Default)]
struct Last {
    /// In milliseconds; 0 for never.
    at: AtomicU64,
    /// How many the route's secrets had proven by then.
    proven: AtomicU64,
}

impl Rotation {
    /// What `before` knows of secrets that come from the same place is kept.
    pub fn new(route: &Arc<str>, verify: &config::Verify, metrics: &Metrics, before: Option<&Self>) -> Self {
        let secrets = labelled(proofs(verify)).map(|(label, secret)| {
            let labels = VerifiedLabels { route: route.clone(), secret: label.clone() };
            let count = metrics.verified.get_or_create_owned(&labels);
            let last = before.and_then(|before| before.last_of(&label)).unwrap_or_default();
            InUse { label, secret: secret.clone(), count, last }
        });
        Self {
            secrets: secrets.collect(),
            proven: before.map_or_else(Arc::default, |before| before.proven.clone()),
        }
    }

    fn last_of(&self, label: &str) -> Option<Arc<Last>> {
        self.secrets.iter().find(|secret| *secret.label == *label).map(|secret| secret.last.clone())
    }

    /// Counts a request for the secret that proved it, by its place in the route's list.
    pub fn matched(&self, index: usize, at: Timestamp) {
        let Some(secret) = self.secrets.get(index) else { return };
        let proven = self.proven.fetch_add(1, Relaxed) + 1;
        secret.count.inc();
        secret.last.at.fetch_max(at.as_millis(), Relaxed);
        secret.last.proven.fetch_max(proven, Relaxed);
    }

    /// The secrets in the order of the config.
    pub fn secrets(&self) -> impl Iterator<Item = &InUse> {
        self.secrets.iter()
    }

    /// How many requests the others have proven since this one last did.
    pub fn others_since(&self, secret: &InUse) -> u64 {
        self.proven.load(Relaxed).saturating_sub(secret.last.proven.load(Relaxed))
    }
}

impl InUse {
    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// How many requests it has proven since the start.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// When it last proved one since the start.
    pub fn last(&self) -> Option<Timestamp> {
        Some(self.last.at.load(Relaxed)).filter(|millis| *millis > 0).map(Timestamp::from_millis)
    }
}

/// What proves the route's requests.
fn proofs(verify: &config::Verify) -> &[Secret] {
    match verify {
        config::Verify::None => &[],
        config::Verify::Plugin(proof) => &proof.secrets,
        config::Verify::Proof(settings) => match settings.scheme.needs() {
            Needs::PublicKeys | Needs::PublishedKeys => &settings.public_keys,
            Needs::Secrets | Needs::LearnedSecrets | Needs::Nothing => &settings.secrets,
        },
    }
}

/// Each with a label that tells it from the others.
fn labelled(proofs: &[Secret]) -> impl Iterator<Item = (Arc<str>, &Secret)> {
    proofs.iter().enumerate().map(|(index, secret)| {
        let label = match secret.origin() {
            "inline" => format!("inline {}", index + 1).into(),
            origin => origin.into(),
        };
        (label, secret)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Settings, scheme::preset};

    fn verify(secrets: &[(&str, &str)]) -> config::Verify {
        let secrets = secrets.iter().map(|(text, origin)| Secret::new(text.as_bytes(), *origin)).collect();
        config::Verify::Proof(Box::new(Settings::new(preset("github").unwrap().scheme.clone(), secrets)))
    }

    fn rotation(secrets: &[(&str, &str)], metrics: &Metrics, before: Option<&Rotation>) -> Rotation {
        Rotation::new(&"r".into(), &verify(secrets), metrics, before)
    }

    #[test]
    fn each_secret_is_counted_by_its_label() {
        let metrics = Metrics::new();
        let rotation = rotation(&[("a", "env A"), ("b", "inline"), ("c", "inline")], &metrics, None);
        rotation.matched(2, Timestamp::from_millis(5));
        rotation.matched(7, Timestamp::from_millis(6));
        let known: Vec<_> = rotation.secrets().map(|s| (s.label(), s.count(), s.last())).collect();
        let last = Some(Timestamp::from_millis(5));
        assert_eq!(known, [("env A", 0, None), ("inline 2", 0, None), ("inline 3", 1, last)]);
        let line = "sluice_verified_total{route=\"r\",secret=\"inline 3\"} 1\n";
        assert!(metrics.encode().contains(line), "{}", metrics.encode());
    }

    #[test]
    fn what_others_prove_is_counted_against_a_secret_that_is_not_used() {
        let rotation = rotation(&[("a", "env A"), ("b", "env B")], &Metrics::new(), None);
        for (index, at) in [(0, 1), (0, 2), (1, 3), (1, 4), (1, 5)] {
            rotation.matched(index, Timestamp::from_millis(at));
        }
        let since: Vec<_> = rotation.secrets().map(|secret| rotation.others_since(secret)).collect();
        assert_eq!(since, [3, 0]);
    }

    #[test]
    fn a_reload_keeps_what_is_known_of_secrets_from_the_same_place() {
        let metrics = Metrics::new();
        let before = rotation(&[("a", "env A"), ("b", "env B")], &metrics, None);
        before.matched(0, Timestamp::from_millis(5));
        let after = rotation(&[("c", "env C"), ("a", "env A")], &metrics, Some(&before));
        let known: Vec<_> = after.secrets().map(|s| (s.label(), s.count(), s.last())).collect();
        assert_eq!(known, [("env C", 0, None), ("env A", 1, Some(Timestamp::from_millis(5)))]);
        // A request that began in the old generation still counts.
        before.matched(0, Timestamp::from_millis(9));
        assert_eq!(after.secrets().nth(1).unwrap().count(), 2);
    }
}
