//! Times as people read them.

use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta, TimeZone, Utc};

/// `2021-06-23 08:42:22`, in this machine's time zone.
pub(crate) fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same for milliseconds since 1970; 0 is "not known".
pub(crate) fn local_millis(millis: i64) -> Option<String> {
    let time = Utc.timestamp_millis_opt(millis).single();
    time.filter(|_| millis != 0).map(local)
}

/// `45s`, `12m 5s`, `3h 10m`, `2days 4h`: to the precision that matters.
pub(crate) fn duration(seconds: u64) -> String {
    let precision = match seconds {
        0..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    humantime::format_duration(Duration::from_secs(seconds / precision * precision)).to_string()
}

/// `3 hours ago`, `1 day from now`, `now`.
pub(crate) fn humanize(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const UNITS: [(i64, &str); 7] = [
        (365 * DAY, "year"),
        (30 * DAY, "month"),
        (7 * DAY, "week"),
        (DAY, "day"),
        (HOUR, "hour"),
        (MINUTE, "minute"),
        (1, "second"),
    ];
    let past = now.signed_duration_since(time);
    let direction = if past < TimeDelta::zero() { "from now" } else { "ago" };
    let seconds = past.num_seconds().abs();
    let Some((size, unit)) = UNITS.into_iter().find(|(size, _)| seconds >= *size) else {
        return "now".to_owned();
    };
    let count = seconds / size;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} {direction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_rounded_down_to_the_largest_unit() {
        let now = Utc.timestamp_opt(1_600_000_000, 0).unwrap();
        let cases = [
            (0, "now"),
            (1, "1 second ago"),
            (119, "1 minute ago"),
            (7200, "2 hours ago"),
            (86_400, "1 day ago"),
            (15 * 86_400, "2 weeks ago"),
            (70 * 86_400, "2 months ago"),
            (800 * 86_400, "2 years ago"),
            (-7200, "2 hours from now"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(humanize(now - TimeDelta::seconds(seconds), now), expected);
        }
    }

    #[test]
    fn durations_have_the_precision_that_matters() {
        for (seconds, expected) in
            [(0, "0s"), (725, "12m 5s"), (3_600, "1h"), (11_459, "3h 10m"), (187_300, "2days 4h")]
        {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn an_unknown_time_is_not_shown() {
        assert_eq!(local_millis(0), None);
        assert_eq!(local_millis(i64::MAX), None);
    }
}
