//! The example programs run to their end against the server. Each checks for itself what it shows.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use respire_tests::{Kind, Server};

/// The program of an example. All are built once: `cargo test --test examples` by itself builds none.
fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "respire-tests", "--examples"]);
        assert!(build.status().expect("cargo runs").success(), "the examples do not build");
    });
    let this = std::env::current_exe().expect("the path of the test program");
    // target/<profile>/deps/<test>
    this.ancestors().nth(2).expect("a profile's directory").join("examples").join(name)
}

fn runs(name: &str) {
    let server = Server::start(Kind::Respire, &["--io-threads", "2"]);
    let program = program(name);
    let output = Command::new(&program)
        .arg(format!("redis://{}/", server.address()))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{text}{errors}", output.status);
    assert!(!text.is_empty(), "{name} says nothing");
}

#[test]
fn a_queue_loses_no_job() {
    runs("reliable_queue");
}

#[test]
fn consumers_of_a_stream_take_over_from_each_other() {
    runs("stream_workers");
}

#[test]
fn a_leaderboard_ranks() {
    runs("leaderboard");
}

#[test]
fn a_rate_limit_slides() {
    runs("rate_limit");
}

#[test]
fn a_cache_learns_of_changes() {
    runs("cached_reads");
}
