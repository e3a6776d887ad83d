//! Asking before something is done that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

/// Says on the standard error stream what would be done, and has `word` typed; with `yes`, goes on at once. Not on a
/// terminal, it is refused: nobody can answer there.
pub(super) fn confirm(what: &str, word: &str, yes: bool) -> Result<(), String> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(format!("{what}\nNobody can be asked here, so nothing was done; give --yes to do it"));
    }
    // What cannot be shown is not seen, and the answer decides in any case.
    let _ = write!(io::stderr(), "{what}\nType {word} to go on: ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    if answer.trim() == word { Ok(()) } else { Err("nothing was done".to_owned()) }
}
