//! `mqserver cert`: a certificate that signs itself, for trying TLS out.

use crate::tls::TlsConfig;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long it is valid. Some clients refuse more than 825 days.
pub const DAYS: u32 = 365;
const DAY: Duration = Duration::from_hours(24);

/// Why there is no certificate. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// One is there, which may be in use.
    #[error("{0} exists; --force replaces it")]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A name is none of a host.
    #[error("no certificate for these names: {0}")]
    Names(rcgen::Error),
}

/// A certificate that was made.
#[derive(Debug)]
pub struct Made {
    /// Where it is.
    pub certificate: PathBuf,
    /// Where its private key is.
    pub key: PathBuf,
    /// The SHA-256 of it, as browsers and openssl show it.
    pub fingerprint: String,
}

/// Makes a certificate for these names (of hosts, or IP addresses) and its key, in a store, where the
/// configuration looks for them if it says nothing else.
pub fn make(store: &Path, names: Vec<String>, force: bool) -> Result<Made, CertError> {
    let TlsConfig { certificate, key, .. } = TlsConfig::default().below(store);
    for path in [&certificate, &key] {
        if !force && path.symlink_metadata().is_ok() {
            return Err(CertError::Exists(path.clone()));
        }
    }
    let (pem, key_pem, der) = sign(names).map_err(CertError::Names)?;
    // The key first: a server that looks in between finds no pair, and looks again.
    write(&key, key_pem.as_bytes())?;
    write(&certificate, pem.as_bytes())?;
    let digest = Sha256::digest(&der);
    let fingerprint: Vec<_> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(Made { certificate, key, fingerprint: fingerprint.join(":") })
}

fn sign(names: Vec<String>) -> Result<(String, String, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let name = names.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + since;
    // Clocks differ.
    params.not_before = now - DAY;
    params.not_after = now + DAY * DAYS;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem(), certificate.der().to_vec()))
}

/// Writes a file that only we read, all at once.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CertError> {
    let failed = |error| CertError::Io(path.to_owned(), error);
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    let new = path.with_extension("new");
    let write = || {
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(failed)
}
