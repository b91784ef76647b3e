//! A child process whose output is kept and that does not outlive its handle.

use std::{
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use crate::wait;

/// How much of the output is shown when a test fails.
const SHOWN_LINES: usize = 60;

/// A running program. Killed when dropped; if that happens in a panic, the end of its output is shown.
pub struct Process {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    /// # Panics
    /// If the program cannot be started.
    pub fn spawn(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start `{name}`: {error}"));
        let stdout = Lines::collect(child.stdout.take());
        let stderr = Lines::collect(child.stderr.take());
        Self { name, child, stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines written to standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.snapshot()
    }

    /// The lines written to standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.snapshot()
    }

    /// Sends a signal by name: `TERM`, `HUP`.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("sh runs");
        assert!(status.success(), "`{kill}` failed: `{}` is gone", self.name);
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill9(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The exit status, if it has ended.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end and for the rest of its output.
    ///
    /// # Panics
    /// After [`wait::PATIENCE`].
    pub async fn wait_exit(&mut self) -> ExitStatus {
        let what = format!("end of `{}`", self.name);
        let status =
            wait::wait_for(&what, async || self.child.try_wait().expect("child can be waited for")).await;
        wait::wait_until("end of its output", async || self.stdout.is_closed() && self.stderr.is_closed())
            .await;
        status
    }

    fn show_output(&self) {
        for (stream, lines) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            let skipped = lines.len().saturating_sub(SHOWN_LINES);
            eprintln!("--- {stream} of `{}`, {} lines, the last of them:", self.name, lines.len());
            for line in &lines[skipped..] {
                eprintln!("{line}");
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if thread::panicking() {
            self.show_output();
        }
    }
}

/// Lines read by a thread of their own; the thread's clone is gone once the stream has ended.
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn collect(stream: Option<impl Read + Send + 'static>) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        if let Some(stream) = stream {
            let sink = Arc::clone(&lines);
            thread::spawn(move || read_lines(stream, &sink));
        }
        Self(lines)
    }

    fn snapshot(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

fn read_lines(stream: impl Read, lines: &Mutex<Vec<String>>) {
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn(command)
    }

    #[tokio::test]
    async fn output_and_exit_code_are_kept() {
        let mut process = sh("echo one; echo two >&2; exit 3");
        assert_eq!(process.wait_exit().await.code(), Some(3));
        assert_eq!(process.stdout(), ["one"]);
        assert_eq!(process.stderr(), ["two"]);
    }

    #[tokio::test]
    async fn signal_arrives() {
        let mut process = sh("trap 'echo got it; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
        wait::wait_until("trap set", async || process.stdout() == ["ready"]).await;
        process.signal("TERM");
        assert_eq!(process.wait_exit().await.code(), Some(0));
        assert_eq!(process.stdout(), ["ready", "got it"]);
    }

    #[tokio::test]
    async fn killed_process_is_gone() {
        let mut process = sh("exec sleep 100");
        process.kill9();
        assert!(process.exited().unwrap().is_some());
    }
}
