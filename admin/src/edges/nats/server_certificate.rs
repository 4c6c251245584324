//! Notes the dates of a server's certificate.

use std::sync::{Arc, Mutex, PoisonError};

use coupon_serve::tls::Validity;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::NatsError;

/// The dates of the certificate that ends first; none before a handshake.
#[derive(Debug, Clone, Default)]
pub(super) struct NotedDates(Arc<Mutex<Option<Validity>>>);

impl NotedDates {
    pub(super) fn get(&self) -> Option<Validity> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, dates: Option<Validity>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = dates;
    }
}

/// Checks a server as the usual verifier does, and notes the dates of its certificate.
#[derive(Debug)]
struct NotingVerifier {
    usual: Arc<WebPkiServerVerifier>,
    dates: NotedDates,
}

/// TLS that trusts these authorities alone, and notes the dates of the server's certificate.
pub(super) fn noting_tls(
    roots: RootCertStore,
    dates: NotedDates,
) -> Result<ClientConfig, NatsError> {
    let settings = |error: String| NatsError::Settings(format!("the CA certificates: {error}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let usual =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let usual = usual.map_err(|error| settings(error.to_string()))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| settings(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NotingVerifier { usual, dates }));
    Ok(config.with_no_client_auth())
}

impl ServerCertVerifier for NotingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.usual.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)?;
        let chain = std::iter::once(end_entity).chain(intermediates);
        self.dates.set(chain.filter_map(Validity::read).min_by_key(|dates| dates.not_after));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
