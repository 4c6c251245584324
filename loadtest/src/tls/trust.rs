//! Certificates that visitors trust.
//!
//! Invariant: a server is trusted if its chain leads to a trusted authority, or if its own
//! certificate is in the file. The second rule is for self-made certificates: most claim to be an
//! authority, and the first rule refuses an authority's certificate for a server. The name must fit
//! by either rule.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

#[derive(Debug)]
pub(crate) struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl Trust {
    /// Trust in the certificates of a PEM file, otherwise in the public authorities.
    pub(crate) fn from_option(file: Option<&Path>) -> anyhow::Result<Arc<Self>> {
        let Some(file) = file else {
            let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
            return Self::new(Vec::new(), RootCertStore { roots: roots.collect() });
        };
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("--tls-ca {}", file.display()))?;
        let name = file.display();
        ensure!(!certificates.is_empty(), "--tls-ca {name}: there is no certificate in PEM in it");
        Self::from_certificates(certificates).with_context(|| format!("--tls-ca {name}"))
    }

    pub(crate) fn from_certificates(
        certificates: Vec<CertificateDer<'static>>,
    ) -> anyhow::Result<Arc<Self>> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone())?;
        }
        Self::new(certificates, roots)
    }

    fn new(
        certificates: Vec<CertificateDer<'static>>,
        roots: RootCertStore,
    ) -> anyhow::Result<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Arc::new(Self { certificates, authorities: builder.build()? }))
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.certificates.contains(certificate) {
            let (chain, response) = (intermediates, ocsp_response);
            let known = &self.authorities;
            return known.verify_server_cert(certificate, chain, server_name, response, now);
        }
        let certificate = ParsedCertificate::try_from(certificate)?;
        rustls::client::verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    fn params(name: &str, is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    fn is_trusted(trust: &Trust, certificate: &CertificateDer<'_>, name: &'static str) -> bool {
        let name = ServerName::try_from(name).unwrap();
        trust.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn certificates_of_an_authority_and_self_made_ones_are_trusted_for_their_names() {
        let issuer = |name| {
            CertifiedIssuer::self_signed(params(name, true), KeyPair::generate().unwrap()).unwrap()
        };
        let (authority, stranger) = (issuer("ca.example"), issuer("ca.example"));
        let leaf = params("go.example.com", false);
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
        let trust = Trust::from_certificates(vec![authority.der().clone()]).unwrap();
        assert!(is_trusted(&trust, leaf.der(), "go.example.com"));
        assert!(!is_trusted(&trust, leaf.der(), "other.example"));
        assert!(is_trusted(&trust, authority.der(), "ca.example"));
        assert!(!is_trusted(&trust, authority.der(), "other.example"));
        assert!(!is_trusted(&trust, stranger.der(), "ca.example"));
    }
}
