//! Support for the workspace tests.

pub mod records;
