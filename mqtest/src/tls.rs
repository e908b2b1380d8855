//! TLS for links that are no mqclient's: those of a benchmark, and handshakes that are looked at.

use anyhow::Context;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wsstream::Stream;

/// Trusts some certificates, which sign themselves.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Trusts the certificates in this PEM.
    pub(crate) fn with_roots(pem: &[u8]) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(pem) {
            roots.add(root.context("no certificate")?)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with this machine.
    pub(crate) async fn connect(&self, tcp: TcpStream) -> io::Result<Stream> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        Ok(self.0.connect(name, tcp).await?.into())
    }
}
