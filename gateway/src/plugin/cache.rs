//! Compiled plugins on disk.
//!
//! An entry is machine code that will run inside the gateway, so nothing is taken from the directory on trust.
//! Each entry carries an HMAC-SHA256 over its name and content, checked over the very bytes that are then used.
//! The key is a file beside the directory, not in it: a cache that is restored from a backup, unpacked from an
//! image or shared through a volume brings code along, but never the right to run it. Whatever is wrong with
//! an entry, the plugin is simply compiled again.
//!
//! ```text
//! <dir>/<sha-256 in hex>.aot = HMAC-SHA256 (32 bytes) | content
//! <dir>.key                  = 32 random bytes
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Names an entry: a digest of everything that the compiled code depends on.
pub(super) type EntryId = [u8; 32];

/// Mixed into every MAC; changes with the form of an entry.
const DOMAIN: &[u8] = b"sluice plugin cache 1";
const TAG: usize = 32;
const KEY: usize = 32;
const OTHERS: u32 = 0o077;
/// The whole directory, in bytes; the oldest entries go first.
const CAPACITY: u64 = 512 << 20;

pub(super) struct Cache {
    dir: PathBuf,
    /// Keyed, nothing hashed yet.
    mac: Hmac<Sha256>,
}

impl Cache {
    /// Opens the cache in `dir`, which is made if need be and closed to other users.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
        let key = key(&key_path(&dir))?;
        let mac = Hmac::new_from_slice(&key).map_err(io::Error::other)?;
        Ok(Self { dir, mac })
    }

    /// The content stored under `id`, if there is any and it is what was stored.
    pub(super) fn get(&self, id: &EntryId) -> Option<Vec<u8>> {
        let path = self.path(id);
        match self.read(id, &path) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cached plugin not used, compiling it again");
                None
            }
        }
    }

    /// Stores `content` under `id`; a crash leaves the whole entry or none. A failure is logged: the next start
    /// compiles again.
    pub(super) fn put(&self, id: &EntryId, content: &[u8]) {
        let path = self.path(id);
        if let Err(error) = self.write(id, &path, content).and_then(|()| self.prune(&path)) {
            tracing::warn!(path = %path.display(), %error, "compiled plugin not cached");
        }
    }

    pub(super) fn path(&self, id: &EntryId) -> PathBuf {
        self.dir.join(hex::encode(id)).with_extension("aot")
    }

    fn read(&self, id: &EntryId, path: &Path) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        refuse_others(&file)?;
        let mut bytes = Vec::new();
        file.take(CAPACITY).read_to_end(&mut bytes)?;
        let (tag, content) =
            bytes.split_at_checked(TAG).ok_or_else(|| io::Error::other("it is shorter than its seal"))?;
        self.seal(id, content).verify_slice(tag).map_err(|_| io::Error::other("its seal does not match"))?;
        bytes.drain(..TAG);
        Ok(bytes)
    }

    fn write(&self, id: &EntryId, path: &Path, content: &[u8]) -> io::Result<()> {
        let tag = self.seal(id, content).finalize().into_bytes();
        let temporary = temporary(path);
        let mut file = private(&temporary)?;
        file.write_all(&tag).and_then(|()| file.write_all(content)).and_then(|()| file.sync_all())?;
        fs::rename(&temporary, path)?;
        File::open(&self.dir)?.sync_all()
    }

    /// Removes the oldest entries until the rest fits; `newest` stays.
    fn prune(&self, newest: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            entries.push((meta.modified()?, meta.len(), entry.path()));
        }
        entries.sort_unstable();
        let mut size: u64 = entries.iter().map(|(_, size, _)| size).sum();
        for (_, freed, path) in entries.iter().filter(|(_, _, path)| path != newest) {
            if size <= CAPACITY {
                break;
            }
            fs::remove_file(path)?;
            size -= freed;
        }
        Ok(())
    }

    fn seal(&self, id: &EntryId, content: &[u8]) -> Hmac<Sha256> {
        self.mac.clone().chain_update(DOMAIN).chain_update(id).chain_update(content)
    }
}

fn key_path(dir: &Path) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(".key");
    path.into()
}

/// The key at `path`; one that others could read, or that is no key, is replaced.
fn key(path: &Path) -> io::Result<[u8; KEY]> {
    match read_key(path) {
        Ok(key) => return Ok(key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "plugin cache key replaced");
            fs::remove_file(path)?;
        }
    }
    make_key(path)?;
    read_key(path)
}

fn read_key(path: &Path) -> io::Result<[u8; KEY]> {
    let file = File::open(path)?;
    refuse_others(&file)?;
    let mut bytes = Vec::with_capacity(KEY);
    file.take(KEY as u64 + 1).read_to_end(&mut bytes)?;
    bytes.try_into().map_err(|_| io::Error::other("it is not 32 bytes long"))
}

/// Two processes may get here at once: the link makes one key win, whole.
fn make_key(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut key).map_err(|_| io::Error::other("the system has no random numbers"))?;
    let temporary = temporary(path);
    let mut file = private(&temporary)?;
    file.write_all(&key).and_then(|()| file.sync_all())?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.tmp", process::id()))
}

/// A new file that only we may read; what a crash left under the name is replaced.
fn private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn refuse_others(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!("other users may use it (mode {:o})", mode & 0o777)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: EntryId = [7; 32];

    fn cache() -> (tempfile::TempDir, Cache) {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path().join("cache")).unwrap();
        (root, cache)
    }

    #[test]
    fn entry_survives_reopening() {
        let (_root, cache) = cache();
        cache.put(&ID, b"code");
        assert_eq!(Cache::open(cache.dir.clone()).unwrap().get(&ID).as_deref(), Some(&b"code"[..]));
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (_root, cache) = cache();
        cache.put(&ID, b"code");
        let whole = fs::read(cache.path(&ID)).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(cache.path(&ID), changed).unwrap();
            assert_eq!(cache.get(&ID), None, "byte {at}");
        }
        fs::write(cache.path(&ID), &whole[..20]).unwrap();
        assert_eq!(cache.get(&ID), None, "cut short");
    }

    #[test]
    fn entry_moved_to_another_name_is_not_used() {
        let (_root, cache) = cache();
        cache.put(&ID, b"code");
        fs::rename(cache.path(&ID), cache.path(&[8; 32])).unwrap();
        assert_eq!(cache.get(&[8; 32]), None);
    }

    #[test]
    fn entry_that_others_may_use_is_not_used() {
        let (_root, cache) = cache();
        cache.put(&ID, b"code");
        fs::set_permissions(cache.path(&ID), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(cache.get(&ID), None);
    }

    #[test]
    fn directory_and_key_are_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cache");
        DirBuilder::new().mode(0o755).create(&dir).unwrap();
        Cache::open(dir.clone()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&key_path(&dir)), 0o600);
    }

    #[test]
    fn key_that_others_could_read_is_replaced() {
        let (_root, cache) = cache();
        cache.put(&ID, b"code");
        let path = key_path(&cache.dir);
        let before = fs::read(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let reopened = Cache::open(cache.dir.clone()).unwrap();
        assert_ne!(fs::read(&path).unwrap(), before);
        assert_eq!(reopened.get(&ID), None, "entries of the old key are not trusted");
    }
}
