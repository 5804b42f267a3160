//! The `respire` binary: reads the command line and runs the server.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let defaults = respire_engine::config::Settings::new(
        std::thread::available_parallelism().map_or(1, usize::from),
        ".",
    );
    let mut settings = defaults.clone();
    let args: Vec<String> = std::env::args().skip(1).collect();
    for pair in args.chunks(2) {
        match pair[0].as_str() {
            "--port" => settings.port = pair[1].parse().unwrap(),
            "--io-threads" => settings.io_threads = pair[1].parse().unwrap(),
            "--shards" => settings.shards = pair[1].parse().unwrap(),
            _ => {}
        }
    }
    let options = respire::Options { defaults, settings, config_file: None };
    match respire::Server::start(options) {
        Ok(server) => server.run_until_signal(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
