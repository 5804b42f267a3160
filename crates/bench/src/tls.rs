//! Encrypted connections of the load generator: its options, and a stream over blocking and polled sockets alike.
//!
//! Refuses to talk to a server that it can't tell from another, unless it is told not to care (`--insecure`).

use crate::target::Error;
use clap::Args;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The options, by the names that redis-benchmark has for them.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct TlsArgs {
    /// Encrypt the connections
    #[arg(long, help_heading = "TLS")]
    pub tls: bool,
    /// The host name that the server is to prove, and is asked for [default: that of --host]
    #[arg(long, value_name = "HOST", requires = "tls", help_heading = "TLS")]
    pub sni: Option<String>,
    /// A file with the certificates of authorities that are trusted
    #[arg(long, value_name = "FILE", requires = "tls", help_heading = "TLS")]
    pub cacert: Option<PathBuf>,
    /// A directory with files of such certificates
    #[arg(long, value_name = "DIRECTORY", requires = "tls", help_heading = "TLS")]
    pub cacertdir: Option<PathBuf>,
    /// Talk to whoever answers
    #[arg(long, requires = "tls", help_heading = "TLS")]
    pub insecure: bool,
    /// The client's certificate
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"], help_heading = "TLS")]
    pub cert: Option<PathBuf>,
    /// The client's private key
    #[arg(long, value_name = "FILE", requires_all = ["tls", "cert"], help_heading = "TLS")]
    pub key: Option<PathBuf>,
    /// Ciphers of TLS 1.2, by OpenSSL's names, with colons between them
    #[arg(long, value_name = "LIST", requires = "tls", help_heading = "TLS")]
    pub tls_ciphers: Option<String>,
    /// Cipher suites of TLS 1.3, with colons between them
    #[arg(long, value_name = "LIST", requires = "tls", help_heading = "TLS")]
    pub tls_ciphersuites: Option<String>,
}

/// What encrypted connections are made with.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// An encrypted stream over a socket.
pub(crate) type TlsStream<S> = StreamOwned<ClientConnection, S>;

impl Tls {
    pub(crate) fn new(args: &TlsArgs, host: &str) -> Result<Tls, Error> {
        let provider = Arc::new(provider(args)?);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error(error.to_string()))?;
        let builder = if args.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        } else {
            builder.with_root_certificates(roots(args)?)
        };
        let config = match (&args.cert, &args.key) {
            (Some(cert), Some(key)) => {
                let private = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| Error(format!("{}: {error}", key.display())))?;
                builder
                    .with_client_auth_cert(certificates(cert)?, private)
                    .map_err(|error| Error(format!("{}: {error}", cert.display())))?
            }
            _ => builder.with_no_client_auth(),
        };
        let name = args.sni.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name.clone())
            .map_err(|_| Error(format!("{name} is no name of a host; --sni gives one")))?;
        Ok(Tls { config: Arc::new(config), name })
    }

    /// Talks to whoever answers, and shows no certificate: for a server that was started a moment ago to be measured.
    pub fn without_identity() -> Result<Tls, Error> {
        Self::new(&TlsArgs { tls: true, insecure: true, ..TlsArgs::default() }, "localhost")
    }

    /// A session over a connected socket, before the handshake.
    pub(crate) fn wrap<S: Read + Write>(&self, socket: S) -> Result<TlsStream<S>, Error> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        Ok(StreamOwned::new(session.map_err(|error| Error(error.to_string()))?, socket))
    }
}

fn provider(args: &TlsArgs) -> Result<CryptoProvider, Error> {
    let mut provider = ring::default_provider();
    for (list, newer) in [(&args.tls_ciphers, false), (&args.tls_ciphersuites, true)] {
        let Some(list) = list else { continue };
        let names: Vec<String> = list.split(':').map(known_as).collect();
        let suites = &mut provider.cipher_suites;
        let name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite());
        if let Some(unknown) =
            names.iter().find(|wanted| !suites.iter().any(|s| name(s) == **wanted))
        {
            return Err(Error(format!("{list}: there is no {unknown}")));
        }
        suites.retain(|suite| suite.tls13().is_some() != newer || names.contains(&name(suite)));
    }
    Ok(provider)
}

/// The standard's name of a suite that is named as by OpenSSL.
fn known_as(name: &str) -> String {
    match name.strip_prefix("TLS_") {
        Some(rest) => format!("TLS13_{rest}"),
        None if name.ends_with("CHACHA20-POLY1305") => {
            let key = name.trim_end_matches("-CHACHA20-POLY1305").replace('-', "_");
            format!("TLS_{key}_WITH_CHACHA20_POLY1305_SHA256")
        }
        None => {
            let name = name.replace('-', "_");
            format!(
                "TLS_{}",
                name.replace("_AES128_", "_WITH_AES_128_").replace("_AES256_", "_WITH_AES_256_")
            )
        }
    }
}

fn roots(args: &TlsArgs) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &args.cacert {
        roots.add_parsable_certificates(certificates(path)?);
    }
    if let Some(path) = &args.cacertdir {
        let failed = |error| Error(format!("{}: {error}", path.display()));
        for entry in fs::read_dir(path).map_err(failed)? {
            if let Ok(found) = certificates(&entry.map_err(failed)?.path()) {
                roots.add_parsable_certificates(found);
            }
        }
    }
    match roots.is_empty() {
        true => {
            Err(Error("no authority to trust: --cacert names one, --insecure does without".into()))
        }
        false => Ok(roots),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |error| Error(format!("{}: {error}", path.display()));
    CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

/// Takes every server for the one that was meant; that it holds its certificate's key is checked all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_named_as_by_openssl() {
        let suites = |older: Option<&str>, newer: Option<&str>| {
            let args = TlsArgs {
                tls_ciphers: older.map(Into::into),
                tls_ciphersuites: newer.map(Into::into),
                ..TlsArgs::default()
            };
            provider(&args).map(|provider| provider.cipher_suites.len())
        };
        assert_eq!(suites(None, None), Ok(9));
        assert_eq!(suites(None, Some("TLS_AES_128_GCM_SHA256")), Ok(7));
        for name in [
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ] {
            assert_eq!(suites(Some(name), None), Ok(4), "{name}");
        }
        assert!(suites(Some("RC4-SHA"), None).is_err());
        assert!(suites(None, Some("TLS_AES_128_CCM_SHA256")).is_err());
    }
}
