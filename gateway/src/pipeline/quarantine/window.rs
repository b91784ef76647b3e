//! How many calls there were lately, and how many of them failed.

use std::time::Duration;

use crate::clock::Timestamp;

/// Into so many slices a window is cut; a call is forgotten with its slice, so up to one slice early.
const SLICES: u64 = 12;

/// Counts over a sliding window, in constant space.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// How long a slice is, in milliseconds.
    millis: u64,
    slices: [Slice; SLICES as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// Slices since 1970.
    number: u64,
    calls: u32,
    failures: u32,
}

impl Window {
    /// Counts one call. Another length than before begins anew.
    pub(super) fn count(&mut self, length: Duration, now: Timestamp, has_failed: bool) {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).div_ceil(SLICES).max(1);
        if self.millis != millis {
            *self = Self { millis, ..Self::default() };
        }
        let number = now.as_millis() / millis;
        let slice = &mut self.slices[(number % SLICES) as usize];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice.calls = slice.calls.saturating_add(1);
        slice.failures = slice.failures.saturating_add(has_failed.into());
    }

    /// The calls within the window, and how many of them failed.
    pub(super) fn sums(&self, now: Timestamp) -> (u64, u64) {
        let newest = now.as_millis() / self.millis.max(1);
        let oldest = newest.saturating_sub(SLICES - 1);
        let recent = self.slices.iter().filter(|slice| (oldest..=newest).contains(&slice.number));
        recent.fold((0, 0), |(calls, failures), slice| {
            (calls + u64::from(slice.calls), failures + u64::from(slice.failures))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn calls_are_forgotten_after_the_window() {
        let mut window = Window::default();
        for second in 0..600 {
            window.count(MINUTE, NOW + Duration::from_secs(second), second % 2 == 0);
        }
        let (calls, failures) = window.sums(NOW + Duration::from_secs(599));
        assert!((55..=60).contains(&calls), "{calls}");
        assert!((27..=30).contains(&failures), "{failures}");
        assert_eq!(window.sums(NOW + Duration::from_secs(700)), (0, 0));
    }

    #[test]
    fn window_shorter_than_its_slices_counts() {
        let mut window = Window::default();
        window.count(Duration::from_millis(1), NOW, true);
        assert_eq!(window.sums(NOW), (1, 1));
    }

    #[test]
    fn another_length_begins_anew() {
        let mut window = Window::default();
        window.count(MINUTE, NOW, true);
        window.count(MINUTE * 2, NOW, true);
        assert_eq!(window.sums(NOW), (1, 1));
    }
}
