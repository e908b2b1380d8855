//! The PEM files of a certificate, and what rustls makes of them.

use super::{ClientAuth, Current, TlsConfig, expiry};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// More is no certificate. Bytes.
const LONGEST: u64 = 1 << 20;
/// What is spoken above TLS, for clients that ask: the WebSocket opens with HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// Why there is no TLS. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// It is no PEM, or another kind of it.
    #[error("{0}: {1}")]
    Pem(PathBuf, String),
    /// The certificate and the key are no pair, or of a kind that is not known.
    #[error("{0} and {1}: {2}")]
    Pair(PathBuf, PathBuf, rustls::Error),
    /// The library refuses.
    #[error("TLS: {0}")]
    Library(String),
}

/// What the files held when they were read.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let read =
            |path: &Path| read_one(path).map_err(|error| TlsError::Io(path.to_owned(), error));
        Ok(Self {
            certificate: read(&config.certificate)?,
            key: read(&config.key)?,
            client_ca: config.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// What links get that are made from now on.
    pub(super) fn current(&self, config: &TlsConfig) -> Result<Current, TlsError> {
        let first = CertificateDer::from_pem_slice(&self.certificate).ok();
        let expires = first.and_then(|certificate| expiry::of(&certificate));
        Ok(Current { config: Arc::new(self.server_config(config)?), expires })
    }

    fn server_config(&self, config: &TlsConfig) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&config.certificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            let why = match error {
                pem::Error::NoItemsFound => "there is no private key in it".to_owned(),
                error => error.to_string(),
            };
            TlsError::Pem(config.key.clone(), why)
        })?;
        warn_of_permissions(&config.key);
        let library = |error: rustls::Error| TlsError::Library(error.to_string());
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(library)?;
        let builder = match (&config.client_ca, &self.client_ca) {
            (Some(path), Some(bytes)) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path, bytes)? {
                    let added = roots.add(root);
                    added.map_err(|error| TlsError::Pem(path.clone(), error.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match config.client_auth {
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                    ClientAuth::Required => verifier,
                };
                let verifier = verifier.build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| TlsError::Library(error.to_string()))?,
                )
            }
            _ => builder.with_no_client_auth(),
        };
        let mut made = builder.with_single_cert(chain, key).map_err(|error| {
            TlsError::Pair(config.certificate.clone(), config.key.clone(), error)
        })?;
        made.alpn_protocols = vec![ALPN.to_vec()];
        // All of them are good; testssl.sh wants the server to choose.
        made.ignore_client_order = true;
        // Tickets of what was before are void, and with them what was verified then.
        made.ticketer = Ticketer::new().map_err(library)?;
        Ok(made)
    }
}

fn read_one(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)? as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is too long for PEM"));
    }
    Ok(bytes)
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError::Pem(path.to_owned(), why);
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

fn warn_of_permissions(key: &Path) {
    let Ok(metadata) = std::fs::metadata(key) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let mode = format!("{mode:04o}");
        tracing::warn!(
            file = %key.display(),
            mode,
            "everybody on this machine can use this private key: chmod 600"
        );
    }
}
