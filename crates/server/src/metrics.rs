//! `metrics-port`: what those who run the server ask for over HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | all figures, as OpenMetrics text |
//! | `/healthz` | 200 while the event loops turn; else 503, and why: restart it |
//! | `/readyz` | 200 when commands are served; 503 while data is loaded, or the server ends |
//!
//! One request per connection, one connection after the other, each with a deadline: whoever asks is a program of the
//! operator's, and can neither keep memory nor the others waiting for long.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use respire_engine::config::Settings;
use respire_engine::{Engine, Worker};

use crate::host::Stop;
use crate::net::Mailbox;
use crate::server::{random, spawn};
use crate::startup::reason;

/// Bytes that the head of a request may have, and lines.
const HEAD_MAX: usize = 8 * 1024;
const LINES_MAX: usize = 64;
/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(2);
/// An event loop that has not turned for so long is taken for dead. A single command may well take seconds.
const DEAD_AFTER: Duration = Duration::from_secs(60);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn plain(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, kind: PLAIN, body: body.into() + "\n" }
    }
}

/// What is asked about.
struct Subject {
    engine: Arc<Engine>,
    mailboxes: Vec<Arc<Mailbox>>,
    stop: Arc<Stop>,
}

/// Serves figures if the settings say so, by a thread for each address.
pub(crate) fn serve(
    settings: &Settings,
    engine: &Arc<Engine>,
    mailboxes: &[Arc<Mailbox>],
    stop: &Arc<Stop>,
) -> Result<(), String> {
    if settings.metrics_port == 0 {
        return Ok(());
    }
    for listener in listeners(settings)? {
        let subject = Subject {
            engine: Arc::clone(engine),
            mailboxes: mailboxes.to_vec(),
            stop: Arc::clone(stop),
        };
        // No event loop has this number: nobody sends it messages.
        let worker = Worker::new(engine, mailboxes.len(), random()?);
        spawn("respire-metrics", move || subject.answer_all(&listener, worker))?;
    }
    Ok(())
}

/// A listener for each address; one with a leading `-` may be missing.
fn listeners(settings: &Settings) -> Result<Vec<TcpListener>, String> {
    let port = settings.metrics_port;
    let mut listeners = Vec::new();
    for name in settings.metrics_bind.split_ascii_whitespace() {
        let (host, optional) = name.strip_prefix('-').map_or((name, false), |host| (host, true));
        let host = match host {
            "*" => "0.0.0.0",
            "::*" => "::",
            host => host,
        };
        match TcpListener::bind((host, port)) {
            Ok(listener) => listeners.push(listener),
            Err(_) if optional => {}
            Err(error) => {
                return Err(format!("Can't serve figures on {host}:{port}: {}", reason(&error)));
            }
        }
    }
    Ok(listeners)
}

impl Subject {
    fn answer_all(&self, listener: &TcpListener, mut worker: Worker) {
        loop {
            let answered =
                listener.accept().and_then(|(stream, _)| self.answer_one(&stream, &mut worker));
            if let Err(error) = answered {
                log::debug!("Serving figures failed: {error}");
                // Where nothing can be accepted for now, asking again at once is of no use.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn answer_one(&self, stream: &TcpStream, worker: &mut Worker) -> io::Result<()> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = read_head(stream)?;
        let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
        let mut request = httparse::Request::new(&mut lines);
        let parsed = request.parse(&head);
        let answer = match (parsed, request.method, request.path) {
            (Ok(httparse::Status::Complete(_)), Some("GET" | "HEAD"), Some(path)) => {
                self.answer(path.split('?').next().unwrap_or(path), worker)
            }
            (Ok(httparse::Status::Complete(_)), ..) => {
                Answer::plain("405 Method Not Allowed", "Only GET and HEAD are answered")
            }
            _ => Answer::plain("400 Bad Request", "This is no request"),
        };
        let Answer { status, kind, body } = answer;
        let mut text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        if request.method != Some("HEAD") {
            text += &body;
        }
        let mut stream = stream;
        stream.write_all(text.as_bytes())
    }

    fn answer(&self, path: &str, worker: &mut Worker) -> Answer {
        match path {
            "/metrics" => {
                Answer { status: "200 OK", kind: OPEN_METRICS, body: self.engine.metrics(worker) }
            }
            "/healthz" => verdict(self.dead()),
            "/readyz" => verdict(self.not_ready()),
            _ => Answer::plain("404 Not Found", "There are /metrics, /healthz and /readyz"),
        }
    }

    /// Which event loop has stopped turning, if one has.
    fn dead(&self) -> Option<String> {
        let now = self.engine.clock.monotonic_ns();
        self.mailboxes.iter().enumerate().find_map(|(i, mailbox)| {
            let silent = Duration::from_nanos(now.saturating_sub(mailbox.last_beat()));
            (silent > DEAD_AFTER)
                .then(|| format!("event loop {i} has not turned for {} s", silent.as_secs()))
        })
    }

    fn not_ready(&self) -> Option<String> {
        if self.stop.is_requested() {
            return Some("the server is ending".into());
        }
        self.engine.is_loading().then(|| "data is being loaded".into())
    }
}

fn verdict(trouble: Option<String>) -> Answer {
    match trouble {
        None => Answer::plain("200 OK", "ok"),
        Some(why) => Answer::plain("503 Service Unavailable", why),
    }
}

/// Reads up to the empty line.
fn read_head(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > HEAD_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => head.extend_from_slice(&piece[..got]),
        }
    }
    Ok(head)
}
