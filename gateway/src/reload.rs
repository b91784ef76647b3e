//! Hot reload: watches the config file and every file it names, builds a new generation beside the old one, and
//! swaps. All or nothing: what cannot be built in full never takes effect.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{self, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{sync::Notify, time};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    config::{Config, ProcessEnv, Report},
    gateway::Gateway,
    generation::{BuildError, Generation},
    lane::LaneError,
    listener::tls::{NewCertificate, TlsError},
    telemetry::{Chain, ReloadLabel},
};

/// How long files must have been quiet before they are read: editors and `cp` write in several steps.
const QUIET: Duration = Duration::from_millis(100);

/// How often files are looked at even without a word from the kernel, which says nothing about network
/// file systems and some bind mounts.
const POLL: Duration = Duration::from_secs(5);

/// Why a new config did not take effect. The old generation serves on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    #[error("config is not valid\n{0}")]
    Config(Report),
    #[error("{} cannot change without a restart; restart sluice, or change it back", keys(.0))]
    RestartNeeded(Vec<&'static str>),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("failed to load the certificate")]
    Tls(#[from] TlsError),
    #[error("failed to prepare the destinations")]
    Lanes(#[from] LaneError),
    #[error("reload was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl ReloadError {
    /// The whole story, for whoever asked for the reload.
    pub fn report(&self) -> String {
        Chain(self).to_string()
    }
}

impl Gateway {
    /// Reads the config again and puts it in force; returns the number of the new generation. Requests and
    /// events in hand finish in the generation that they began in.
    pub async fn reload(&self) -> Result<u64, ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let outcome = self.build_and_swap().await;
        let label = if outcome.is_ok() { "applied" } else { "refused" };
        self.metrics.reloads.get_or_create(&ReloadLabel { outcome: label }).inc();
        match &outcome {
            Ok(generation) => info!(generation, "config reloaded"),
            Err(refused) => {
                error!(error = %Chain(refused), generation = self.generation(), "reload refused; the old config stays in force");
            }
        }
        outcome
    }

    async fn build_and_swap(&self) -> Result<u64, ReloadError> {
        let old = self.current.load_full();
        let prepared = self.prepare(old.clone()).await?;
        let Prepared { generation, certificate } = prepared;
        // Lanes first: no event may meet a destination without one.
        self.lanes.apply(&generation.config)?;
        self.lanes.batch(generation.batchers());
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.install(certificate);
        }
        let number = generation.number;
        self.metrics.generation.set(i64::try_from(number).unwrap_or(i64::MAX));
        let generation = Arc::new(generation);
        self.current.store(generation.clone());
        generation.say_in_force(&old);
        Ok(number)
    }

    /// Does everything that can fail, before anything is changed.
    async fn prepare(&self, old: Arc<Generation>) -> Result<Prepared, ReloadError> {
        let (file, supplies, tls, watched) =
            (self.config_file.clone(), self.supplies.clone(), self.tls.clone(), self.watched.clone());
        tokio::task::spawn_blocking(move || {
            let (config, warnings) = Config::load(&file, &ProcessEnv).map_err(ReloadError::Config)?;
            watched.store(Arc::new(config.files.clone()));
            warnings.iter().for_each(|warning| warn!("{}", warning.line()));
            let fixed = old.config.restart_needed(&config);
            if !fixed.is_empty() {
                return Err(ReloadError::RestartNeeded(fixed));
            }
            let certificate = match (&tls, &config.server.tls) {
                (Some(tls), Some(files)) => Some(tls.read(files)?),
                _ => None,
            };
            let generation = Generation::build(old.number + 1, config, &supplies, Some(&old))?;
            Ok(Prepared { generation, certificate })
        })
        .await?
    }
}

/// All that a reload is going to put in force.
struct Prepared {
    generation: Generation,
    certificate: Option<NewCertificate>,
}

fn keys(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// Watches the files of the config in force, and those that the last refused one asked for, until `stop`.
pub async fn watch(gateway: Arc<Gateway>, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    let mut watch = Watch::new(changed.clone());
    watch.follow(&gateway.watched.load());
    // The start took its time, compiling plugins for one; what was changed meanwhile is seen at once.
    let mut seen = gateway.first_seen.clone();
    changed.notify_one();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => quiet(&changed).await,
            () = time::sleep(POLL) => {}
        }
        let now = watch.fingerprint();
        if now != seen {
            // Its outcome is logged and counted where it happens.
            let _ = gateway.reload().await;
            seen = watch.follow(&gateway.watched.load());
            // What changed while it was being read must be seen as a change.
            seen.0.extend(now.0.into_iter().filter(|(file, _)| watch.files.contains(file)));
        }
    }
}

/// Waits until nothing has changed for a moment.
async fn quiet(changed: &Notify) {
    while time::timeout(QUIET, changed.notified()).await.is_ok() {}
}

/// Watches directories rather than files: a file that is replaced by a rename, or by swapping a symlink further
/// up as Kubernetes does, is a new file, and a watch on the old one would never hear of it.
struct Watch {
    files: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
    /// `None` where the kernel gives no watches; then the files are polled.
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    fn new(changed: Arc<Notify>) -> Self {
        let watcher = notify::recommended_watcher(move |_| changed.notify_one())
            .inspect_err(|error| warn!(%error, "no file watches; files are looked at every {POLL:?}"))
            .ok();
        Self { files: BTreeSet::new(), directories: BTreeSet::new(), watcher }
    }

    /// Watches these files from now on, and returns what they look like.
    fn follow(&mut self, files: &[PathBuf]) -> Fingerprint {
        self.files = files.iter().cloned().collect();
        let directories = self.files.iter().flat_map(|file| directories_of(file)).collect();
        if let Some(watcher) = &mut self.watcher {
            for gone in self.directories.difference(&directories) {
                // It may have been removed; then there is nothing left to unwatch.
                let _ = watcher.unwatch(gone);
            }
            for new in directories.difference(&self.directories) {
                if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                    warn!(%error, directory = %new.display(), "cannot watch; its files are looked at every {POLL:?}");
                }
            }
        }
        self.directories = directories;
        self.fingerprint()
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.files)
    }
}

/// Every directory in which a change may change the file: where it is named, where the symlinks on the way to it
/// stand, and where it really is.
fn directories_of(file: &Path) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    // `sluice.toml` alone has no directory that could be watched.
    let mut file = path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    // The bound is the kernel's own on chains of symlinks (path_resolution(7)).
    for _ in 0..40 {
        let Some(directory) = file.parent().map(Path::to_path_buf) else { break };
        for ancestor in directory.ancestors().filter(|ancestor| ancestor.is_symlink()) {
            directories.extend(ancestor.parent().map(Path::to_path_buf));
        }
        let target = fs::read_link(&file);
        directories.extend(directory.canonicalize());
        match target {
            Ok(target) => file = directory.join(target),
            Err(_) => break,
        }
    }
    directories
}

/// What the watched files look like from outside; `None` while a file is not there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(BTreeMap<PathBuf, Option<Stat>>);

#[derive(Clone, PartialEq, Eq)]
struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Fingerprint {
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), Stat::of(file))).collect())
    }
}

impl Stat {
    fn of(file: &Path) -> Option<Self> {
        let meta = fs::metadata(file).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn config_changed_while_the_gateway_starts_takes_effect() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sluice.toml");
        let text = "[destinations.a]\nurl = \"http://127.0.0.1:1/\"\n\
                    [[routes]]\nname = \"r\"\npath = \"/\"\nverify = \"none\"\ndeliver = [\"a\"]\n";
        fs::write(&file, text).unwrap();
        let (config, _) = Config::load(&file, &ProcessEnv).unwrap();
        let open = {
            let file = file.clone();
            move || Gateway::open(file, config, Arc::new(SystemClock))
        };
        let gateway = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
        fs::write(&file, format!("# changed\n{text}")).unwrap();
        let watching = tokio::spawn(watch(gateway.clone(), CancellationToken::new()));
        let reloaded = async {
            while gateway.generation() < 2 {
                tokio::task::yield_now().await;
            }
        };
        time::timeout(Duration::from_secs(20), reloaded).await.expect("the change is seen");
        watching.abort();
        gateway.journal.close().await;
    }

    #[test]
    fn every_directory_of_a_config_map_is_watched() {
        // As Kubernetes mounts it: sluice.toml -> ..data/sluice.toml, ..data -> ..2026_11
        let mount = tempfile::tempdir().unwrap();
        let mount = mount.path().canonicalize().unwrap();
        fs::create_dir(mount.join("..2026_11")).unwrap();
        fs::write(mount.join("..2026_11/sluice.toml"), "").unwrap();
        symlink("..2026_11", mount.join("..data")).unwrap();
        symlink("..data/sluice.toml", mount.join("sluice.toml")).unwrap();
        let watched = directories_of(&mount.join("sluice.toml"));
        assert_eq!(watched, BTreeSet::from([mount.clone(), mount.join("..2026_11")]));
    }

    #[test]
    fn the_working_directory_is_watched_for_a_bare_file_name() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert!(directories_of(Path::new("sluice.toml")).contains(&here));
    }

    #[test]
    fn a_file_replaced_by_a_rename_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, new) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::new(Arc::default());
        let before = watch.follow(std::slice::from_ref(&file));
        assert!(watch.fingerprint() == before);
        fs::write(&new, "2").unwrap();
        fs::rename(&new, &file).unwrap();
        assert!(watch.fingerprint() != before);
    }

    #[test]
    fn a_file_that_appears_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("later");
        let mut watch = Watch::new(Arc::default());
        let before = watch.follow(std::slice::from_ref(&file));
        fs::write(&file, "1").unwrap();
        assert!(watch.fingerprint() != before);
    }
}
