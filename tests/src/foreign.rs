//! Other people's packages: their own code signs what the gateway takes in, and checks what it sends out.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};

/// Two tests at once must not fill one directory.
static INSTALLING: Mutex<()> = Mutex::new(());

/// A language whose package registry has packages of webhook providers.
#[derive(Clone, Copy, Debug)]
pub enum Language {
    Python,
    Node,
}

/// A language with the packages that `tests/packages` pins, installed below `target/`.
pub struct Packages {
    language: Language,
    dir: PathBuf,
}

impl Packages {
    /// Installs them, unless that is done already. Where the language or its registry is not to be had this is
    /// `None`, and whoever asks leaves out what needs them.
    ///
    /// # Panics
    /// With `CI=true`, instead of giving `None`.
    pub fn of(language: Language) -> Option<Self> {
        let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        match Self::install(language) {
            Ok(packages) => Some(packages),
            Err(why) => {
                let ci = env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!ci, "CI=true, but {language:?} with its packages is not to be had: {why}");
                eprintln!("left out: {language:?} with its packages is not to be had: {why}");
                None
            }
        }
    }

    /// Runs one of the scripts of `tests/packages` and gives what it prints.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, script: &str, input: &str) -> String {
        let mut command = match self.language {
            Language::Python => Command::new(self.dir.join("bin/python3")),
            Language::Node => Command::new("node"),
        };
        let output = with_input(command.arg(self.script(script)), input);
        let output = output.unwrap_or_else(|error| panic!("`{script}` cannot be run: {error}"));
        assert!(output.status.success(), "`{script}` failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn install(language: Language) -> Result<Self, String> {
        let packages = Self { language, dir: language.dir()? };
        let done = packages.dir.join("installed.txt");
        let wanted = read(&language.sources().join(language.list()))?;
        if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
            return Ok(packages);
        }
        fs::create_dir_all(&packages.dir).map_err(|error| error.to_string())?;
        match language {
            Language::Python => packages.install_python()?,
            Language::Node => packages.install_node()?,
        }
        fs::write(done, wanted).map_err(|error| error.to_string())?;
        Ok(packages)
    }

    fn install_python(&self) -> Result<(), String> {
        let list = self.language.sources().join(self.language.list());
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&self.dir))?;
        let mut pip = Command::new(self.dir.join("bin/python3"));
        succeed(pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(list))
    }

    fn install_node(&self) -> Result<(), String> {
        for file in ["package.json", self.language.list()] {
            copy(&self.language.sources().join(file), &self.dir.join(file))?;
        }
        let mut npm = Command::new("npm");
        succeed(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&self.dir))
    }

    /// Node looks for packages beside the script, so that is where the script goes.
    fn script(&self, name: &str) -> PathBuf {
        let source = self.language.sources().join(name);
        match self.language {
            Language::Python => source,
            Language::Node => {
                let beside = self.dir.join(name);
                copy(&source, &beside).unwrap_or_else(|why| panic!("{why}"));
                beside
            }
        }
    }
}

impl Language {
    fn sources(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("packages").join(self.name())
    }

    /// The file that says which versions are wanted.
    fn list(self) -> &'static str {
        match self {
            Self::Python => "requirements.txt",
            Self::Node => "package-lock.json",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
        }
    }

    fn dir(self) -> Result<PathBuf, String> {
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let target = program.ancestors().find(|dir| dir.ends_with("target"));
        Ok(target.ok_or("this program is not below a `target` directory")?.join(self.name()))
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("failed to read `{}`: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let copied = fs::copy(from, to).map(drop);
    copied.map_err(|error| format!("failed to copy `{}`: {error}", from.display()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("failed to start `{name}`: {error}"))?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("`{name}` failed: {}", said())) }
}

fn with_input(command: &mut Command, input: &str) -> io::Result<Output> {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input is told nothing.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}
