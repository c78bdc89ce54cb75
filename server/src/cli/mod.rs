//! The command line: one file a command, each with its clap arguments and a `run`.
