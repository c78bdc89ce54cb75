//! Support for the workspace tests.

pub mod folders;
pub mod history;
pub mod http;
pub mod parallel;
pub mod records;
pub mod script;
