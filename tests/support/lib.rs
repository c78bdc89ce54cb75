//! Support for the workspace tests.

pub mod history;
pub mod http;
pub mod records;
pub mod script;
