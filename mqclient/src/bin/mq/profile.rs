//! Profiles: which server, as whom, and the secret, in the user's configuration directory.
//!
//! ```text
//! $MQ_CONFIG_DIR, or $XDG_CONFIG_HOME/mq, or ~/.config/mq
//!     current                     the name of the profile that is used if none is named
//!     profiles/NAME/profile.toml  the server and the user
//!     profiles/NAME/secret        the node's name, which is its password; mode 0600
//!     profiles/NAME/lock          held by the process that is logged in
//!     profiles/NAME/socket        where `mq listen` takes requests of others
//! ```
//!
//! A profile comes to be by a rename, so it is there whole or not at all.

use crate::failure::Failure;
use mqclient::{NodeName, Server, Tls};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const SETTINGS: &str = "profile.toml";
const SECRET: &str = "secret";
/// Room for a secret, taken before the server tells one.
const RESERVED: [u8; 256] = [b'.'; 256];
const MAX_NAME: usize = 64;

/// The configuration directory.
#[derive(Debug)]
pub(crate) struct Home(PathBuf);

/// What a profile says, but for the secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The server's URL.
    pub(crate) server: String,
    pub(crate) user: String,
    /// Roots to trust in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// A certificate to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
}

impl Settings {
    /// The server, with whom to trust. Reads the files.
    pub(crate) fn server(&self) -> Result<Server, Failure> {
        let read = |path: &Path| fs::read(path).map_err(|error| Failure::file(path, &error));
        let bad = |path: &Path, error: mqclient::Error| {
            let failure = Failure::connecting(&error);
            Failure { text: format!("{}: {failure}", path.display()), ..failure }
        };
        let mut tls = match &self.ca {
            Some(ca) => Some(Tls::with_roots(&read(ca)?).map_err(|error| bad(ca, error))?),
            None => None,
        };
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let roots = match tls {
                Some(tls) => tls,
                None => Tls::system().map_err(|error| Failure::connecting(&error))?,
            };
            let shown = roots.with_certificate(&read(cert)?, &read(key)?);
            tls = Some(shown.map_err(|error| bad(cert, error))?);
        }
        Ok(Server { url: self.server.clone(), tls })
    }
}

/// A profile that is there.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) secret: NodeName,
    dir: PathBuf,
}

/// Held by the one process that is logged in as the profile's node.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closed, it is free")] File);

impl Profile {
    /// Where `mq listen` takes requests of other processes.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Where `mq listen` and `mq chat` keep which messages they acked lately.
    pub(crate) fn memory(&self) -> PathBuf {
        self.dir.join("acked")
    }

    /// The right to log in; none while another process has it.
    pub(crate) fn lock(&self) -> Result<Option<Lock>, Failure> {
        let path = self.dir.join("lock");
        let failed = |error: io::Error| Failure::file(&path, &error);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // For people only, so a full disk does not matter.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Some(Lock(file)))
    }

    /// Who has the lock, for people.
    pub(crate) fn holder(&self) -> String {
        match fs::read_to_string(self.dir.join("lock")) {
            Ok(pid) if !pid.is_empty() => format!("process {pid}"),
            _ => "another process".to_owned(),
        }
    }
}

impl Home {
    /// Where the environment says.
    pub(crate) fn find() -> Result<Self, Failure> {
        let var =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(dir) = var("MQ_CONFIG_DIR") {
            return Ok(Self(dir));
        }
        // A relative one is invalid, says the specification of these directories.
        let xdg = var("XDG_CONFIG_HOME").filter(|dir| dir.is_absolute());
        let config = xdg.or_else(|| Some(var("HOME")?.join(".config")));
        let none = || Failure::local("neither HOME nor MQ_CONFIG_DIR says where profiles are");
        Ok(Self(config.ok_or_else(none)?.join("mq")))
    }

    fn profiles(&self) -> PathBuf {
        self.0.join("profiles")
    }

    /// The names of the profiles, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        let dir = self.profiles();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Failure::file(&dir, &error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| is_name(name)).collect();
        names.sort();
        Ok(names)
    }

    /// The profile that is used if none is named: the one chosen, else the only one.
    pub(crate) fn current(&self) -> Result<Option<String>, Failure> {
        let path = self.0.join("current");
        match fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(self.names()?.into_iter().next())
            }
            Err(error) => Err(Failure::file(&path, &error)),
        }
    }

    /// Uses `name` from now on.
    pub(crate) fn choose(&self, name: &str) -> Result<(), Failure> {
        self.settings(name)?;
        let (path, draft) = (self.0.join("current"), self.0.join(format!(".current.{}", pid())));
        let written = write_new(&draft, format!("{name}\n").as_bytes());
        let renamed = written.and_then(|()| fs::rename(&draft, &path));
        renamed.map_err(|error| {
            let _ = fs::remove_file(&draft);
            Failure::file(&path, &error)
        })
    }

    /// The profile of that name, or the current one.
    pub(crate) fn open(&self, name: Option<&str>) -> Result<Profile, Failure> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.current()?.ok_or_else(|| {
                Failure::local("there is no profile yet: mq register NAME, or mq login NAME")
            })?,
        };
        let settings = self.settings(&name)?;
        let dir = self.profiles().join(&name);
        let secret = read_secret(&dir.join(SECRET))?;
        Ok(Profile { name, settings, secret, dir })
    }

    /// What a profile says.
    pub(crate) fn settings(&self, name: &str) -> Result<Settings, Failure> {
        check_name(name)?;
        let path = self.profiles().join(name).join(SETTINGS);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text =
                    format!("there is no profile {name:?} (mq profile ls shows those there are)");
                return Err(Failure::local(text));
            }
            Err(error) => return Err(Failure::file(&path, &error)),
        };
        toml::from_str(&text)
            .map_err(|error| Failure::local(format!("{}: {error}", path.display())))
    }

    /// Begins a profile, and makes sure of its place on the disk.
    pub(crate) fn draft(&self, name: &str, settings: &Settings) -> Result<Draft, Failure> {
        check_name(name)?;
        let dir = self.profiles().join(name);
        if dir.exists() {
            let text = format!("the profile {name:?} exists: choose another with --profile");
            return Err(Failure::local(text));
        }
        let draft = self.profiles().join(format!(".{name}.{}", pid()));
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true);
        let made = builder.create(&draft);
        made.map_err(|error| Failure::file(&draft, &error))?;
        let draft = Draft { dir, draft, saved: false };
        let text = toml::to_string(settings).map_err(|error| Failure::local(error.to_string()))?;
        write_new(&draft.draft.join(SETTINGS), text.as_bytes())
            .and_then(|()| write_new(&draft.draft.join(SECRET), &RESERVED))
            .map_err(|error| Failure::file(&draft.draft, &error))?;
        Ok(draft)
    }

    /// Removes a profile that no process uses.
    pub(crate) fn remove(&self, profile: &Profile) -> Result<(), Failure> {
        let gone = self.profiles().join(format!(".{}.{}.gone", profile.name, pid()));
        fs::rename(&profile.dir, &gone)
            .and_then(|()| fs::remove_dir_all(&gone))
            .map_err(|error| Failure::file(&profile.dir, &error))?;
        let current = self.0.join("current");
        if fs::read_to_string(&current).is_ok_and(|name| name.trim() == profile.name) {
            fs::remove_file(&current).map_err(|error| Failure::file(&current, &error))?;
        }
        Ok(())
    }
}

/// A profile that lacks only its secret. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Draft {
    dir: PathBuf,
    draft: PathBuf,
    saved: bool,
}

impl Draft {
    /// Makes it a profile, with this secret; the current one, if there is no other.
    pub(crate) fn save(mut self, secret: &NodeName) -> Result<(), Failure> {
        // In the place of what is there already: that needs no room on the disk.
        let saved = (|| {
            let mut file = OpenOptions::new().write(true).open(self.draft.join(SECRET))?;
            let text = format!("{}\n", secret.reveal());
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)?;
            file.sync_all()?;
            fs::rename(&self.draft, &self.dir)?;
            File::open(self.dir.join(".."))?.sync_all()
        })();
        saved.map_err(|error| Failure::file(&self.dir, &error))?;
        self.saved = true;
        Ok(())
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.clone()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.saved {
            let _ = fs::remove_dir_all(&self.draft);
        }
    }
}

/// Names become names of directories, and are typed into shells.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    name.len() <= MAX_NAME && !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let text = "is no name for a profile: letters, digits and -_.@+, and no dot first; choose \
                one with --profile";
    is_name(name).then_some(()).ok_or_else(|| Failure::usage(format!("{name:?} {text}")))
}

fn read_secret(path: &Path) -> Result<NodeName, Failure> {
    let failed = |error: io::Error| Failure::file(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let text = format!("others may read the secret in {0}: chmod 600 {0}", path.display());
        return Err(Failure::local(text));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(NodeName::new(text.trim_end_matches('\n').to_owned()))
}

/// A file that nobody else may read, durable.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn pid() -> u32 {
    std::process::id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profiles_name_leaves_no_directory() {
        for name in ["alice", "a.b", "alice@example.org", "élan"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", ".a", "a/b", "a b", "a\nb", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
