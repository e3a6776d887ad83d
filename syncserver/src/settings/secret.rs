//! Text that must not be seen.

use std::fmt;

/// A secret, such as a key, or a URL with a password in it. It has no `Display`, and its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps the text, exactly as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: never for a log or an error message.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_a_secret() {
        assert_eq!(format!("{:?}", Some(Secret::new("s3cr3t"))), "Some([secret])");
        assert_eq!(Secret::new("s3cr3t").expose(), "s3cr3t");
    }
}
