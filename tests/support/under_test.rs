//! The `duynhat` binary again, under a name that tests of this package are given the path of.

use std::process::ExitCode;

fn main() -> ExitCode {
    duynhat_server::main()
}
