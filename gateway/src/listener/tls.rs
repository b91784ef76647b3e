//! TLS: a certificate that can be swapped while connections come in.

use std::{fmt, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use crate::config;

/// What a listener needs to speak TLS. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
    provider: Arc<CryptoProvider>,
}

/// A certificate and its key that fit together, not in use yet.
pub struct NewCertificate(Arc<CertifiedKey>);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    #[error("failed to read a certificate from `{path}`")]
    Cert { path: PathBuf, source: pem::Error },
    #[error("`{path}` holds no certificate")]
    NoCert { path: PathBuf },
    #[error("failed to read a private key from `{path}`")]
    Key { path: PathBuf, source: pem::Error },
    #[error("certificate `{cert}` and key `{key}` cannot be used")]
    Unusable { cert: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl Tls {
    /// Reads the certificate and the key.
    ///
    /// # Errors
    /// When a file cannot be read, or the two do not belong together.
    pub fn load(files: &config::Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let certificate = Arc::new(Certificate(ArcSwap::from_pointee(read(files, &provider)?)));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate, provider })
    }

    /// Reads both files again, for [`install`](Self::install).
    ///
    /// # Errors
    /// As [`load`](Self::load); the certificate in use stays.
    pub fn read(&self, files: &config::Tls) -> Result<NewCertificate, TlsError> {
        read(files, &self.provider).map(Arc::new).map(NewCertificate)
    }

    /// Puts a certificate in use, for every handshake from now on. Open connections go on as they are.
    pub fn install(&self, new: NewCertificate) {
        self.certificate.0.store(new.0);
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

fn read(files: &config::Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let config::Tls { cert, key } = files;
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| TlsError::Cert { path: cert.clone(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCert { path: cert.clone() });
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key { path: key.clone(), source })?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|source| TlsError::Unusable {
        cert: cert.clone(),
        key: key.clone(),
        source,
    })
}

/// The certificate in use.
struct Certificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{error::Error as _, fs, path::Path};

    use super::*;

    /// Writes a new certificate for `localhost`, signed by itself, and returns where; and its DER.
    pub(crate) fn self_signed(dir: &Path) -> (config::Tls, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = config::Tls { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&files.cert, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        (files, made.cert.der().clone())
    }

    #[test]
    fn a_reload_that_fails_leaves_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let (files, first) = self_signed(dir.path());
        let tls = Tls::load(&files).unwrap();
        fs::write(&files.cert, "not a certificate").unwrap();
        assert!(matches!(tls.read(&files), Err(TlsError::NoCert { .. })));
        assert_eq!(tls.certificate.0.load().cert, [first]);

        let (files, second) = self_signed(dir.path());
        tls.install(tls.read(&files).unwrap());
        assert_eq!(tls.certificate.0.load().cert, [second]);
    }

    #[test]
    fn a_key_that_belongs_to_another_certificate_is_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = config::Tls { cert: self_signed(one.path()).0.cert, key: self_signed(two.path()).0.key };
        assert!(matches!(Tls::load(&files), Err(TlsError::Unusable { .. })));
    }

    #[test]
    fn a_missing_file_is_named() {
        let files = config::Tls { cert: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into() };
        let error = Tls::load(&files).err().unwrap();
        assert_eq!(error.to_string(), "failed to read a certificate from `/nowhere/cert.pem`");
        assert!(error.source().is_some());
    }
}
