//! The `duynhat` binary.
fn main() {}
