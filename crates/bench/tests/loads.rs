//! Loads against small servers that misbehave in known ways. No outside tool is needed.

use respire_bench::{
    Address, Embedded, IdleConnections, KeyDistribution, Load, Prober, Target, Workload,
};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Counts the commands in a piece of a request stream: every array header, as the tests' arguments hold no `*`.
fn commands(piece: &[u8]) -> usize {
    piece.iter().filter(|&&byte| byte == b'*').count()
}

/// A server that hands each connection to `serve` on a thread of its own.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    Target { timeout: Duration::from_secs(60), ..Target::new(address) }
}

/// Answers each command with `reply`, after `before` has seen the bytes.
fn answering(reply: &'static [u8], before: impl Fn(&[u8]) + Send + Sync + 'static) -> Target {
    server(move |mut stream| {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            before(&buffer[..len]);
            if stream.write_all(&reply.repeat(commands(&buffer[..len]))).is_err() {
                return;
            }
        }
    })
}

fn load(target: &Target, workload: Workload) -> Load {
    Load {
        connections: 3,
        pipeline: 7,
        requests: Some(1_000),
        ..Load::new(target.clone(), workload)
    }
}

#[test]
fn every_request_is_sent_and_counted_once() {
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let target = answering(b"$3\r\nabc\r\n", move |piece| {
        counter.fetch_add(commands(piece) as u64, Ordering::SeqCst);
    });
    for threads in [1, 2, 3] {
        for rate in [None, Some(50_000.0)] {
            // The INFO and the like that come before the load are not part of it.
            let report = Load { threads, rate, ..load(&target, Workload::Get) }.run().unwrap();
            assert_eq!((report.requests, report.errors, report.nulls), (1_000, 0, 0));
            let before = seen.swap(0, Ordering::SeqCst) - 1_000;
            assert!(before <= 1, "{before} commands beside the load");
        }
    }
}

#[test]
fn a_fill_sets_each_key_once() {
    let stream = Arc::new(Mutex::new(Vec::<u8>::new()));
    let copy = Arc::clone(&stream);
    let target = answering(b"+OK\r\n", move |piece| copy.lock().unwrap().extend_from_slice(piece));
    let fill = Load { connections: 1, ..Load::fill(target.clone(), 1_234) };
    assert_eq!(fill.distribution, KeyDistribution::Sequential);
    assert_eq!(fill.run().unwrap().requests, 1_234);
    let text = String::from_utf8(stream.lock().unwrap().clone()).unwrap();
    let mut keys: Vec<&str> = text.lines().filter(|line| line.starts_with("key:")).collect();
    assert_eq!(keys.len(), 1_234);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((keys.len(), keys[0], keys[1_233]), (1_234, "key:000000000000", "key:000000001233"));
}

#[test]
fn errors_and_nulls_are_counted_and_the_first_error_is_told() {
    let target = answering(b"-ERR no\r\n", |_| ());
    let report = load(&target, Workload::Set).run().unwrap();
    assert_eq!((report.requests, report.errors), (1_000, 1_000));
    assert_eq!(report.first_error.as_deref(), Some("ERR no"));
    let target = answering(b"$-1\r\n", |_| ());
    let report = load(&target, Workload::Get).run().unwrap();
    assert_eq!((report.errors, report.nulls), (0, 1_000));
}

#[test]
fn a_server_that_closes_is_an_error_and_its_last_words_are_told() {
    let target = server(|mut stream| {
        let _ = stream.write_all(b"-ERR too many\r\n");
        let _ = stream.read(&mut [0; 1024]);
    });
    let error = Load { connections: 1, ..load(&target, Workload::Get) }.run().unwrap_err();
    assert!(error.to_string().contains("ERR too many"), "{error}");
}

#[test]
fn a_silent_server_and_one_that_trickles_are_errors() {
    for trickle in [false, true] {
        let target = server(move |mut stream| {
            while trickle && stream.write_all(b":").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let target = Target { timeout: Duration::from_millis(200), ..target };
        assert!(load(&target, Workload::Get).run().is_err());
        assert!(IdleConnections::open(&target, 1).is_err());
    }
}

#[test]
fn what_is_no_reply_and_what_is_too_many_are_errors() {
    for (reply, reason) in
        [(&b"HTTP/1.1 400\r\n"[..], "not RESP"), (b"+OK\r\n+OK\r\n", "more replies")]
    {
        let error = load(&answering(reply, |_| ()), Workload::Ping).run().unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn an_open_loop_counts_a_stall_for_every_request_that_it_delayed() {
    let stalled = Arc::new(AtomicBool::new(false));
    let target = answering(b"$-1\r\n", move |piece| {
        let is_get = piece.windows(3).any(|word| word == b"GET");
        if is_get && !stalled.swap(true, Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(300));
        }
    });
    let base =
        Load { connections: 1, pipeline: 1, requests: Some(400), ..load(&target, Workload::Get) };
    let open = Load { rate: Some(1_000.0), ..base }.run().unwrap();
    // One request met the stall; the 299 that were due meanwhile waited for its end. Half of all 400 thus waited
    // 100 ms or more, however fast or slow the machine is.
    assert!(open.latency_us(0.5) >= 99_000.0, "{} µs", open.latency_us(0.5));
    assert!(open.max_latency_us() >= 299_000.0);
}

#[test]
fn a_large_batch_that_the_socket_does_not_take_at_once_arrives_whole() {
    let target = answering(b"+OK\r\n", |_| ());
    let large = Load {
        value_size: 300_000,
        pipeline: 40,
        requests: Some(100),
        ..load(&target, Workload::Set)
    };
    assert_eq!(large.run().unwrap().requests, 100);
}

#[test]
fn a_prober_probes_until_it_is_stopped() {
    let target = answering(b"$-1\r\n", |_| ());
    let prober = Prober::start(&target, "key", Duration::from_millis(1)).unwrap();
    thread::sleep(Duration::from_millis(50));
    let report = prober.stop().unwrap();
    assert!(report.probes > 0 && report.worst_us >= report.p50_us, "{report:?}");
}

#[test]
fn a_prober_sends_on_while_earlier_probes_wait() {
    let stalled = Arc::new(AtomicBool::new(false));
    let most_at_once = Arc::new(AtomicU64::new(0));
    let most = Arc::clone(&most_at_once);
    let target = answering(b"$-1\r\n", move |piece| {
        most.fetch_max(commands(piece) as u64, Ordering::SeqCst);
        if !stalled.swap(true, Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(300));
        }
    });
    let prober = Prober::start(&target, "key", Duration::from_millis(10)).unwrap();
    thread::sleep(Duration::from_millis(310));
    let report = prober.stop().unwrap();
    // The first probe met the stall, and the server then found those that were sent meanwhile.
    assert!(report.worst_us >= 299_000.0, "{report:?}");
    assert!(most_at_once.load(Ordering::SeqCst) >= 2, "{report:?}");
}

#[test]
fn a_prober_tells_when_its_server_is_gone() {
    let target = server(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
    });
    let prober = Prober::start(&target, "key", Duration::from_millis(1)).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert!(prober.stop().is_err());
}

#[test]
fn the_command_line_starts_an_embedded_server_only_when_none_is_named_and_tells_errors_by_its_exit()
{
    let code = |reply: &'static [u8], named: bool| {
        let target = answering(reply, |_| ());
        let Address::Tcp(addr) = target.address else {
            unreachable!("the servers here are on TCP")
        };
        let port = addr.port().to_string();
        let mut args = vec!["-n", "50", "-t", "get", "--json"];
        if named {
            args.extend(["--port", &port]);
        }
        let calls = Rc::new(Cell::new((0, 0)));
        let seen = Rc::clone(&calls);
        let embedded = move || {
            let stopped = Rc::clone(&seen);
            seen.set((seen.get().0 + 1, 0));
            let stop = Box::new(move || stopped.set((stopped.get().0, stopped.get().1 + 1)));
            Ok(Embedded { addr, stop })
        };
        let code = respire_bench::run(args.into_iter().map(Into::into), &embedded);
        // Started once and stopped once, or not at all.
        assert_eq!(calls.get(), if named { (0, 0) } else { (1, 1) });
        format!("{code:?}")
    };
    let (success, failure) =
        (format!("{:?}", ExitCode::SUCCESS), format!("{:?}", ExitCode::FAILURE));
    for named in [true, false] {
        assert_eq!(code(b"$-1\r\n", named), success);
        assert_eq!(code(b"-ERR no\r\n", named), failure);
    }
}
