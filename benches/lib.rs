//! The criterion benches live beside this file; see README.md.

pub mod faces;
pub mod fingers;
