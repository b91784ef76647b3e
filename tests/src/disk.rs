//! A disk that is soon full.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// A small file system in memory, unmounted when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of this size, as `mount` writes sizes. `None` where that is not allowed: it takes root.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn mount(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).expect("directory can be made");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(path.to_owned()))
    }

    /// Takes all the room there is with a file, and says where it is.
    ///
    /// # Panics
    /// If there cannot be such a file.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).expect("file can be made");
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever was given it may still be in there. Should it fail, a few megabytes are lost.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::wait_until;

    /// Its room comes back once nobody has it open: a process that another test starts just then has a copy for a
    /// moment.
    #[tokio::test]
    async fn filled_disk_takes_nothing_until_the_filler_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(dir.path(), "1m") else { return };
        let filler = disk.fill();
        assert!(fs::write(dir.path().join("more"), [1; 8192]).is_err());
        fs::remove_file(filler).unwrap();
        let more = dir.path().join("more");
        wait_until("the disk takes more", async || fs::write(&more, [1; 8192]).is_ok()).await;
    }
}
