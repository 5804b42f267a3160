//! The oracle test: seeded command sequences run against the server under test and against redis-server 7.0.15,
//! every reply compared byte by byte.
//!
//! A seed decides the whole sequence: which connection speaks, what it sends, where pipelines end. So a difference
//! is replayed with the seed, the protocol and the number of commands that the failure prints.
//!
//! | module | owns |
//! |---|---|
//! | [`words`] | random keys, values, numbers and nonsense |
//! | [`step`] | one command to send and how its replies are compared |
//! | [`strings`], [`keys`], [`connection`], [`admin`] | a generator per command group |
//! | [`lists`], [`sets`], [`hashes`], [`zsets`], [`streams`], [`geo`], [`sort`] | likewise |
//! | [`bitmaps`], [`hyperloglog`], [`pubsub`], [`acl`], [`scripts`] | likewise |
//! | [`listen`] | connections that messages, notifications and invalidations are sent to |
//! | [`generate`] | which group comes next, transactions, damage done to valid commands |
//! | [`compare`] | what makes two replies equal, where time or identity shows in them |
//! | [`exclusions`] | what is left out, each with its reason; the mirror of `docs/differences.md` |
//! | [`run`] | the two servers, pipelines in lock-step, the state comparison, the report of a difference |

pub mod acl;
pub mod admin;
pub mod bitmaps;
pub mod compare;
pub mod connection;
pub mod exclusions;
pub mod generate;
pub mod geo;
pub mod hashes;
pub mod hyperloglog;
pub mod keys;
pub mod listen;
pub mod lists;
pub mod pubsub;
pub mod run;
pub mod scripts;
pub mod sets;
pub mod sort;
pub mod step;
pub mod streams;
pub mod strings;
pub mod words;
pub mod zsets;

pub use exclusions::{commands_left_out, left_out};
pub use generate::coverage;
pub use run::{Difference, Plan, Summary, run};
