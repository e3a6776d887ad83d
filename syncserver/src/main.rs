//! The program. See [`syncserver::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    syncserver::cli::main()
}
