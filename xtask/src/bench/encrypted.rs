//! The figure of encrypted connections.

use super::{Bench, Bound, Figure, KEYS, SERVER_CORE, Server, text, tool};
use respire_bench::{Address, Load, Target, Tls, Workload};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// A key and a certificate for it, made for one run.
struct Certificate {
    directory: PathBuf,
}

impl Certificate {
    fn make() -> Result<Self, String> {
        let directory = std::env::temp_dir().join(format!("respire-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)
            .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        let certificate = Self { directory };
        let (key, own) = (certificate.file("key.pem"), certificate.file("cert.pem"));
        let how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
        let args: Vec<&str> = how.split(' ').chain(["-keyout", &key, "-out", &own]).collect();
        tool("openssl", &args)?;
        Ok(certificate)
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // What is left in the directory for temporary files does no harm.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Bench {
    /// The processor time of pipelined GET over TLS, handshakes apart.
    pub(super) fn encrypted(&self) -> Result<Vec<Figure>, String> {
        let what = "GET over TLS, 10 clients, pipeline 100";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        let certificate = Certificate::make()?;
        let (key, own) = (certificate.file("key.pem"), certificate.file("cert.pem"));
        let start = |program: &Path, option: [&str; 2]| -> Result<(Server, SocketAddr), String> {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(|listener| listener.local_addr())
                .map_err(|error| format!("no port is free: {error}"))?;
            let number = port.port().to_string();
            let options = [
                ["--tls-port", &number],
                ["--tls-cert-file", &own],
                ["--tls-key-file", &key],
                ["--tls-ca-cert-file", &own],
                ["--tls-auth-clients", "no"],
                option,
            ];
            Ok((Server::start(program, SERVER_CORE, &options.concat())?, port))
        };
        let (redis, redis_port) = start(Path::new("redis-server"), ["--appendonly", "no"])?;
        let (respire, respire_port) = start(&self.respire, ["--io-threads", "1"])?;
        let ports = [(redis.child.id(), redis_port), (respire.child.id(), respire_port)];
        let servers = [redis, respire];
        for server in &servers {
            self.fill(server, KEYS)?;
        }
        let tls = Tls::without_identity().map_err(text)?;
        let load = |server: &Server| {
            let port = ports.iter().find(|(id, _)| *id == server.child.id());
            let address = port.map_or(server.addr, |(_, port)| *port);
            let target = Target { tls: Some(tls.clone()), ..Target::new(Address::Tcp(address)) };
            Load {
                connections: 10,
                pipeline: 100,
                requests: Some(self.scaled(1_000_000)),
                keyspace: self.scaled(KEYS),
                ..Load::new(target, Workload::Get)
            }
        };
        let [redis, respire] = self.alternate(&servers, load)?;
        Ok(vec![Figure {
            what,
            bound: Bound::AtLeast(1.5),
            measured: redis.cpu / respire.cpu,
            redis: redis.text(),
            respire: respire.text(),
        }])
    }
}
