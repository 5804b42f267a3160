//! From the `tls-*` directives to what new connections are accepted with.
//!
//! Refuses what can't be had, each with one line for the log: files that can't be read, keys that don't fit, versions
//! and ciphers that don't exist here. Nothing is changed by an attempt that fails.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use respire_engine::config::{Settings, find};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::ciphers;
use super::sessions::Sessions;
use crate::startup::reason;

/// What new connections are accepted with.
pub(crate) type Acceptor = Arc<ServerConfig>;

/// The directives by name.
struct Directives<'a>(&'a Settings);

impl Directives<'_> {
    fn text(&self, name: &str) -> String {
        find(name).map_or_else(String::new, |row| row.get(self.0))
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name) == "yes"
    }
}

/// Reads the files and puts together what the directives ask for. An error is a line for the log.
pub(crate) fn acceptor(settings: &Settings) -> Result<Acceptor, String> {
    let directives = Directives(settings);
    let provider = Arc::new(provider(&directives)?);
    let clients = client_verifier(&directives, &provider)?;
    let certificate = directives.text("tls-cert-file");
    if certificate.is_empty() {
        return Err("No tls-cert-file configured!".into());
    }
    let key = directives.text("tls-key-file");
    if key.is_empty() {
        return Err("No tls-key-file configured!".into());
    }
    let chain = certificates(&certificate)
        .map_err(|why| format!("Failed to load certificate: {certificate}: {why}"))?;
    let key_failed = |why: String| format!("Failed to load private key: {key}: {why}");
    let private = private_key(&key, &directives.text("tls-key-file-pass")).map_err(key_failed)?;

    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(&directives)?)
        .map_err(|error| format!("Failed to configure TLS: {error}"))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, private)
        .map_err(|error| key_failed(error.to_string()))?;
    config.ignore_client_order = directives.flag("tls-prefer-server-ciphers");
    if directives.flag("tls-session-caching") {
        // As with OpenSSL, 0 is no limit of its own; memory needs one all the same.
        const MOST: u64 = 1 << 20;
        let size = match directives.number("tls-session-cache-size") {
            0 => MOST,
            size => size.min(MOST),
        };
        let lifetime = Duration::from_secs(directives.number("tls-session-cache-timeout"));
        config.session_storage = Arc::new(Sessions::new(size as usize, lifetime));
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// The cryptography, with the ciphers that are asked for.
fn provider(directives: &Directives<'_>) -> Result<CryptoProvider, String> {
    let (older, newer) = (directives.text("tls-ciphers"), directives.text("tls-ciphersuites"));
    let mut suites = ciphers::tls13(&newer)
        .ok_or_else(|| format!("Failed to configure ciphersuites: {newer}"))?;
    suites.extend(
        ciphers::tls12(&older).ok_or_else(|| format!("Failed to configure ciphers: {older}"))?,
    );
    Ok(CryptoProvider { cipher_suites: suites, ..ring::default_provider() })
}

fn versions(directives: &Directives<'_>) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let text = directives.text("tls-protocols");
    let mut versions = Vec::new();
    for name in text.split([' ', ',']).filter(|name| !name.is_empty()) {
        match name.to_ascii_lowercase().as_str() {
            "tlsv1.2" => versions.push(&version::TLS12),
            "tlsv1.3" => versions.push(&version::TLS13),
            "tlsv1" | "tlsv1.1" => {
                return Err(format!(
                    "tls-protocols: {name} is not supported, for it is not safe. Use 'TLSv1.2' and 'TLSv1.3'."
                ));
            }
            _ => {
                return Err("Invalid tls-protocols specified. Use a combination of 'TLSv1.2' and \
                     'TLSv1.3'."
                    .into());
            }
        }
    }
    Ok(if versions.is_empty() { vec![&version::TLS13, &version::TLS12] } else { versions })
}

/// Who has to show a certificate, and by whom it has to be signed.
fn client_verifier(
    directives: &Directives<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let asked = directives.text("tls-auth-clients");
    if asked == "no" {
        return Ok(Arc::new(NoClientAuth));
    }
    let (file, directory) =
        (directives.text("tls-ca-cert-file"), directives.text("tls-ca-cert-dir"));
    if file.is_empty() && directory.is_empty() {
        return Err(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
                    tls-replication or tls-auth-clients are enabled!"
                .into(),
        );
    }
    let failed = |what: &str, why: String| {
        format!("Failed to configure CA certificate(s) file/directory: {what}: {why}")
    };
    let mut roots = RootCertStore::empty();
    if !file.is_empty() {
        let found = certificates(&file).map_err(|why| failed(&file, why))?;
        for certificate in found {
            roots.add(certificate).map_err(|error| failed(&file, error.to_string()))?;
        }
    }
    if !directory.is_empty() {
        add_directory(&mut roots, Path::new(&directory))
            .map_err(|error| failed(&directory, reason(&error)))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if asked == "optional" { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| failed(&format!("{file}{directory}"), error.to_string()))
}

/// Adds the certificates in the files of a directory; what is none is passed over.
fn add_directory(roots: &mut RootCertStore, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file()
            && let Ok(found) = certificates(&path.to_string_lossy())
        {
            roots.add_parsable_certificates(found);
        }
    }
    Ok(())
}

/// The certificates in a file, at least one.
fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = fs::read(path).map_err(|error| reason(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no certificate in it".into()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// The key in a file; one that is encrypted, as PKCS #8 has it, is opened with the pass phrase.
fn private_key(path: &str, pass: &str) -> Result<PrivateKeyDer<'static>, String> {
    let text = fs::read(path).map_err(|error| reason(&error))?;
    let text = String::from_utf8_lossy(&text);
    if let Some(begin) = text.find(ENCRYPTED)
        && let Some(length) = text[begin..].find(ENCRYPTED_END)
    {
        let section = &text[begin..begin + length + ENCRYPTED_END.len()];
        return decrypted(section, pass);
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "encrypted in an old way; `openssl pkcs8 -topk8` makes a PKCS #8 key of it".into()
        );
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string())
}

fn decrypted(section: &str, pass: &str) -> Result<PrivateKeyDer<'static>, String> {
    if pass.is_empty() {
        return Err("it is encrypted, and tls-key-file-pass is not set".into());
    }
    let (_, document) =
        pkcs8::SecretDocument::from_pem(section).map_err(|error| error.to_string())?;
    let encrypted = pkcs8::EncryptedPrivateKeyInfo::try_from(document.as_bytes())
        .map_err(|error| error.to_string())?;
    let opened = encrypted.decrypt(pass).map_err(|error| error.to_string())?;
    Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
}
