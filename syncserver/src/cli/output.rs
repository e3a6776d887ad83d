//! What commands print: text or JSON on the standard output, and progress on the standard error stream.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use serde::Serialize;

/// Prints to the standard output; a reader that has had enough is no failure.
pub(super) fn print(text: &str) -> Result<(), String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Tells what is no result, in a line on the standard error stream. Where nobody can be told, the work was done all the
/// same, so that this is no failure; `eprintln!` would panic.
pub(super) fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a value as JSON, indented, with a line break at its end.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), String> {
    print(&(json(value)? + "\n"))
}

/// A value as JSON, indented.
pub(super) fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map_err(|error| error.to_string())
}

/// Rows under a heading, each column as wide as its widest cell. Cells that begin with a digit stand at the right.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row with a cell for each heading.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text.
    pub(super) fn to_text(&self) -> String {
        let columns = self.rows[0].len();
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let is_number = |column: usize| {
            let cells = self.rows[1..].iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
            let mut cells = cells.peekable();
            cells.peek().is_some() && cells.all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        };
        let numbers: Vec<bool> = (0..columns).map(is_number).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let (width, gap) = (widths[column], if column == 0 { "" } else { "  " });
                let written = match numbers[column] {
                    true => write!(line, "{gap}{cell:>width$}"),
                    false => write!(line, "{gap}{cell:<width$}"),
                };
                debug_assert!(written.is_ok(), "a String takes all that is written to it");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_at_the_right() {
        let mut table = Table::new(&["UID", "NAME", "NOTE"]);
        table.row(["7".to_owned(), "bookmarks".to_owned(), String::new()]);
        table.row(["1234".to_owned(), "tabs".to_owned(), "äöü".to_owned()]);
        assert_eq!(table.to_text(), " UID  NAME       NOTE\n   7  bookmarks\n1234  tabs       äöü\n");
    }
}
