//! A running node.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::client::{Answer, Client, Site};
use crate::farm::Held;
use crate::ports::Reservation;
use crate::wait::{self, PATIENCE};

/// A process of the `catherd` command. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Node {
    plan: Plan,
    child: Mutex<Child>,
    log: PathBuf,
    starts: u32,
    _held: Held,
    _ports: [Reservation; 2],
}

/// How a node is started, and started again.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) binary: PathBuf,
    pub(crate) base: PathBuf,
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) address: Ipv4Addr,
    pub(crate) http_port: u16,
    pub(crate) tcp_port: u16,
}

impl Node {
    pub(crate) fn spawn(plan: Plan, held: Held, ports: [Reservation; 2]) -> Self {
        let (child, log) = plan.spawn(1);
        Self {
            plan,
            child: Mutex::new(child),
            log,
            starts: 1,
            _held: held,
            _ports: ports,
        }
    }

    /// The port of its receiver, on 127.0.0.1.
    pub fn tcp_port(&self) -> u16 {
        self.plan.tcp_port
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.child().id()
    }

    /// The URL of `path` on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.http_address(), self.http_port())
    }

    /// Waits until `/catherd/health/ready` says 200.
    ///
    /// # Panics
    ///
    /// It ends, or is not ready, within [`PATIENCE`].
    pub fn wait_until_ready(&self) {
        let mut client = Client::new();
        wait::until(&format!("node {} is ready", self.name()), PATIENCE, || {
            if let Some(status) = self.exit_status() {
                panic!("node {} ended with {status}:\n{}", self.name(), self.log());
            }
            match client.try_get(self, "/catherd/health/ready") {
                Ok(answer) if answer.status() == 200 => Ok(()),
                Ok(answer) => Err(answer.text().to_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// What `/catherd/status` says.
    ///
    /// # Panics
    ///
    /// It does not answer with JSON.
    pub fn status(&self) -> Value {
        // It is for clients on the node's machine.
        let Some(namespace) = &self.plan.namespace else {
            return self.get("/catherd/status").json();
        };
        let url = format!("http://127.0.0.1:{}", self.http_port());
        let mut command = enter(namespace, &self.plan.binary);
        let output = command.args(["status", "--json", "--url", &url]).output();
        let output = output.expect("the command can be run");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("no status ({error}) in {output:?}"))
    }

    /// What its status says when its HTTP port answers for the first time.
    ///
    /// # Panics
    ///
    /// It ends, or does not answer within [`PATIENCE`].
    pub fn first_status(&self) -> Value {
        let mut client = Client::new();
        let what = format!("node {} answers", self.name());
        let look = || {
            if let Some(status) = self.exit_status() {
                panic!("node {} ended with {status}:\n{}", self.name(), self.log());
            }
            let answer = client.try_get(self, "/catherd/status");
            answer.map_err(|error| error.to_string())
        };
        let (answer, _) = wait::until(&what, PATIENCE, look);
        answer.expect_status(200).json()
    }

    /// A request without a cookie.
    ///
    /// # Panics
    ///
    /// There is no answer.
    pub fn get(&self, path: &str) -> Answer {
        Client::new().get(self, path)
    }

    /// The names of the other members in its view that are ready, sorted.
    pub fn members(&self) -> Vec<String> {
        members(&self.status())
    }

    /// Waits until its view has these other members, all ready, and no more; returns how long that
    /// took.
    ///
    /// # Panics
    ///
    /// It has not within [`PATIENCE`].
    pub fn wait_for_members(&self, names: &[&str]) -> Duration {
        self.wait_until(&format!("its members are {names:?}"), |status| {
            members(status) == names
        })
    }

    /// Waits until its status is as `is_so` wants it; returns how long that took.
    ///
    /// # Panics
    ///
    /// It is not within [`PATIENCE`].
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Duration {
        let what = format!("node {}: {what}", self.name());
        let look = || {
            let status = self.status();
            if is_so(&status) {
                Ok(())
            } else {
                Err(status.to_string())
            }
        };
        wait::until(&what, PATIENCE, look).1
    }

    /// The value of a counter in its status, such as `bad_datagrams`.
    ///
    /// # Panics
    ///
    /// There is no counter of this name.
    pub fn counter(&self, name: &str) -> u64 {
        let status = self.status();
        let value = status["counters"][name].as_u64();
        value.unwrap_or_else(|| panic!("no counter {name} in {status}"))
    }

    /// What its status says of the context at `path`.
    ///
    /// # Panics
    ///
    /// It says nothing of it.
    pub fn context(&self, path: &str) -> Value {
        let status = self.status();
        let contexts = status["contexts"].as_array().cloned().unwrap_or_default();
        let found = contexts.into_iter().find(|context| context["name"] == path);
        found.unwrap_or_else(|| panic!("no context {path} in {status}"))
    }

    /// One text for all sessions of the context at `path`: equal on two quiet nodes if nothing
    /// differs.
    ///
    /// # Panics
    ///
    /// Its status has none.
    pub fn digest(&self, path: &str) -> String {
        let context = self.context(path);
        let digest = context["digest"].as_str();
        digest
            .unwrap_or_else(|| panic!("no digest in {context}"))
            .to_owned()
    }

    /// Waits until `other` has the same sessions at `path`.
    ///
    /// # Panics
    ///
    /// It has not within [`PATIENCE`].
    pub fn wait_until_equal(&self, other: &Self, path: &str) {
        let what = format!("{} and {} agree about {path}", self.name(), other.name());
        wait::until(&what, PATIENCE, || {
            let (here, there) = (self.digest(path), other.digest(path));
            if here == there {
                Ok(())
            } else {
                Err(format!("{here} and {there}"))
            }
        });
    }

    /// SIGKILL: the process is gone when this returns, without a word to anybody.
    ///
    /// # Panics
    ///
    /// It had ended before.
    pub fn kill(&self) {
        assert!(
            self.exit_status().is_none(),
            "{} had ended before:\n{}",
            self.name(),
            self.log()
        );
        self.child().kill().expect("a running child can be killed");
        self.child()
            .wait()
            .expect("a killed child can be waited for");
    }

    /// SIGKILL without waiting for the process to be gone: the kernel may take its time.
    ///
    /// # Panics
    ///
    /// It had ended before.
    pub fn begin_to_kill(&self) {
        self.signal(Signal::KILL);
    }

    /// SIGTERM, as an operator stops it.
    ///
    /// # Panics
    ///
    /// It does not end with code 0 within [`PATIENCE`].
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        self.expect_clean_end();
    }

    /// SIGINT, as Ctrl-C stops it.
    ///
    /// # Panics
    ///
    /// It does not end with code 0 within [`PATIENCE`].
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
        self.expect_clean_end();
    }

    /// SIGSTOP, and waits until it stands still: the signal takes a moment on a busy machine. The
    /// kernel keeps its connections open.
    ///
    /// # Panics
    ///
    /// It has ended.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let process = self.child().id();
        wait::until_true("all threads stopped", || stands_still(process));
    }

    /// SIGCONT after [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// It has ended.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again after its end, on the same ports with the same files, and waits until it is
    /// ready.
    ///
    /// # Panics
    ///
    /// It still runs, ends at once, or is not ready within [`PATIENCE`].
    pub fn start_again(&mut self) {
        self.spawn_again();
        self.wait_until_ready();
    }

    /// Starts it again after its end, and waits for nothing.
    ///
    /// # Panics
    ///
    /// It still runs.
    pub fn spawn_again(&mut self) {
        assert!(self.exit_status().is_some(), "{} still runs", self.name());
        self.starts += 1;
        let (child, log) = self.plan.spawn(self.starts);
        self.child = Mutex::new(child);
        self.log = log;
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Panics
    ///
    /// The operating system does not say.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child()
            .try_wait()
            .expect("a child can be asked for its status")
    }

    /// Its memory that is in use (`VmRSS`), in bytes.
    ///
    /// # Panics
    ///
    /// It has ended, or this is not Linux.
    pub fn resident_bytes(&self) -> u64 {
        let status = self.process_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: Option<u64> = kib.and_then(|kib| kib.trim().parse().ok());
        kib.expect("the status of a process has VmRSS in kB") * 1024
    }

    /// The processor time that it has used, in user and system mode together.
    ///
    /// # Panics
    ///
    /// It has ended, or this is not Linux.
    pub fn processor_time(&self) -> Duration {
        let stat = self.process_file("stat");
        // The name of the program stands in parentheses, and may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u64>);
        let ticks: u64 = ticks
            .map(|ticks| ticks.expect("times are numbers of ticks"))
            .sum();
        let nanos = ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second();
        Duration::from_nanos(nanos)
    }

    /// A test that panicked elsewhere still has its children.
    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process_file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.process_id());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
    }

    fn signal(&self, signal: Signal) {
        assert!(
            self.exit_status().is_none(),
            "{} has ended:\n{}",
            self.name(),
            self.log()
        );
        kill_process(Pid::from_child(&self.child()), signal).expect("a child can be signalled");
    }

    fn expect_clean_end(&self) {
        let status = wait_for_end(&mut self.child(), self.plan.name.as_str());
        assert_eq!(
            status.code(),
            Some(0),
            "node {} did not end well:\n{}",
            self.name(),
            self.log()
        );
    }
}

impl Site for Node {
    /// Its `jvmRoute`.
    fn name(&self) -> &str {
        &self.plan.name
    }

    fn http_address(&self) -> Ipv4Addr {
        self.plan.address
    }

    /// The port of its HTTP connector.
    fn http_port(&self) -> u16 {
        self.plan.http_port
    }

    /// What it has written to standard error and standard output since its last start.
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Whether every thread of a process is stopped (proc(5): the state behind the name, which is in
/// parentheses).
fn stands_still(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return false;
    };
    let is_stopped = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('T'))
    };
    threads.flatten().all(is_stopped)
}

impl Drop for Node {
    /// Nobody looks at errors of a process that is thrown away; what it said is of interest only
    /// to a test that fails.
    #[expect(
        clippy::print_stderr,
        reason = "the harness shows it with the failed test"
    )]
    fn drop(&mut self) {
        drop(self.child().kill());
        drop(self.child().wait());
        if thread::panicking() {
            eprintln!(
                "--- node {} wrote to standard error:\n{}---",
                self.name(),
                self.log()
            );
        }
    }
}

impl Plan {
    /// The process, and the file with its standard error.
    fn spawn(&self, start: u32) -> (Child, PathBuf) {
        let log = self.base.join(format!("stderr-{start}"));
        let stderr = File::create(&log).expect("files can be made in the farm");
        let mut command = match &self.namespace {
            Some(namespace) => enter(namespace, &self.binary),
            None => Command::new(&self.binary),
        };
        let child = command
            .args(["run", "--base"])
            .arg(&self.base)
            .stdin(Stdio::null())
            .stdout(stderr.try_clone().expect("an open file can be shared"))
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.binary.display()));
        (child, log)
    }
}

/// The command that runs `binary` in a network namespace: as the same process, so that signals
/// reach it.
fn enter(namespace: &str, binary: &Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(binary);
    command
}

/// A command that has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finished {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// Runs a command to its end. Its output goes through files, which cannot fill up as pipes do.
    pub(crate) fn of(binary: &Path, arguments: &[&str], directory: &Path) -> Self {
        let file = || NamedTempFile::new_in(directory).expect("files can be made in the farm");
        let (stdout, stderr) = (file(), file());
        let writer = |file: &NamedTempFile| file.reopen().expect("a new file can be opened");
        let mut child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer(&stdout))
            .stderr(writer(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
        let status = wait_for_end(&mut child, &format!("{arguments:?}"));
        let text = |file: &NamedTempFile| {
            let bytes = fs::read(file.path()).expect("what was written can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self {
            code: status.code(),
            stdout: text(&stdout),
            stderr: text(&stderr),
        }
    }
}

/// Waits until a child has ended; one that does not is killed, and the test fails.
fn wait_for_end(child: &mut Child, what: &str) -> ExitStatus {
    let mut ended = None;
    let start = Instant::now();
    while ended.is_none() && start.elapsed() < PATIENCE {
        ended = child
            .try_wait()
            .expect("a child can be asked for its status");
        thread::sleep(Duration::from_millis(3));
    }
    ended.unwrap_or_else(|| {
        drop(child.kill());
        drop(child.wait());
        panic!("{what} did not end within {PATIENCE:?}")
    })
}

fn members(status: &Value) -> Vec<String> {
    let members = status["members"].as_array().map_or(&[][..], Vec::as_slice);
    let ready = members.iter().filter(|member| member["state"] == "ready");
    let mut names: Vec<String> = ready
        .filter_map(|member| member["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ready_members_count_and_they_are_sorted() {
        let status = json!({"members": [
            {"name": "C", "state": "ready"},
            {"name": "B", "state": "suspect"},
            {"name": "A", "state": "ready"},
        ]});
        assert_eq!(members(&status), ["A", "C"]);
        assert_eq!(members(&json!({})), [""; 0]);
    }

    #[test]
    fn a_command_that_ends_gives_its_code_and_what_it_wrote() {
        let directory = tempfile::TempDir::new().unwrap();
        let script = "echo out; echo err >&2; exit 3";
        let finished = Finished::of(Path::new("sh"), &["-c", script], directory.path());
        assert_eq!(finished.code, Some(3));
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("out\n", "err\n")
        );
    }
}
