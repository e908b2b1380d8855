//! The real `mq`, with a configuration directory of its own, and a server in this process.

use mqserver::config::Config;
use mqserver::server::Server as MqServer;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A store that takes little room.
const SMALL: &str = "[journal]\nsegments = 3\nsegment_mib = 2\n";

/// A server on a store that goes away with the test.
pub(crate) struct Server {
    dir: TempDir,
    address: SocketAddr,
    tls: Option<SocketAddr>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// A server with these settings besides, the first of which may be above all sections.
    pub(crate) fn start_with(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { dir, address, tls: None, running: None };
        server.run(settings);
        server
    }

    fn run(&mut self, settings: &str) {
        let settings =
            format!("listen = [\"{}\"]\nadmin = \"off\"\n{settings}\n{SMALL}", self.address);
        std::fs::write(self.store().join("mqserver.toml"), settings).unwrap();
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let store = self.store().to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let server = MqServer::start(Config::read(&store).unwrap()).await.unwrap();
                ready.send((server.addresses()[0], server.tls_addresses())).unwrap();
                server.run(async { _ = stopped.await }).await.unwrap();
            });
        });
        let (address, tls) = started.recv_timeout(PATIENCE).expect("the server starts");
        (self.address, self.tls) = (address, tls.first().copied());
        self.running = Some((stop, thread));
    }

    pub(crate) fn store(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("wss://{}", self.tls.unwrap())
    }

    /// Ends it in good order.
    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.run("");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A user at a shell, with a configuration directory.
pub(crate) struct Shell {
    home: TempDir,
    url: String,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    /// The standard output of a command that has succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The standard error of a command that has ended with this code.
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }
}

impl Shell {
    pub(crate) fn new(server: &Server) -> Self {
        Self::at(&server.url())
    }

    pub(crate) fn at(url: &str) -> Self {
        Self { home: tempfile::tempdir().unwrap(), url: url.to_owned() }
    }

    /// One where these users are registered; the first is the current profile.
    pub(crate) fn with_users(server: &Server, users: &[&str]) -> Self {
        let shell = Self::new(server);
        for user in users {
            shell.mq(&["register", user]).ok();
        }
        shell
    }

    /// The configuration directory, which is not there at first.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// A file of the user's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// `mq` with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.dressed(Command::new(env!("CARGO_BIN_EXE_mq")), args)
    }

    /// A script for sh, in which `mq` is the one.
    pub(crate) fn script(&self, script: &str) -> Command {
        self.dressed(Command::new("sh"), &["-c", script])
    }

    fn dressed(&self, mut command: Command, args: &[&str]) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_mq"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", program.parent().unwrap().display());
        command.args(args).env("PATH", path).env("MQ_CONFIG_DIR", self.config());
        command.env("MQ_SERVER", &self.url).current_dir(self.home.path());
        for variable in ["MQ_PROFILE", "MQ_SECRET", "MQ_INVITE", "NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn mq(&self, args: &[&str]) -> Outcome {
        self.mq_reading(args, b"")
    }

    /// `mq` with this on its standard input.
    pub(crate) fn mq_reading(&self, args: &[&str], input: &[u8]) -> Outcome {
        run(self.command(args), input)
    }

    /// Starts `mq listen` of a profile, and waits until it is logged in.
    pub(crate) fn listen(&self, profile: &str, args: &[&str]) -> Running {
        let running = self.start(&[&["-p", profile, "listen"], args].concat());
        running.says("listens");
        running
    }

    /// Starts `mq`, which may go on for long.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        let input = child.stdin.take();
        Running { child, input, out, err }
    }
}

/// Runs a command to its end. One that does not end is killed and fails the test.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    std::thread::spawn(move || _ = stdin.write_all(&input));
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(PATIENCE) else {
        let _ = kill_process(pid, Signal::KILL);
        panic!("{command:?} has not ended in {PATIENCE:?}");
    };
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A `mq` that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) input: Option<ChildStdin>,
    out: mpsc::Receiver<String>,
    err: mpsc::Receiver<String>,
}

impl Running {
    /// The next line of its standard output.
    pub(crate) fn line(&self) -> String {
        self.out.recv_timeout(PATIENCE).expect("a line comes")
    }

    /// Is there no line on its standard output for a while?
    pub(crate) fn is_silent(&self) -> bool {
        self.out.recv_timeout(Duration::from_millis(300)).is_err()
    }

    /// Waits until it says so on its standard error.
    pub(crate) fn says(&self, what: &str) {
        let mut said = Vec::new();
        while let Ok(line) = self.err.recv_timeout(PATIENCE) {
            if line.contains(what) {
                return;
            }
            said.push(line);
        }
        panic!("it did not say {what:?}, but {said:?}");
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it has not ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it by ctrl-C.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::INT);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `is` is so.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
