//! The `respire` binary: the server, its benchmark, the check of its files, or the question whether it serves.

mod allocator;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use respire::{Action, Options, Server, Title, read_command_line};
use respire_bench::Embedded;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// Options of the allocator, which reads them before anything else runs. A background thread: what was freed goes back to
/// the system even if nobody allocates any more.
// SAFETY: the name and the type (a pointer to a text that ends in a zero byte) are those that jemalloc documents.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_OPTIONS: &[u8; 23] = b"background_thread:true\0";

fn main() -> ExitCode {
    respire::report_crashes();
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == "bench") {
        return respire_bench::run(args.into_iter().skip(1), &start_embedded);
    }
    if args.first().is_some_and(|first| first == "check") {
        return respire::check::run(args.into_iter().skip(1));
    }
    if args.first().is_some_and(|first| first == "ping") {
        return respire::ping::run(args.into_iter().skip(1));
    }
    let args: Result<Vec<String>, OsString> = args.into_iter().map(OsString::into_string).collect();
    let args = match args {
        Ok(args) => args,
        Err(arg) => return fail(&format!("An argument is not UTF-8 text: {}", arg.display())),
    };
    match read_command_line(&args) {
        Ok(Action::Print(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Action::Serve(options)) => serve(*options),
        Err(error) => fail(&error),
    }
}

fn serve(mut options: Options) -> ExitCode {
    let started = respire::go_into_background(&mut options.settings).and_then(|()| {
        options.title = Title::prepare(&options.settings);
        Server::start(options)
    });
    match started {
        Ok(server) => server.run_until_signal(),
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// The server that the benchmark measures when it is told of none.
fn start_embedded() -> io::Result<Embedded> {
    let server = Server::start(Options::embedded()).map_err(io::Error::other)?;
    let addr = *server.addresses().first().expect("an embedded server listens on one address");
    Ok(Embedded { addr, stop: Box::new(move || server.stop()) })
}
