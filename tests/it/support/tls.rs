//! TLS in front of a server that has none, with a certificate of an authority that no system knows.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

/// An address on loopback that speaks TLS, as soon as there is a server to lead to.
#[derive(Debug)]
pub struct TlsFront {
    listener: TcpListener,
    acceptor: Arc<ServerConfig>,
    /// Of its authority, in PEM.
    pub authority: String,
}

impl TlsFront {
    pub async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let (authority, issuer) = authority();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that ring has")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate for the key");
        Self { listener, acceptor: Arc::new(config), authority: pem(&authority) }
    }

    /// `https://…`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("https://{}", self.listener.local_addr().expect("a bound address"))
    }

    /// Forwards from now on, both ways, until either side ends.
    pub fn lead_to(self, server: &Url) {
        let target = server.socket_addrs(|| None).expect("an address with a port")[0];
        let acceptor = TlsAcceptor::from(self.acceptor);
        tokio::spawn(async move {
            while let Ok((client, _)) = self.listener.accept().await {
                tokio::spawn(connection(client, acceptor.clone(), target));
            }
        });
    }
}

async fn connection(client: TcpStream, acceptor: TlsAcceptor, target: SocketAddr) -> io::Result<()> {
    let mut client = acceptor.accept(client).await?;
    let mut target = TcpStream::connect(target).await?;
    tokio::io::copy_bidirectional(&mut client, &mut target).await.map(drop)
}

fn authority() -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.der().clone(), Issuer::new(params, key))
}

/// RFC 7468, for readers that take lines of any length.
fn pem(certificate: &CertificateDer) -> String {
    let body = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
