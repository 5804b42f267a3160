//! Connections that have sent one PING and do nothing any more.

use crate::target::{Client, Error, Target};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a process needs besides its connections.
const SPARE_FILES: u64 = 64;

/// Holds connections open until it is dropped.
#[derive(Debug)]
pub struct IdleConnections {
    clients: Vec<Client>,
}

impl IdleConnections {
    /// Opens `count` connections, one after another; each has sent a PING and read its reply.
    pub fn open(target: &Target, count: usize) -> Result<IdleConnections, Error> {
        let possible = raise_file_limit(count);
        if possible < count {
            return Err(Error(format!(
                "the file limit allows {possible} connections, not {count}"
            )));
        }
        let clients = (0..count)
            .map(|_| {
                let mut client = target.connect()?;
                client.call(&["PING"])?;
                Ok(client)
            })
            .collect::<Result<_, Error>>()?;
        Ok(IdleConnections { clients })
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}

/// Raises this process's file limit for `connections`, as far as it may; returns how many are possible.
pub fn raise_file_limit(connections: usize) -> usize {
    let wanted = connections as u64 + SPARE_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        // A refusal shows in the limit that is read below.
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    }
    match getrlimit(Resource::Nofile).current {
        Some(current) => current.saturating_sub(SPARE_FILES).min(connections as u64) as usize,
        None => connections,
    }
}
