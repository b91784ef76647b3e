//! A few MiB put aside while there is room, given back when the disk is full: settlements and retention, which
//! make room, need some to be written.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

const SIZE: usize = 8 << 20;
const HEADROOM: usize = 4 << 20;

pub(super) struct Reserve(PathBuf);

impl Reserve {
    pub(super) fn new(directory: &Path) -> Self {
        Self(directory.join("reserve"))
    }

    /// Puts the reserve aside unless it is there.
    pub(super) fn hold(&self) -> io::Result<()> {
        if fs::metadata(&self.0).is_ok_and(|meta| meta.len() == SIZE as u64) {
            return Ok(());
        }
        fill(&self.0, SIZE).inspect_err(|_| self.release())
    }

    /// Puts the reserve aside again, provided that there is room for some work beside it: else the next append
    /// would only fail once more.
    pub(super) fn regain(&self) -> io::Result<()> {
        self.hold()?;
        let probe = self.0.with_extension("probe");
        let room = fill(&probe, HEADROOM);
        let _ = fs::remove_file(&probe);
        room.inspect_err(|_| self.release())
    }

    /// Gives the room back. Nothing to be done about a failure: the disk is full as it was.
    pub(super) fn release(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn fill(path: &Path, size: usize) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    // Noise: zeros would take no room on a file system that compresses.
    let mut noise = vec![0; 1 << 20];
    fastrand::Rng::with_seed(7).fill(&mut noise);
    (0..size / noise.len()).try_for_each(|_| file.write_all(&noise))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_reserve_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(directory.path());
        reserve.hold().unwrap();
        assert_eq!(fs::metadata(&reserve.0).unwrap().len(), SIZE as u64);
        reserve.release();
        assert!(!reserve.0.exists());
        reserve.hold().unwrap();
        assert!(reserve.0.exists());
    }
}
