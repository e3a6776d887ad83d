//! Times, sizes and names as commands print them.

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use crate::logging::RFC_3339;

const FOR_PEOPLE: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]");

/// A time in ms since the epoch, for people, in UTC: `2026-11-21 10:41`. Empty where there is none.
pub(super) fn time(ms: Option<i64>) -> String {
    ms.and_then(|ms| formatted(ms, FOR_PEOPLE)).unwrap_or_default()
}

/// The same for programs: `2026-11-21T10:41:07.250Z`.
pub(super) fn timestamp(ms: i64) -> Option<String> {
    formatted(ms, RFC_3339)
}

fn formatted(ms: i64, form: StaticFormatDescription) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?.format(form).ok()
}

/// A number of bytes, for people: `1.5 MB`.
pub(super) fn bytes(count: u64) -> String {
    let units = ["KB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1000.0;
    let mut unit = 0;
    while size >= 999.95 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.1} {}", units[unit])
}

/// A text from a database, without what would move a terminal's cursor.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(Some(1_700_000_000_123)), "2023-11-14 22:13");
        assert_eq!(timestamp(1_700_000_000_123).as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!((time(None), time(Some(i64::MAX))), (String::new(), String::new()));
    }

    #[test]
    fn sizes_have_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KB"),
            (999_949, "999.9 KB"),
            (999_950, "1.0 MB"),
            (2_500_000, "2.5 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "18446744.1 TB");
    }

    #[test]
    fn a_name_does_not_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2J\nü"), "a?[2J?ü");
    }
}
