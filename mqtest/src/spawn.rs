//! A server of our own: a `mqserver` process on a free port and a store that nobody else uses.
//!
//! The program is told to listen on port 0 and prints where it ended up, one line per address
//! (`listening on 127.0.0.1:43121`, and `admin on …` when the admin page is wanted), once it
//! takes connections: so nobody guesses a port, and nobody polls one. Its log goes to a file
//! whose tail belongs in every error about it. A dropped [`Server`] is killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

/// How long a server may take until it listens: recovery of a large store included.
const READY: Duration = Duration::from_secs(60);
/// How long a graceful stop may take; the server promises ten seconds.
const STOP: Duration = Duration::from_secs(15);
/// How often a process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);
/// Where in a store its certificate is.
const CERTIFICATE: &str = "tls/certificate.pem";
/// How much of the log an error shows.
const TAIL: usize = 4000;

/// What kind of server to start. The default is what a test wants.
#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    /// The server's program; none: the `mqserver` beside this program.
    pub(crate) bin: Option<PathBuf>,
    /// Its store, which outlives it; none: a temporary one that goes away with the [`Server`].
    pub(crate) store: Option<PathBuf>,
    /// Where it listens; none: a free port of the loopback, another one after each restart.
    pub(crate) listen: Option<SocketAddr>,
    /// Where it listens with TLS, too; if it does, its store gets a certificate that signs itself.
    pub(crate) listen_tls: Option<SocketAddr>,
    /// Whether it serves the admin page, on a free port of the loopback.
    pub(crate) admin: bool,
    /// Whatever else stands on its command line.
    pub(crate) args: Vec<String>,
    /// A program that runs it in its own process, with that program's arguments.
    pub(crate) wrapper: Vec<String>,
    /// Variables of its environment.
    pub(crate) env: Vec<(String, String)>,
}

/// A running (or stopped, and restartable) server.
#[derive(Debug)]
pub(crate) struct Server {
    options: Options,
    bin: PathBuf,
    store: PathBuf,
    log: PathBuf,
    child: Child,
    addr: SocketAddr,
    tls: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    // Holds the log, and the store unless one was given; gone when this is dropped.
    _dir: TempDir,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) async fn spawn(options: Options) -> anyhow::Result<Self> {
        let bin = binary(options.bin.as_deref())?;
        let dir = tempfile::Builder::new()
            .prefix("mqtest-")
            .tempdir()
            .context("cannot make a temporary directory for the server")?;
        let store = options.store.clone().unwrap_or_else(|| dir.path().join("mqstore"));
        let log = dir.path().join("mqserver.log");
        if options.listen_tls.is_some() {
            make_certificate(&bin, &store).await?;
        }
        let (child, ready) = start(&bin, &store, &log, &options).await?;
        Ok(Self {
            options,
            bin,
            store,
            log,
            child,
            addr: ready.addr,
            tls: ready.tls,
            admin: ready.admin,
            _dir: dir,
        })
    }

    /// Where it listens for clients.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens for clients that speak TLS, if it was asked to.
    pub(crate) fn tls(&self) -> Option<SocketAddr> {
        self.tls
    }

    /// The certificate that it has now, PEM.
    pub(crate) fn certificate(&self) -> anyhow::Result<Vec<u8>> {
        let path = self.store.join(CERTIFICATE);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Where its admin page is, if it was asked for.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Its process id.
    #[allow(dead_code, reason = "for the load generator, which measures the process")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its store.
    #[allow(dead_code, reason = "for the load generator")]
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask for the server's state")
    }

    /// Asks it to stop as ctrl-C would, without waiting.
    pub(crate) fn interrupt(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::INT)
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        match wait_for(&mut self.child, STOP).await? {
            Some(status) => Ok(status),
            None => bail!("the server runs on, {} s after it was told to stop", STOP.as_secs()),
        }
    }

    /// Stops it gracefully (SIGTERM) and waits until it is gone.
    #[allow(dead_code, reason = "for the load generator")]
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait().await
    }

    /// Runs `mqserver stop` on its store, which must end by itself.
    pub(crate) async fn stop_by_command(&mut self) -> anyhow::Result<Ran> {
        let mut command = Command::new(&self.bin);
        command.arg("stop").arg("--store").arg(&self.store);
        let mut ran = std::pin::pin!(run_to_end(command));
        loop {
            tokio::select! {
                ran = &mut ran => return ran,
                // The command waits until the server is gone. A process that its parent does not
                // ask after is never quite gone.
                () = sleep(POLL) => self.exited().map(drop)?,
            }
        }
    }

    /// Stops it where it is (SIGSTOP): it says no more.
    #[allow(dead_code, reason = "for trials")]
    pub(crate) fn freeze(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Kills it (SIGKILL), as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill the server")?;
        self.child.wait().context("cannot wait for the killed server")?;
        Ok(())
    }

    /// Starts it again on the same store. It must have ended; the address may be a new one.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        if self.exited()?.is_none() {
            bail!("the server cannot be restarted: it still runs");
        }
        let (child, ready) = start(&self.bin, &self.store, &self.log, &self.options).await?;
        self.child = child;
        self.addr = ready.addr;
        self.tls = ready.tls;
        self.admin = ready.admin;
        Ok(())
    }

    /// Runs a second server on the same store, which must end by itself.
    pub(crate) async fn second(&self) -> anyhow::Result<Ran> {
        run_to_end(command(&self.bin, &self.store, &self.options)).await
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        // While the child has not been waited for, its id cannot belong to anyone else.
        if self.exited()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("the server has no process id")?;
        kill_process(pid, signal).context("cannot signal the server")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended already, which is all that is wanted here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command of the server's program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command that should end by itself within [`STOP`], and kills it if it does not.
async fn run_to_end(mut command: Command) -> anyhow::Result<Ran> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let ended = wait_for(&mut child, STOP).await?;
    if ended.is_none() {
        child.kill().with_context(|| format!("cannot end {command:?}"))?;
        child.wait()?;
    }
    let mut ran =
        Ran { code: ended.and_then(|s| s.code()), out: String::new(), err: String::new() };
    // It has ended and says a few lines at most, so that its pipes hold all of it.
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut ran.out)?;
    }
    if let Some(mut err) = child.stderr.take() {
        err.read_to_string(&mut ran.err)?;
    }
    if ended.is_none() {
        bail!("{command:?} did not end by itself; it said {:?}{:?}", ran.out, ran.err);
    }
    Ok(ran)
}

/// The server's program: the given one, or `mqserver` beside this program or one directory up,
/// where cargo puts it when this program is a test.
pub(crate) fn binary(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        if !path.is_file() {
            bail!("there is no server program at {}", path.display());
        }
        // An absolute path, since a command with a bare name is looked for elsewhere.
        return std::path::absolute(path).context("cannot find the server program");
    }
    let me = std::env::current_exe().context("cannot find this program's own path")?;
    let name = format!("mqserver{}", std::env::consts::EXE_SUFFIX);
    let places = me.ancestors().skip(1).take(2).map(|dir| dir.join(&name));
    places.clone().find(|path| path.is_file()).with_context(|| {
        let first = places.clone().next().unwrap_or_default();
        format!(
            "there is no server program at {}: build it with `cargo build -p mqserver`",
            first.display()
        )
    })
}

fn command(bin: &Path, store: &Path, options: &Options) -> Command {
    let listen = options.listen.map_or_else(|| "127.0.0.1:0".to_owned(), |addr| addr.to_string());
    let admin = if options.admin { "127.0.0.1:0" } else { "off" };
    let mut command = match options.wrapper.split_first() {
        Some((program, words)) => {
            let mut command = Command::new(program);
            command.args(words).arg(bin);
            command
        }
        None => Command::new(bin),
    };
    command.envs(options.env.iter().map(|(name, value)| (name, value)));
    command.arg("--store").arg(store);
    if let Some(address) = options.listen_tls {
        command.args(["--listen-tls", &address.to_string()]);
    }
    command.args(["--listen", &listen, "--admin", admin]).args(&options.args);
    command
}

#[derive(Debug)]
struct Ready {
    addr: SocketAddr,
    tls: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

/// Gives a store a certificate, unless it has one.
async fn make_certificate(bin: &Path, store: &Path) -> anyhow::Result<()> {
    if store.join(CERTIFICATE).exists() {
        return Ok(());
    }
    let mut command = Command::new(bin);
    command.arg("cert").arg("--store").arg(store);
    let ran = run_to_end(command).await?;
    if ran.code != Some(0) {
        bail!("mqserver cert: {}", ran.err);
    }
    Ok(())
}

async fn start(
    bin: &Path,
    store: &Path,
    log: &Path,
    options: &Options,
) -> anyhow::Result<(Child, Ready)> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write the server's log {}", log.display()))?;
    let mut command = command(bin, store, options);
    // A ctrl-C is for us; the server is stopped when we are done.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", bin.display()))?;
    match ready(&mut child, options).await {
        Ok(ready) => Ok((child, ready)),
        Err(error) => {
            let _ = child.kill();
            let how = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
            Err(error.context(format!(
                "{} did not start ({how}); its log ends with:\n{}",
                bin.display(),
                tail(log)
            )))
        }
    }
}

/// Reads the addresses off the server's standard output.
async fn ready(child: &mut Child, options: &Options) -> anyhow::Result<Ready> {
    let stdout = child.stdout.take().context("the server has no standard output")?;
    let mut lines = lines_of(stdout);
    let deadline = Instant::now() + READY;
    let (mut addr, mut tls, mut admin) = (None, None, None);
    loop {
        let line = match timeout_at(deadline, lines.recv()).await {
            Ok(Some(line)) => line,
            Ok(None) => bail!("it ended before it listened"),
            Err(_) => bail!("it does not listen after {} s", READY.as_secs()),
        };
        let (what, place) = if let Some(place) = line.strip_prefix("listening on ") {
            (&mut addr, place)
        } else if let Some(place) = line.strip_prefix("listening with TLS on ") {
            (&mut tls, place)
        } else if let Some(place) = line.strip_prefix("admin on ") {
            (&mut admin, place)
        } else {
            continue;
        };
        let place = place.trim().parse().with_context(|| format!("not an address: {line:?}"))?;
        *what = Some(place);
        if let Some(addr) = addr
            && (admin.is_some() || !options.admin)
            && (tls.is_some() || options.listen_tls.is_none())
        {
            return Ok(Ready { addr, tls, admin });
        }
    }
}

/// The lines of a process, read by a thread of their own to the end: a server whose standard
/// output nobody reads would block one day.
fn lines_of(stdout: ChildStdout) -> mpsc::UnboundedReceiver<String> {
    let (tx, rx) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            // Once the server is ready nobody listens here any more.
            let _ = tx.send(line);
        }
    });
    rx
}

async fn wait_for(child: &mut Child, long: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + long;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the process")? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(POLL).await;
    }
}

fn tail(log: &Path) -> String {
    let text = match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("(no log: {error})"),
    };
    let from = text.floor_char_boundary(text.len().saturating_sub(TAIL));
    text[from..].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    /// A program still open for writing cannot be run, and a process that another test is just
    /// starting holds every file of this one open: so one test at a time.
    static SCRIPTS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// A stand-in for the server: a shell script that says what the real one would.
    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("fake-server");
        let mut file = File::create(&path).unwrap();
        writeln!(file, "#!/bin/sh\n{text}").unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_server_tells_its_address_and_can_be_stopped_and_restarted() {
        let _alone = SCRIPTS.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let bin = script(dir.path(), "echo hello\necho listening on 127.0.0.1:4321\nexec sleep 60");
        let options = Options { bin: Some(bin), ..Options::default() };
        let mut server = Server::spawn(options).await.unwrap();
        assert_eq!(server.addr().port(), 4321);
        assert!(server.restart().await.is_err());
        assert!(!server.stop().await.unwrap().success());
        server.restart().await.unwrap();
        assert!(server.exited().unwrap().is_none());
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_an_error_with_its_log() {
        let _alone = SCRIPTS.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let bin = script(dir.path(), "echo the store is damaged >&2; exit 3");
        let options = Options { bin: Some(bin), ..Options::default() };
        let error = format!("{:#}", Server::spawn(options).await.unwrap_err());
        assert!(error.contains("the store is damaged"), "{error}");
        assert!(error.contains("before it listened"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_server_program_is_named() {
        let options = Options { bin: Some("/nowhere/mqserver".into()), ..Options::default() };
        let error = Server::spawn(options).await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/mqserver"), "{error}");
    }
}
