//! Secrets that providers have handed us: kept in a file of their own, since the config is the operator's.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{clock::Timestamp, config::Secret};

/// The file's name, in the journal's directory.
const FILE: &str = "learned-secrets.json";

/// So many a route keeps; the oldest goes for one more.
const MOST: usize = 8;

/// The secrets that routes have learned. What is in the file is what is in force.
#[derive(Default)]
pub struct Learned {
    /// `None` keeps them in memory only.
    file: Option<PathBuf>,
    kept: Mutex<Kept>,
    routes: Mutex<HashMap<Arc<str>, Arc<LearnedSecrets>>>,
}

/// What one route has learned, for whoever checks with it. It changes without a reload.
#[derive(Default)]
pub struct LearnedSecrets {
    secrets: ArcSwap<Vec<Secret>>,
    /// Until when the operator expects a new one, in milliseconds since the Unix epoch.
    open_until: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    #[error(
        "nobody expects a secret: the route has one already; `sluice verify learn ROUTE` lets it take another"
    )]
    NotExpected,
    #[error("failed to write `{}`", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the secrets that providers have handed us from `{}`", .path.display())]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// The file: by route, the oldest first.
type Kept = BTreeMap<String, Vec<KeptSecret>>;

/// Never `Debug`: it holds a secret.
#[derive(Clone, Serialize, Deserialize)]
struct KeptSecret {
    secret: String,
    /// RFC 3339, for people.
    learned_at: String,
}

impl Learned {
    /// Opens the file in the journal's directory. It need not be there.
    ///
    /// # Errors
    /// If it is there and cannot be read: going on without would refuse what is genuine.
    pub fn open(directory: &Path) -> Result<Self, ReadError> {
        let path = directory.join(FILE);
        let kept = match fs::read(&path) {
            Ok(json) => serde_json::from_slice::<Kept>(&json).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::new()),
            Err(error) => Err(error),
        };
        let kept = kept.map_err(|source| ReadError { path: path.clone(), source })?;
        let routes = kept.iter().map(|(route, secrets)| {
            let learned = LearnedSecrets::default();
            learned.set(secrets);
            (Arc::from(route.as_str()), Arc::new(learned))
        });
        Ok(Self { file: Some(path), routes: Mutex::new(routes.collect()), kept: Mutex::new(kept) })
    }

    /// Where they are written down; `None` if they are not.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What a route has learned, now and later.
    pub fn of(&self, route: &str) -> Arc<LearnedSecrets> {
        lock(&self.routes).entry(route.into()).or_default().clone()
    }

    /// Lets a route take new secrets until then, beside those that it has.
    pub fn expect(&self, route: &str, until: Timestamp) {
        self.of(route).open_until.store(until.as_millis(), Ordering::Relaxed);
    }

    /// Takes a secret, durably. `has_own` says that the route's config gives it one. Blocks.
    ///
    /// # Errors
    /// When none is expected, or it cannot be written down; then nothing has changed.
    pub fn learn(&self, route: &str, secret: &str, has_own: bool, now: Timestamp) -> Result<(), LearnError> {
        let learned = self.of(route);
        let mut kept = lock(&self.kept);
        let has_one = has_own || kept.get(route).is_some_and(|secrets| !secrets.is_empty());
        if has_one && !learned.is_open(now) {
            return Err(LearnError::NotExpected);
        }
        let mut next = kept.clone();
        let secrets = next.entry(route.to_owned()).or_default();
        // The same one again counts as new: it must not be the next to go.
        secrets.retain(|old| !bool::from(old.secret.as_bytes().ct_eq(secret.as_bytes())));
        secrets.push(KeptSecret { secret: secret.to_owned(), learned_at: now.to_string() });
        secrets.drain(..secrets.len().saturating_sub(MOST));
        self.write(&next)?;
        learned.set(&next[route]);
        *kept = next;
        Ok(())
    }

    /// Gives up what a route has learned, and says how many that were. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing has changed.
    pub fn forget(&self, route: &str) -> Result<usize, LearnError> {
        let mut kept = lock(&self.kept);
        let mut next = kept.clone();
        let Some(gone) = next.remove(route) else { return Ok(0) };
        self.write(&next)?;
        self.of(route).set(&[]);
        *kept = next;
        Ok(gone.len())
    }

    fn write(&self, kept: &Kept) -> Result<(), LearnError> {
        let Some(path) = &self.file else { return Ok(()) };
        replace(path, kept).map_err(|source| LearnError::Write { path: path.clone(), source })
    }
}

impl LearnedSecrets {
    /// Those in force, the oldest first.
    pub fn secrets(&self) -> Arc<Vec<Secret>> {
        self.secrets.load_full()
    }

    fn set(&self, kept: &[KeptSecret]) {
        let secrets =
            kept.iter().map(|one| Secret::new(one.secret.as_bytes(), format!("learned {}", one.learned_at)));
        self.secrets.store(Arc::new(secrets.collect()));
    }

    fn is_open(&self, now: Timestamp) -> bool {
        now.as_millis() < self.open_until.load(Ordering::Relaxed)
    }
}

/// Writes the whole file anew beside the old one, and puts it in its place when it is on disk.
fn replace(path: &Path, kept: &Kept) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    // One that a crash has left may be anybody's to read.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(kept)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// What is in there is replaced as a whole, so a panic elsewhere has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn texts(learned: &Learned, route: &str) -> Vec<String> {
        let secrets = learned.of(route).secrets();
        secrets.iter().map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap()).collect()
    }

    #[test]
    fn secrets_outlive_the_process_in_a_file_that_only_we_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let learned = Learned::open(dir.path()).unwrap();
        learned.learn("asana", "first", false, at(0)).unwrap();
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Learned::open(dir.path()).unwrap();
        assert_eq!(texts(&again, "asana"), ["first"]);
        assert_eq!(again.of("asana").secrets()[0].origin(), "learned 1970-01-01T00:00:00.000Z");
        assert_eq!(texts(&again, "notion"), [""; 0]);
    }

    #[test]
    fn a_second_one_is_taken_only_while_it_is_expected() {
        let learned = Learned::default();
        learned.learn("r", "first", false, at(0)).unwrap();
        let refused =
            |secret, now| matches!(learned.learn("r", secret, false, now), Err(LearnError::NotExpected));
        assert!(refused("second", at(1)));
        assert!(refused("first", at(1)), "who sends what we have already may have seen it sent");
        learned.expect("r", at(100));
        learned.learn("r", "second", false, at(99)).unwrap();
        assert!(refused("third", at(100)));
        assert_eq!(texts(&learned, "r"), ["first", "second"]);
    }

    #[test]
    fn a_route_with_a_secret_of_its_own_expects_none() {
        let learned = Learned::default();
        assert!(matches!(learned.learn("r", "x", true, at(0)), Err(LearnError::NotExpected)));
        assert_eq!(texts(&learned, "r"), [""; 0]);
    }

    #[test]
    fn the_oldest_goes_for_the_ninth() {
        let learned = Learned::default();
        learned.expect("r", at(1000));
        for number in 0..9 {
            learned.learn("r", &number.to_string(), false, at(number)).unwrap();
        }
        learned.learn("r", "1", false, at(10)).unwrap();
        assert_eq!(texts(&learned, "r"), ["2", "3", "4", "5", "6", "7", "8", "1"]);
    }

    #[test]
    fn what_is_forgotten_is_forgotten_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let learned = Learned::open(dir.path()).unwrap();
        learned.learn("r", "first", false, at(0)).unwrap();
        assert_eq!(learned.forget("r").unwrap(), 1);
        assert_eq!(learned.forget("r").unwrap(), 0);
        assert_eq!(texts(&Learned::open(dir.path()).unwrap(), "r"), [""; 0]);
        learned.learn("r", "second", false, at(0)).unwrap();
    }

    #[test]
    fn what_cannot_be_written_down_is_not_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let learned = Learned::open(&gone).unwrap();
        assert!(matches!(learned.learn("r", "x", false, at(0)), Err(LearnError::Write { .. })));
        assert_eq!(texts(&learned, "r"), [""; 0]);
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        let error = Learned::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains(FILE), "{error}");
    }
}
