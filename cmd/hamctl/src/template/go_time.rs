//! Go's time layouts: an example of the reference time says how to write a time.

use std::fmt::Write as _;

use chrono::{DateTime, FixedOffset};

/// What stands for what, longer before shorter where one begins with the other.
const TOKENS: [(&str, &str); 30] = [
    ("January", "%B"),
    ("Jan", "%b"),
    ("Monday", "%A"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("2006", "%Y"),
    ("-07:00", "%:z"),
    ("-0700", "%z"),
    ("Z07:00", "%:z"),
    ("Z0700", "%z"),
    (".000000000", "%.9f"),
    (".000000", "%.6f"),
    (".000", "%.3f"),
    (".999999999", "%.f"),
    (".999999", "%.f"),
    (".999", "%.f"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("_2", "%e"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
];

pub(super) fn format(time: DateTime<FixedOffset>, layout: &str) -> String {
    let mut text = String::new();
    // Chrono's own format can only fail for an unknown item, and the table has none.
    write!(text, "{}", time.format(&strftime(layout, &time))).expect("a String takes any text");
    text
}

fn strftime(layout: &str, time: &DateTime<FixedOffset>) -> String {
    let mut result = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((token, item)) = TOKENS.iter().find(|(token, _)| rest.starts_with(token)) {
            let is_utc = time.offset().local_minus_utc() == 0;
            result.push_str(match *token {
                "Z07:00" | "Z0700" if is_utc => "Z",
                "MST" if is_utc => "UTC",
                _ => item,
            });
            rest = &rest[token.len()..];
        } else {
            result.push(c);
            if c == '%' {
                result.push('%');
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_written_as_go_writes_them() {
        let time = DateTime::parse_from_rfc3339("2021-06-03T18:42:07.120+02:00").unwrap();
        let cases = [
            ("2006-01-02 15:04:05", "2021-06-03 18:42:07"),
            ("2006-01-02 15:04:03", "2021-06-03 18:42:06"),
            ("Mon, 02 Jan 2006 15:04:05 -0700", "Thu, 03 Jun 2021 18:42:07 +0200"),
            ("Monday January _2 3:04PM", "Thursday June  3 6:42PM"),
            ("2006-01-02T15:04:05.000Z07:00", "2021-06-03T18:42:07.120+02:00"),
            ("2/1/06 100%", "3/6/21 600%"),
        ];
        for (layout, expected) in cases {
            assert_eq!(format(time, layout), expected, "{layout}");
        }
        assert_eq!(format(time.to_utc().fixed_offset(), "15:04Z07:00 MST"), "16:42Z UTC");
    }
}
