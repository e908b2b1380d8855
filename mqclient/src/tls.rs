//! TLS, as a client sees it: whom it trusts, and what it shows.

use crate::error::Error;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore,
};
use wsstream::Stream;

/// Whom a client trusts to be its server, for `wss://` and `mqs://`, and the certificate that it
/// shows itself. Cheap to clone; clones resume each other's sessions.
#[derive(Debug, Clone)]
pub struct Tls {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts whom the system trusts. Reads its files.
    ///
    /// # Errors
    /// [`Error::Tls`]: the system trusts nobody.
    pub fn system() -> Result<Self, Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Among a hundred there is often one that is no good.
        let (good, _) = roots.add_parsable_certificates(found.certs);
        match found.errors.first() {
            Some(error) if good == 0 => Err(Error::Tls(error.to_string())),
            None if good == 0 => Err(Error::Tls("the system has no root certificates".into())),
            _ => Self::new(Arc::new(roots), None),
        }
    }

    /// Trusts nobody but these roots, PEM; a certificate that signs itself is its own root.
    ///
    /// # Errors
    /// [`Error::Tls`]: there is no certificate in it.
    pub fn with_roots(pem: &[u8]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for root in certificates(pem)? {
            roots.add(root).map_err(|error| Error::Tls(error.to_string()))?;
        }
        Self::new(Arc::new(roots), None)
    }

    /// Shows a certificate to servers that ask for one: it, and those between it and its root, and its
    /// private key, all PEM.
    ///
    /// # Errors
    /// [`Error::Tls`]: they are no pair.
    pub fn with_certificate(self, chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|error| Error::Tls(format!("the private key: {error}")))?;
        Self::new(self.roots, Some((certificates(chain)?, key)))
    }

    fn new(
        roots: Arc<RootCertStore>,
        shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Self, Error> {
        let wrong = |error: TlsError| Error::Tls(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(roots.clone());
        let config = match shown {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(wrong)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { roots, config: Arc::new(config) })
    }

    /// Shakes hands with `host`.
    pub(crate) async fn connect(&self, tcp: TcpStream, host: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a host's name"))?;
        let connector = TlsConnector::from(self.config.clone());
        Ok(connector.connect(name, tcp).await?.into())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(Error::Tls("there is no certificate in it".into())),
        found => found.map_err(|error| Error::Tls(error.to_string())),
    }
}

/// Why one side does not trust the other, if that is why a connection failed.
pub(crate) fn distrust(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<TlsError>()?;
    Some(match error {
        TlsError::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => {
                "its certificate is signed by nobody whom this client trusts".into()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet, or the clock here is slow".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name".into()
            }
            other => format!("its certificate is no good: {other}"),
        },
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants to see a certificate of this client".into()
        }
        TlsError::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied),
        ) => format!("it does not take the certificate of this client ({alert:?})"),
        _ => return None,
    })
}
