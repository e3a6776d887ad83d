//! Certificates that a test makes for itself, and clients that trust them.

use std::io;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate that nobody has signed but itself.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// As in a file, in PEM form.
    pub pem: String,
    /// Its private key, likewise.
    pub key: String,
}

impl Certificate {
    /// For these names or addresses, until the year 4096.
    pub fn new(names: &[&str]) -> Certificate {
        Certificate::made(names, |_| {})
    }

    /// The same, but good only until that day.
    pub fn until(names: &[&str], (year, month, day): (i32, u8, u8)) -> Certificate {
        Certificate::made(names, |params| params.not_after = date_time_ymd(year, month, day))
    }

    fn made(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Certificate { pem: certificate.pem(), key: key.serialize_pem() }
    }

    /// The certificate itself, as [`Connection::certificate`](crate::Connection::certificate) has it.
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap().to_vec()
    }
}

/// What a client trusts.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Servers with one of these certificates, and no others.
    pub fn trusting(certificates: &[&Certificate]) -> Tls {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate.der().into()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        // What Firefox would take, too, if it were not for HTTP/2.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Tls(Arc::new(config))
    }

    pub(crate) async fn connect(&self, name: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await
    }
}
