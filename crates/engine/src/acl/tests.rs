//! Random rules, and damaged files.
