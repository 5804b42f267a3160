//! The benchmark without the server: `cargo run --release --example bench -- --port 6379`.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    respire_bench::run(std::env::args_os().skip(1), &|| {
        Err(io::Error::other("this example brings none; name a server with --port"))
    })
}
