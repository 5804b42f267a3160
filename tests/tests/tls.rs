//! Encrypted connections: who is let in, what is refused, that certificates change under live connections, and that
//! nothing gets lost in large or small pieces.
//!
//! The certificates are made anew for each test.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use respire_tests::ask::{field, wait_until};
use respire_tests::server::{self, Directory, free_port};
use respire_tests::{Kind, Server, Value, encode, outside, value};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An authority, and the files of what it has signed.
struct Authority {
    directory: Directory,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// How long a certificate is good for.
#[derive(Clone, Copy, PartialEq)]
enum Validity {
    Now,
    Past,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Authority { directory: Directory::new("tls"), issuer };
        fs::write(authority.path("ca.crt"), authority.issuer.pem()).unwrap();
        authority
    }

    fn path(&self, file: &str) -> String {
        self.directory.path().join(file).to_str().unwrap().to_owned()
    }

    /// Writes `NAME.crt` and `NAME.key`, for localhost.
    fn sign(&self, name: &str, validity: Validity) {
        let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if validity == Validity::Past {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.crt")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// A client that trusts this authority, and shows the certificate of that name if there is one.
    fn client_config(&self, certificate: Option<(&Authority, &str)>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.crt")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match certificate {
            None => builder.with_no_client_auth(),
            Some((by, name)) => {
                let chain =
                    vec![CertificateDer::from_pem_file(by.path(&format!("{name}.crt"))).unwrap()];
                let key = PrivateKeyDer::from_pem_file(by.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

/// A client of an encrypted port.
struct TlsClient {
    stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
}

impl TlsClient {
    fn connect(port: u16, config: &ClientConfig) -> io::Result<TlsClient> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
        let mut client =
            TlsClient { stream: StreamOwned::new(session, socket), unread: Vec::new() };
        // With TLS 1.3 a client learns only after its first request that it was not let in.
        client.call(&["PING"])?;
        Ok(client)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    fn read(&mut self) -> io::Result<Value> {
        loop {
            if let Some((value, length)) = value::parse(&self.unread).expect("a reply") {
                self.unread.drain(..length);
                return Ok(value);
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                got => self.unread.extend_from_slice(&chunk[..got]),
            }
        }
    }

    fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        let mut request = Vec::new();
        encode(&mut request, args);
        self.send(&request)?;
        self.read()
    }
}

fn bulk(value: Value) -> Vec<u8> {
    match value {
        Value::Bulk(bytes) => bytes,
        other => panic!("no bulk string: {other:?}"),
    }
}

/// A server with an encrypted port, and an authority that has signed for `server` and `client`.
fn start(extra: &[&str]) -> (Authority, Server, u16) {
    let authority = Authority::new("authority");
    authority.sign("server", Validity::Now);
    authority.sign("client", Validity::Now);
    let port = free_port();
    let (crt, key, ca) =
        (authority.path("server.crt"), authority.path("server.key"), authority.path("ca.crt"));
    let number = port.to_string();
    let mut args = vec!["--tls-port", &number, "--tls-cert-file", &crt, "--tls-key-file", &key];
    args.extend(["--tls-ca-cert-file", &ca]);
    args.extend(extra);
    let server = Server::start(Kind::Respire, &args);
    (authority, server, port)
}

#[test]
fn clients_show_the_certificates_that_are_asked_for() {
    let (authority, server, port) = start(&[]);
    let good = authority.client_config(Some((&authority, "client")));
    let bare = authority.client_config(None);
    let other = Authority::new("another authority");
    other.sign("client", Validity::Now);
    let foreign = authority.client_config(Some((&other, "client")));
    authority.sign("expired", Validity::Past);
    let expired = authority.client_config(Some((&authority, "expired")));
    let mut admin = server.client();
    for (asked, lets_in) in [
        ("yes", [true, false, false, false]),
        ("optional", [true, true, false, false]),
        ("no", [true, true, true, true]),
    ] {
        admin.roundtrip(&["CONFIG", "SET", "tls-auth-clients", asked]).unwrap();
        let clients = [&good, &bare, &foreign, &expired];
        let let_in = clients.map(|config| TlsClient::connect(port, config).is_ok());
        assert_eq!(let_in, lets_in, "tls-auth-clients {asked}");
    }
    let log = server.log();
    for why in ["peer sent no certificates", "UnknownIssuer", "expired"] {
        assert!(
            log.lines().any(|line| line.contains("# Error accepting a client connection: ")
                && line.contains(why)),
            "{why} is not in {log}"
        );
    }
}

#[test]
fn a_client_trusts_only_whom_it_knows() {
    let (_, _server, port) = start(&["--tls-auth-clients", "no"]);
    let other = Authority::new("another authority");
    assert!(TlsClient::connect(port, &other.client_config(None)).is_err());
}

#[test]
fn certificates_change_under_live_connections() {
    let (authority, server, port) = start(&["--tls-auth-clients", "no"]);
    let config = authority.client_config(None);
    let mut before = TlsClient::connect(port, &config).unwrap();
    let shown = |client: &TlsClient| client.stream.conn.peer_certificates().unwrap()[0].to_vec();
    let mut admin = server.client();
    let first = shown(&before);

    // The same paths, other files behind them.
    authority.sign("server", Validity::Now);
    let path = authority.path("server.crt");
    let failed = admin.roundtrip(&["CONFIG", "SET", "tls-cert-file", &path]).unwrap();
    assert!(matches!(failed, Value::Simple(_)), "{failed:?}");
    let after = TlsClient::connect(port, &config).unwrap();
    assert_ne!(shown(&after), first);
    assert_eq!(before.call(&["PING"]).unwrap(), Value::Simple(b"PONG".to_vec()));

    // What can't be had changes nothing, not even what was asked for along with it.
    for (name, value) in [
        ("tls-cert-file", "/nowhere"),
        ("tls-key-file", &authority.path("client.key")[..]),
        ("tls-protocols", "TLSv1.1"),
        ("tls-protocols", "SSLv3"),
        ("tls-ciphers", "RC4-SHA"),
        ("tls-ciphersuites", "TLS_NULL"),
    ] {
        let old = admin.roundtrip(&["CONFIG", "GET", "tls-*"]).unwrap();
        let reply = admin.roundtrip(&["CONFIG", "SET", "timeout", "77", name, value]).unwrap();
        let expected = format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - Unable to update TLS \
             configuration. Check server logs."
        );
        assert_eq!(reply, Value::Error(expected.into_bytes()));
        assert_eq!(admin.roundtrip(&["CONFIG", "GET", "tls-*"]).unwrap(), old);
        TlsClient::connect(port, &config).unwrap();
    }
    let timeout = admin.roundtrip(&["CONFIG", "GET", "timeout"]).unwrap();
    assert!(format!("{timeout:?}").contains("timeout"), "{timeout:?}");
    assert!(!format!("{timeout:?}").contains("77"), "{timeout:?}");
    assert_eq!(before.call(&["PING"]).unwrap(), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn versions_and_ciphers_are_those_that_are_allowed() {
    let (authority, server, port) = start(&["--tls-auth-clients", "no"]);
    let config = authority.client_config(None);
    let mut admin = server.client();
    let mut talk = |settings: &[&str]| {
        let args = [&["CONFIG", "SET"], settings].concat();
        let reply = admin.roundtrip(&args).unwrap();
        assert_eq!(reply, Value::Simple(b"OK".to_vec()), "{settings:?}");
        let client = TlsClient::connect(port, &config).unwrap();
        let session = &client.stream.conn;
        let suite = session.negotiated_cipher_suite().unwrap().suite();
        (session.protocol_version().unwrap(), suite)
    };
    use rustls::{CipherSuite, ProtocolVersion};
    assert_eq!(talk(&["tls-protocols", ""]).0, ProtocolVersion::TLSv1_3);
    let chosen = talk(&[
        "tls-ciphersuites",
        "TLS_CHACHA20_POLY1305_SHA256",
        "tls-prefer-server-ciphers",
        "yes",
    ]);
    assert_eq!(chosen.1, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    let chosen =
        talk(&["tls-protocols", "TLSv1.2", "tls-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert_eq!(
        chosen,
        (ProtocolVersion::TLSv1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
    );
    assert_eq!(talk(&["tls-session-caching", "no", "tls-protocols", "TLSv1.2 TLSv1.3"]).0, {
        ProtocolVersion::TLSv1_3
    });
}

#[test]
fn sessions_are_resumed_while_they_are_cached() {
    use rustls::HandshakeKind::{Full, Resumed};
    let (authority, server, port) = start(&["--tls-auth-clients", "no"]);
    let config = authority.client_config(None);
    let kind = || TlsClient::connect(port, &config).unwrap().stream.conn.handshake_kind();
    assert_eq!((kind(), kind()), (Some(Full), Some(Resumed)));
    let mut admin = server.client();
    admin.roundtrip(&["CONFIG", "SET", "tls-session-caching", "no"]).unwrap();
    assert_eq!((kind(), kind()), (Some(Full), Some(Full)));
}

#[test]
fn ten_megabytes_of_requests_come_back_whole() {
    let (authority, _server, port) = start(&["--tls-auth-clients", "no"]);
    let config = authority.client_config(None);
    let client = TlsClient::connect(port, &config).unwrap();
    // Requests of all sizes, sent from one end while the other is read.
    let sizes: Vec<usize> = (0..2_000).map(|i| [3, 70, 16_000, 400, 5_000][i % 5] + i).collect();
    let mut requests = Vec::new();
    for size in &sizes {
        let value = vec![b'a' + (size % 26) as u8; *size];
        encode(&mut requests, &[&b"ECHO"[..], &value]);
    }
    assert!(requests.len() > 10_000_000, "{}", requests.len());
    let TlsClient { stream: StreamOwned { mut conn, mut sock }, .. } = client;
    sock.set_nonblocking(true).unwrap();
    let (mut sent, mut replies, mut at) = (0, Vec::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut chunk = [0; 65536];
    while at < sizes.len() {
        assert!(Instant::now() < deadline, "stuck: {sent} bytes sent, {at} replies");
        if sent < requests.len() {
            sent += conn.writer().write(&requests[sent..]).unwrap();
        }
        let blocked = |result: io::Result<usize>| match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            other => Some(other.unwrap()),
        };
        let wrote = if conn.wants_write() { blocked(conn.write_tls(&mut sock)) } else { None };
        let got = blocked(conn.read_tls(&mut sock));
        conn.process_new_packets().unwrap();
        while let Some(read) = blocked(conn.reader().read(&mut chunk)) {
            replies.extend_from_slice(&chunk[..read]);
        }
        if wrote.is_none() && got.is_none() {
            std::thread::sleep(Duration::from_micros(100));
        }
        let mut parsed = 0;
        while let Some((reply, length)) = value::parse(&replies[parsed..]).unwrap() {
            let reply = bulk(reply);
            assert_eq!(reply.len(), sizes[at]);
            assert!(reply.iter().all(|byte| *byte == b'a' + (sizes[at] % 26) as u8));
            parsed += length;
            at += 1;
        }
        replies.drain(..parsed);
    }
}

#[test]
fn large_values_come_back_whole() {
    let (authority, _server, port) = start(&["--tls-auth-clients", "no"]);
    let config = authority.client_config(None);
    let mut client = TlsClient::connect(port, &config).unwrap();
    let large: Vec<u8> = (0..40_000_000u32).map(|i| (i ^ (i >> 9)) as u8).collect();
    assert_eq!(client.call(&[b"SET", &b"k"[..], &large]).unwrap(), Value::Simple(b"OK".to_vec()));
    for _ in 0..3 {
        assert!(bulk(client.call(&["GET", "k"]).unwrap()) == large);
    }
    // Several by reference in one reply, with short ones between them.
    client.call(&["SET", "short", "s"]).unwrap();
    match client.call(&["MGET", "k", "short", "k", "short"]).unwrap() {
        Value::Array(values) => {
            let lengths: Vec<usize> = values.into_iter().map(|v| bulk(v).len()).collect();
            assert_eq!(lengths, [large.len(), 1, large.len(), 1]);
        }
        other => panic!("{other:?}"),
    }
}

/// What a read leaves behind in a session must not wait for another event of the socket.
#[test]
fn a_request_in_many_small_records_is_answered() {
    let (authority, _server, port) = start(&["--tls-auth-clients", "no"]);
    let config = authority.client_config(None);
    let mut client = TlsClient::connect(port, &config).unwrap();
    let mut request = Vec::new();
    encode(&mut request, &[&b"SET"[..], b"k", &vec![b'v'; 100_000]]);
    for piece in request.chunks(997) {
        // Gathered in the session, one record each, and sent at once below.
        client.stream.conn.writer().write_all(piece).unwrap();
        if client.stream.conn.wants_write() {
            client.stream.conn.write_tls(&mut client.stream.sock).unwrap();
        }
    }
    client.stream.flush().unwrap();
    assert_eq!(client.read().unwrap(), Value::Simple(b"OK".to_vec()));
    let mut many = Vec::new();
    for _ in 0..5_000 {
        encode(&mut many, &["STRLEN", "k"]);
    }
    client.send(&many).unwrap();
    for _ in 0..5_000 {
        assert_eq!(client.read().unwrap(), Value::Integer(100_000));
    }
}

#[test]
fn who_does_not_finish_the_handshake_is_closed() {
    let (authority, server, port) = start(&["--tls-auth-clients", "no"]);
    let mut silent: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()).collect();
    // Half a record header, garbage, and nothing at all.
    silent[0].write_all(&[22, 3]).unwrap();
    silent[1].write_all(b"PING\r\n").unwrap();
    let config = authority.client_config(None);
    TlsClient::connect(port, &config).unwrap();
    for socket in &mut silent {
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut said = Vec::new();
        match socket.read_to_end(&mut said) {
            Ok(_) => assert!(said.is_empty() || said[0] == 21, "not an alert: {said:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }
    // The one that asks is the only one. That another is gone it may hear before the server does.
    wait_until("being alone", Duration::from_secs(60), || {
        field(&server, "connected_clients") == "1"
    });
}

/// Who speaks in clear on the encrypted port is closed, and not told anything that would pass for a reply.
#[test]
fn who_does_not_encrypt_is_closed_without_a_word() {
    let (_authority, _server, port) = start(&[]);
    for words in [&b"PING\r\n"[..], b"*1\r\n$4\r\nPING\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        socket.write_all(words).expect("sent");
        let mut got = Vec::new();
        // What was not read of a closed connection may reset it.
        match socket.read_to_end(&mut got) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        assert_eq!(got, b"", "{words:?}");
    }
}

#[test]
fn the_encrypted_port_may_be_the_only_one_and_may_move() {
    let (authority, server, port) = start(&["--tls-auth-clients", "no"]);
    let config = authority.client_config(None);
    let mut client = TlsClient::connect(port, &config).unwrap();
    let info = String::from_utf8(bulk(client.call(&["INFO", "server"]).unwrap())).unwrap();
    let line = format!("listener1:name=tls,bind=127.0.0.1,port={port}\r\n");
    assert!(info.contains(&line), "{info}");

    let next = free_port();
    let ok = Value::Simple(b"OK".to_vec());
    let moved = client.call(&["CONFIG", "SET", "port", "0", "tls-port", &next.to_string()]);
    assert_eq!(moved.unwrap(), ok);
    assert!(TcpStream::connect(server.address()).is_err());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    let mut other = TlsClient::connect(next, &config).unwrap();
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let number = taken.local_addr().unwrap().port().to_string();
    let refused = other.call(&["CONFIG", "SET", "tls-port", &number]).unwrap();
    let expected = "ERR CONFIG SET failed (possibly related to argument 'tls-port') - Unable to listen on \
                    this port. Check server logs.";
    assert_eq!(refused, Value::Error(expected.into()));
    TlsClient::connect(next, &config).unwrap();
    assert_eq!(other.call(&["PING"]).unwrap(), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn a_server_that_can_not_be_trusted_does_not_start() {
    let authority = Authority::new("authority");
    authority.sign("server", Validity::Now);
    authority.sign("other", Validity::Now);
    let (crt, key) = (authority.path("server.crt"), authority.path("server.key"));
    let port = free_port().to_string();
    for (args, why) in [
        (vec!["--tls-auth-clients", "no"], "No tls-cert-file configured!"),
        (vec!["--tls-auth-clients", "no", "--tls-cert-file", &crt], "No tls-key-file configured!"),
        (
            vec!["--tls-cert-file", &crt, "--tls-key-file", &key],
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
             tls-replication or tls-auth-clients are enabled!",
        ),
        (
            vec!["--tls-auth-clients", "no", "--tls-cert-file", &crt, "--tls-key-file", "/no"],
            "Failed to load private key: /no: No such file or directory",
        ),
        (
            vec![
                "--tls-auth-clients",
                "no",
                "--tls-cert-file",
                &crt,
                "--tls-key-file",
                &authority.path("other.key"),
            ],
            "Failed to load private key: ",
        ),
    ] {
        let directory = Directory::new("tls-server");
        let args = [&["--tls-port", &port][..], &args].concat();
        let log = Server::try_start_in(Kind::Respire, &directory, &args).expect_err("a refusal");
        assert!(log.contains(why), "{why} is not in {log}");
        assert!(log.contains("Failed to configure TLS. Check logs for more info."), "{log}");
    }
}

/// The path of a tool of Redis's, and what names the certificates to it.
fn tool(name: &str, authority: &Authority) -> Option<(PathBuf, Vec<String>)> {
    let path = outside::find(name, "redis-tools", "that redis-cli and redis-benchmark speak TLS")?;
    let help = Command::new(&path).arg("--help").output().expect("the tool runs");
    let help = [help.stdout, help.stderr].concat();
    if !String::from_utf8_lossy(&help).contains("--tls") {
        outside::skip(&format!("{name} was built without TLS"), "that it speaks TLS");
        return None;
    }
    let mut args = vec!["--tls".to_owned()];
    for (option, file) in
        [("--cacert", "ca.crt"), ("--cert", "client.crt"), ("--key", "client.key")]
    {
        args.extend([option.to_owned(), authority.path(file)]);
    }
    Some((path, args))
}

fn run(path: &Path, args: &[String], more: &[&str]) -> String {
    let output = Command::new(path).args(args).args(more).stdin(Stdio::null()).output();
    let output = output.expect("the tool runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_tools_of_redis_speak_to_it() {
    let (authority, _server, port) = start(&[]);
    let Some((cli, mut args)) = tool("redis-cli", &authority) else { return };
    let number = port.to_string();
    args.extend(["-h".into(), "127.0.0.1".into(), "-p".into(), number]);
    assert_eq!(run(&cli, &args, &["SET", "k", "v"]), "OK\n");
    assert_eq!(run(&cli, &args, &["GET", "k"]), "v\n");
    let Some((benchmark, _)) = tool("redis-benchmark", &authority) else { return };
    let more = ["-n", "20000", "-P", "16", "-c", "20", "-t", "set,get", "--csv"];
    let table = run(&benchmark, &args, &more);
    assert!(table.contains("\"SET\"") && table.contains("\"GET\""), "{table}");
}

#[test]
fn the_benchmark_speaks_to_it_and_knows_whom_to_trust() {
    let (authority, _server, port) = start(&[]);
    let bench = |more: &[&str]| {
        let output = Command::new(server::subject())
            .args(["bench", "--tls", "-p", &port.to_string(), "-P", "16", "-q"])
            .args(more)
            .output()
            .expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let [ca, crt, key] = ["ca.crt", "client.crt", "client.key"].map(|file| authority.path(file));
    let own = ["--cert", &crt, "--key", &key];
    let known = [&own[..], &["--cacert", &ca]].concat();
    let (done, said) = bench(&known);
    assert!(done, "{said}");
    // Values larger than what a session holds on its way out.
    let (done, said) =
        bench(&[&known[..], &["-t", "set,get", "-d", "300000", "-n", "200", "-r", "10"]].concat());
    assert!(done, "{said}");
    let (done, said) = bench(&[&own[..], &["--insecure"]].concat());
    assert!(done, "{said}");
    let other = Authority::new("another authority").path("ca.crt");
    assert!(!bench(&[&own[..], &["--cacert", &other]].concat()).0);
    assert!(bench(&own).1.contains("no authority to trust"));
}

/// A key as OpenSSL encrypts it.
#[test]
fn an_encrypted_key_is_opened_with_its_pass_phrase() {
    let authority = Authority::new("authority");
    authority.sign("server", Validity::Now);
    let what = "that encrypted keys are read";
    let Some(openssl) = outside::find("openssl", "openssl", what) else { return };
    let (plain, encrypted) = (authority.path("server.key"), authority.path("encrypted.key"));
    let args = ["pkcs8", "-topk8", "-in", &plain, "-out", &encrypted, "-passout", "pass:secret"];
    assert!(Command::new(openssl).args(args).status().unwrap().success());
    let crt = authority.path("server.crt");
    let port = free_port();
    let number = port.to_string();
    let args = ["--tls-port", &number, "--tls-auth-clients", "no", "--tls-cert-file", &crt];
    let start = |pass: &str| {
        let directory = Directory::new("tls-server");
        let more = ["--tls-key-file", &encrypted, "--tls-key-file-pass", pass];
        Server::try_start_in(Kind::Respire, &directory, &[&args[..], &more].concat())
            .map(|server| (server, directory))
    };
    let started = start("secret").unwrap_or_else(|why| panic!("{why}"));
    TlsClient::connect(port, &authority.client_config(None)).unwrap();
    drop(started);
    for wrong in ["", "wrong"] {
        let log = start(wrong).expect_err("a refusal");
        assert!(log.contains("Failed to load private key: "), "{log}");
        assert!(!log.contains("secret"), "{log}");
    }
}
