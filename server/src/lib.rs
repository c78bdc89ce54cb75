//! The parts of the `duynhat` binary.

pub mod cli;
pub mod registry;
pub mod service;
