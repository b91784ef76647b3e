//! Waiting for a state instead of sleeping.

use std::time::{Duration, Instant};

/// How long a state may take to come about before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(10);

/// Polls `condition` until it holds.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    wait_for(what, async || condition().await.then_some(())).await;
}

/// Polls `probe` until it gives a value.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub async fn wait_for<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    match poll(PATIENCE, probe).await {
        Some(value) => value,
        None => panic!("{what}: not within {} s", PATIENCE.as_secs()),
    }
}

/// Polls `probe` until it gives a value or `patience` has run out.
pub async fn poll<T>(patience: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = probe().await {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn value_is_returned_once_it_is_there() {
        let mut polls = 0;
        let value = wait_for("third poll", async || {
            polls += 1;
            (polls == 3).then_some(polls)
        });
        assert_eq!(value.await, 3);
    }

    #[tokio::test]
    async fn patience_runs_out() {
        assert_eq!(poll(Duration::from_millis(30), async || None::<()>).await, None);
    }
}
