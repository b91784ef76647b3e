//! How often the kernel had to hand a page to this thread.

use std::fs;

/// Where minor faults are in `stat`, counted from behind the program's name.
const MINOR_FAULTS: usize = 7;

/// Minor page faults of this thread so far. `None` where the kernel does not tell.
pub(super) fn of_this_thread() -> Option<u64> {
    read(&fs::read_to_string("/proc/thread-self/stat").ok()?)
}

/// The name is in brackets and may hold anything.
fn read(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(MINOR_FAULTS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_behind_any_name() {
        assert_eq!(read("12 (a) b) S 1 2 3 4 -1 4194304 321 0 7 0"), Some(321));
        assert_eq!(read("12 (a"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn touching_memory_faults() {
        let before = of_this_thread().unwrap();
        let pages = vec![1_u8; 64 << 20];
        assert!(of_this_thread().unwrap() > before, "{}", pages.len());
    }
}
