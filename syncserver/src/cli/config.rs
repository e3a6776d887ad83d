//! `syncserver config …`.

use std::path::Path;

use super::output;
use crate::settings::{self, Effective, SettingsError};

/// What to do with the settings.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print every setting as it holds, with where its value comes from: a default, a line of the file, a variable of
    /// the environment. Secrets are hidden. What is not set is a comment, so that the text is a settings file.
    Dump {
        /// Print it as JSON: a list of objects with name, variable, value and source.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command, file: Option<&Path>) -> Result<(), String> {
    let Command::Dump { json } = command;
    let all =
        settings::dump(file, std::env::vars_os()).map_err(|error: SettingsError| super::wrong_settings(&error))?;
    if json { output::print_json(&all) } else { output::print(&text(&all)) }
}

fn text(all: &[Effective]) -> String {
    let mut text = String::new();
    let mut section = "";
    for one in all {
        if one.section() != section {
            section = one.section();
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&one.line());
        text.push('\n');
    }
    text
}
