//! The `duynhat` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    duynhat_server::main()
}
