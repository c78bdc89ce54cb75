//! The command line: one file a command, each with its clap arguments and a `run`.

pub mod collection;
pub mod lab;
pub mod picture;
pub mod template;
pub mod train;

/// Bad usage or bad input: the process ends with exit code 2. Says all there is to say.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);
