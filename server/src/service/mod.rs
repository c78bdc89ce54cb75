//! The service: log, projections and search behind one door, for HTTP and the command line alike.

mod api;

pub use api::*;
