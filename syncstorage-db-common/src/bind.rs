//! The value of a placeholder.

/// A value for a placeholder of a statement, of one of the types that all columns here have.
#[derive(Clone, Copy, Debug)]
pub enum Bind<'a> {
    /// An integer or NULL.
    Integer(Option<i64>),
    /// A text or NULL.
    Text(Option<&'a str>),
}

impl From<i64> for Bind<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Bind<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl<'a> From<&'a str> for Bind<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Bind<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value)
    }
}
