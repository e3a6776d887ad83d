//! The files in `config/`.

use std::path::Path;

/// An example, and what a test has put into it.
pub(crate) struct Example {
    name: String,
    pub(crate) text: String,
}

impl Example {
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("config").join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), text }
    }

    /// Puts something in the place of a piece of code that has to be there once; comments are left alone.
    pub(crate) fn with(mut self, old: &str, new: &str) -> Self {
        let mut found = 0;
        let is_code = |line: &str| !line.trim_start().starts_with('#');
        let put_in = |line: &str| {
            if is_code(line) && line.contains(old) {
                found += 1;
                return line.replacen(old, new, 1);
            }
            line.to_owned()
        };
        let lines: Vec<_> = self.text.lines().map(put_in).collect();
        self.text = lines.join("\n") + "\n";
        assert_eq!(found, 1, "config/{} has {old:?} {found} times", self.name);
        self
    }

    /// Makes the change that the comment at the top names for a server under a path: a line of the file that begins
    /// so becomes others, which stand in the comment, each between backticks.
    pub(crate) fn under_a_path(self, prefix: &str, old: &str, new: &str) -> Self {
        if prefix.is_empty() {
            return self;
        }
        assert_eq!(prefix, "/sync", "the comments have that one");
        for line in new.lines() {
            let named = line.trim_start().replace(" connectiontimeout=5 timeout=120", " …");
            assert!(self.text.contains(&format!("`{named}`")), "config/{} does not name `{named}`", self.name);
        }
        self.with(old, new)
    }
}
