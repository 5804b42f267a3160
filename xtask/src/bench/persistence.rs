//! The figures of snapshots and of the append-only file. Every server writes into a directory of its own, on the disk that
//! the system keeps temporary files on.

use super::{Bench, Bound, Figure, SERVER_CORE, Server, no_errors, text};
use respire_bench::{Load, Report, Target, Workload, median};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const KEYS: u64 = 5_000_000;
/// Of the mixed keys, as many are lists, hashes and sorted sets each.
const COLLECTIONS: u64 = 200_000;
const BOTH_CORES: &str = "0,1";
const PATIENCE: Duration = Duration::from_secs(120);

/// A directory that is gone with the value.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Result<Place, String> {
        let path =
            std::env::temp_dir().join(format!("respire-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Place(path))
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ask(target: &Target, words: &[&str]) -> Result<String, String> {
    let reply = target.connect().and_then(|mut client| client.call(words)).map_err(text)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

fn field(target: &Target, name: &str) -> Result<String, String> {
    let info = ask(target, &["INFO", "everything"])?;
    let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.map(|value| value.trim().to_owned()).ok_or_else(|| format!("INFO has no {name}"))
}

/// Begins a snapshot and waits for its end, calling `meanwhile` again and again. Returns how long it took, seconds.
fn save(target: &Target, mut meanwhile: impl FnMut()) -> Result<f64, String> {
    let began = Instant::now();
    ask(target, &["BGSAVE"])?;
    while field(target, "rdb_bgsave_in_progress")? != "0" {
        meanwhile();
        if began.elapsed() > PATIENCE {
            return Err("a snapshot does not end".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    match field(target, "rdb_last_bgsave_status")?.as_str() {
        "ok" => Ok(began.elapsed().as_secs_f64()),
        status => Err(format!("a snapshot ended with {status}")),
    }
}

/// Runs a load for as long as `work` takes.
fn under_load<R>(
    load: &Load,
    work: impl FnOnce() -> Result<R, String>,
) -> Result<(R, Report), String> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let loader = scope.spawn(|| {
            let mut reports = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                reports.push(load.run().map_err(text)?);
            }
            Report::join(&reports).ok_or_else(|| "no load".to_owned())
        });
        thread::sleep(Duration::from_millis(500));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let report = loader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((done?, report))
    })
}

impl Bench {
    fn start_in(
        &self,
        respire: bool,
        cores: &str,
        place: &Place,
        options: &[&str],
    ) -> Result<Server, String> {
        let dir = place.text();
        let mut all = vec!["--dir", &dir];
        all.extend(options);
        let threads = if cores == BOTH_CORES { "2" } else { "1" };
        if respire {
            all.extend(["--io-threads", threads]);
            Server::start(&self.respire, cores, &all)
        } else {
            Server::start(Path::new("redis-server"), cores, &all)
        }
    }

    pub(super) fn persistence(&self) -> Result<Vec<Figure>, String> {
        let mut figures = Vec::new();
        for measure in [
            Self::memory_while_saving as fn(&Self) -> Result<Vec<Figure>, String>,
            Self::latency_while_saving,
            Self::saving_and_loading,
            Self::appending,
        ] {
            figures.extend(measure(self)?);
        }
        Ok(figures)
    }

    fn memory_while_saving(&self) -> Result<Vec<Figure>, String> {
        let what =
            "growth of memory during BGSAVE of 5,000,000 keys under full write load, per cent";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        let growth = |respire: bool| -> Result<f64, String> {
            let place = Place::new("memory")?;
            let server = self.start_in(respire, SERVER_CORE, &place, &[])?;
            self.fill(&server, KEYS)?;
            let load = Load {
                pipeline: 100,
                connections: 10,
                duration: Some(Duration::from_millis(200)),
                keyspace: self.scaled(KEYS),
                ..Load::new(server.target(), Workload::Set)
            };
            let (grown, _) = under_load(&load, || {
                // What the load itself takes has been taken by now.
                thread::sleep(Duration::from_secs(1));
                let before = server.resident_bytes()?;
                let mut most = before;
                save(&server.target(), || {
                    most = most.max(server.resident_bytes().unwrap_or(0.0));
                })?;
                let copied: f64 =
                    field(&server.target(), "rdb_last_cow_size")?.parse().unwrap_or(0.0);
                Ok((most - before + copied) / before * 100.0)
            })?;
            Ok(grown)
        };
        let (redis, respire) = (growth(false)?, growth(true)?);
        Ok(vec![Figure {
            what,
            bound: Bound::AtMost(10.0),
            measured: respire,
            redis: format!("{redis:.1} % (with what the child's pages cost)"),
            respire: format!("{respire:.1} %"),
        }])
    }

    fn latency_while_saving(&self) -> Result<Vec<Figure>, String> {
        let what = "p99.9 at half load during BGSAVE, over the same without";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        let measure = |respire: bool| -> Result<(f64, f64), String> {
            let place = Place::new("latency")?;
            let server = self.start_in(respire, BOTH_CORES, &place, &[])?;
            self.fill(&server, KEYS)?;
            let load = Load {
                connections: 50,
                pipeline: 1,
                requests: None,
                duration: Some(Duration::from_secs(2)),
                keyspace: self.scaled(KEYS),
                ..Load::new(server.target(), Workload::Mixed { reads: 1, writes: 1 })
            };
            self.half_load(&load)
        };
        let (redis, respire) = (measure(false)?, measure(true)?);
        let shown = |(calm, busy): (f64, f64)| format!("{calm:.0} µs, during {busy:.0} µs");
        Ok(vec![Figure {
            what,
            bound: Bound::AtMost(1.5),
            measured: respire.1 / respire.0,
            redis: shown(redis),
            respire: shown(respire),
        }])
    }

    /// The p99.9 at half of what `load` reaches, without and with a snapshot: medians of rounds that take turns.
    fn half_load(&self, load: &Load) -> Result<(f64, f64), String> {
        let full = load.run().map_err(text)?.requests_per_second;
        let half = Load { rate: Some(full / 2.0), ..load.clone() };
        let (mut calm, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            let report = half.run().map_err(text)?;
            no_errors(&report)?;
            calm.push(report.latency_us(0.999));
            let stop = AtomicBool::new(false);
            let report = thread::scope(|scope| {
                scope.spawn(|| {
                    let mut saved = Ok(0.0);
                    while !stop.load(Ordering::Relaxed) && saved.is_ok() {
                        saved = save(&load.target, || {});
                    }
                });
                let report = half.run().map_err(text);
                stop.store(true, Ordering::Relaxed);
                report
            })?;
            no_errors(&report)?;
            busy.push(report.latency_us(0.999));
        }
        Ok((median(calm).unwrap_or(f64::NAN), median(busy).unwrap_or(f64::NAN)))
    }

    fn saving_and_loading(&self) -> Result<Vec<Figure>, String> {
        let (saving, loading) =
            ("BGSAVE of 5,000,000 mixed keys, seconds", "load of 5,000,000 mixed keys, seconds");
        if !self.wanted(saving) && !self.wanted(loading) {
            return Ok(Vec::new());
        }
        let measure = |respire: bool| -> Result<(f64, f64), String> {
            let place = Place::new("files")?;
            let server = self.start_in(respire, BOTH_CORES, &place, &[])?;
            self.fill_mixed(&server)?;
            let (mut saves, mut loads) = (Vec::new(), Vec::new());
            for _ in 0..self.options.rounds.min(3) {
                saves.push(save(&server.target(), || {})?);
            }
            drop(server);
            for _ in 0..self.options.rounds.min(3) {
                let began = Instant::now();
                let server = self.start_in(respire, BOTH_CORES, &place, &[])?;
                while field(&server.target(), "loading")? != "0" {
                    thread::sleep(Duration::from_millis(5));
                }
                loads.push(began.elapsed().as_secs_f64());
            }
            Ok((median(saves).unwrap_or(f64::NAN), median(loads).unwrap_or(f64::NAN)))
        };
        let (redis, respire) = (measure(false)?, measure(true)?);
        let figure = |what, redis: f64, respire: f64| Figure {
            what,
            bound: Bound::AtLeast(2.0),
            measured: redis / respire,
            redis: format!("{redis:.2} s"),
            respire: format!("{respire:.2} s"),
        };
        Ok(vec![figure(saving, redis.0, respire.0), figure(loading, redis.1, respire.1)])
    }

    fn fill_mixed(&self, server: &Server) -> Result<(), String> {
        self.fill(server, KEYS - 3 * COLLECTIONS)?;
        for line in [
            "RPUSH list:__key__ __data__ 1 22 333 element",
            "HSET hash:__key__ field __data__ number 12345 other value",
            "ZADD zset:__key__ 1.5 __key__ 2 member 3 other",
        ] {
            let load = Load {
                pipeline: 100,
                requests: Some(self.scaled(COLLECTIONS) * 2),
                keyspace: self.scaled(COLLECTIONS),
                ..Load::new(server.target(), Workload::Custom(line.into()))
            };
            no_errors(&load.run().map_err(text)?)?;
        }
        Ok(())
    }

    fn appending(&self) -> Result<Vec<Figure>, String> {
        let (everysec, always) = (
            "SET, pipeline 100, appendfsync everysec",
            "SET, 50 clients, appendfsync always, requests a second",
        );
        let mut figures = Vec::new();
        if self.wanted(everysec) {
            // Rewrites are another figure; Redis's are done by a child, whose time is not counted here.
            let no_rewrites = ["--auto-aof-rewrite-percentage", "0"];
            let options =
                [&["--appendonly", "yes", "--appendfsync", "everysec"], &no_rewrites[..]].concat();
            let places = [Place::new("redis")?, Place::new("respire")?];
            let servers = [
                self.start_in(false, SERVER_CORE, &places[0], &options)?,
                self.start_in(true, SERVER_CORE, &places[1], &options)?,
            ];
            let [redis, respire] = self.alternate(&servers, |server| Load {
                pipeline: 100,
                requests: Some(self.scaled(1_000_000)),
                keyspace: self.scaled(super::KEYS),
                ..Load::new(server.target(), Workload::Set)
            })?;
            figures.push(Figure {
                what: everysec,
                bound: Bound::AtLeast(3.0),
                measured: redis.cpu / respire.cpu,
                redis: redis.text(),
                respire: respire.text(),
            });
        }
        if self.wanted(always) {
            let options = ["--appendonly", "yes", "--appendfsync", "always"];
            let places = [Place::new("redis")?, Place::new("respire")?];
            let servers = [
                self.start_in(false, BOTH_CORES, &places[0], &options)?,
                self.start_in(true, BOTH_CORES, &places[1], &options)?,
            ];
            let [redis, respire] = self.alternate(&servers, |server| Load {
                connections: 50,
                pipeline: 1,
                requests: Some(self.scaled(50_000)),
                keyspace: self.scaled(super::KEYS),
                ..Load::new(server.target(), Workload::Set)
            })?;
            figures.push(Figure {
                what: always,
                bound: Bound::AtLeast(1.5),
                measured: respire.per_second / redis.per_second,
                redis: format!("{:.0}", redis.per_second),
                respire: format!("{:.0}", respire.per_second),
            });
        }
        Ok(figures)
    }
}
