use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};

use super::connections::HANDSHAKE_TIMEOUT;
use crate::error::with_causes;

/// Certificates, in PEM: a member shows its own and takes those of one authority.
#[derive(Clone)]
pub struct Tls {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
    name: Option<String>,
}

impl Tls {
    /// The authority whose certificates are taken, and the member's own certificate and key.
    #[must_use]
    pub fn new(
        authority: impl Into<Vec<u8>>,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            authority: authority.into(),
            certificate: certificate.into(),
            key: key.into(),
            name: None,
        }
    }

    /// The name that the others' certificates are for, if it is not that of their address.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// # Errors
    ///
    /// Why a member cannot use them.
    pub(crate) fn check(&self) -> Result<(), String> {
        let text = |error: tonic::transport::Error| with_causes(&error);
        let server = Server::builder().tls_config(self.server());
        server.map_err(text)?;
        let client = Endpoint::from_static("https://member").tls_config(self.client());
        client.map(drop).map_err(text)
    }

    pub(super) fn client(&self) -> ClientTlsConfig {
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority))
            .identity(Identity::from_pem(&self.certificate, &self.key));
        match &self.name {
            Some(name) => config.domain_name(name),
            None => config,
        }
    }

    pub(super) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.certificate, &self.key))
            .client_ca_root(Certificate::from_pem(&self.authority))
            .timeout(HANDSHAKE_TIMEOUT)
    }
}

impl std::fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("Tls");
        f.field("name", &self.name).finish_non_exhaustive()
    }
}
