//! What the program makes of itself: secrets, completions for shells, manual pages.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use clap::CommandFactory;
use clap_complete::Shell;
use ring::rand::{SecureRandom, SystemRandom};

use super::{Arguments, output};

/// Random bytes in a secret.
const SECRET_BYTES: usize = 32;

/// `syncserver completions`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Completions {
    /// For which shell.
    shell: Shell,
}

/// `syncserver man`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Man {
    /// Write one page for each command into this folder, which is made if need be, rather than print that of the program.
    #[arg(long, value_name = "FOLDER")]
    out_dir: Option<PathBuf>,
}

pub(super) fn secret() -> Result<(), String> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    output::print(&format!("{}\n", URL_SAFE.encode(bytes)))
}

pub(super) fn completions(arguments: Completions) -> Result<(), String> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "syncserver", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

pub(super) fn man(arguments: &Man) -> Result<(), String> {
    match &arguments.out_dir {
        Some(folder) => std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
            .map_err(|error| format!("cannot write manual pages into {}: {error}", folder.display())),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut page).map_err(|error| error.to_string())?;
            output::print(&String::from_utf8_lossy(&page))
        }
    }
}
