//! The command line: one file a command, each with its clap arguments and a `run`.

pub mod collection;
pub mod lab;
pub mod train;
