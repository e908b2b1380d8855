//! TLS for the doors: rustls, with a certificate that is read again whenever its files change.
//!
//! `files` reads PEM and says what is wrong with it; `follow` reads it again when it changes. A link keeps what it
//! began with; the next one gets what is current.

mod expiry;
mod files;
mod follow;

pub use files::TlsError;
pub(crate) use follow::follow;

use files::Files;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// What `[tls]` in the configuration says. Paths are relative to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate and those between it and its root, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The roots of certificates that clients show, PEM; `None`: they are asked for none.
    pub client_ca: Option<PathBuf>,
    /// Whether clients have to show one, if there are such roots.
    pub client_auth: ClientAuth,
}

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// It may. One that is shown has to be good.
    Optional,
    /// It must.
    Required,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: "tls/certificate.pem".into(),
            key: "tls/key.pem".into(),
            client_ca: None,
            client_auth: ClientAuth::Required,
        }
    }
}

impl TlsConfig {
    /// The same, with paths as they are seen from the working directory.
    pub(crate) fn below(&self, store: &Path) -> Self {
        Self {
            certificate: store.join(&self.certificate),
            key: store.join(&self.key),
            client_ca: self.client_ca.as_ref().map(|path| store.join(path)),
            client_auth: self.client_auth,
        }
    }

    /// The files that it names.
    fn files(&self) -> Vec<&Path> {
        let Self { certificate, key, client_ca, client_auth: _ } = self;
        [certificate, key].into_iter().chain(client_ca).map(AsRef::as_ref).collect()
    }
}

/// The current TLS of a server.
#[derive(Debug, Clone)]
pub(crate) struct Tls(watch::Receiver<Current>);

/// What the files say now.
#[derive(Debug, Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// When the certificate expires, in seconds since 1970.
    expires: Option<i64>,
}

/// What is needed to renew it.
pub(crate) struct Renewal {
    config: TlsConfig,
    files: Files,
    current: watch::Sender<Current>,
}

impl Tls {
    /// Reads the files, whose paths are as seen from the working directory.
    pub(crate) fn read(config: TlsConfig) -> Result<(Self, Renewal), TlsError> {
        let files = Files::read(&config)?;
        let (sender, current) = watch::channel(files.current(&config)?);
        Ok((Self(current), Renewal { config, files, current: sender }))
    }

    /// What shakes hands with the next client.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0.borrow().config.clone().into()
    }

    /// When the certificate expires, in seconds since 1970, if it says so.
    pub(crate) fn expires(&self) -> Option<i64> {
        self.0.borrow().expires
    }
}
