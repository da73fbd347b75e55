//! Slack's markup. What others wrote must not become a link or a call to `<!channel>`.

/// The text without anything that means something to Slack.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub fn bold(text: &str) -> String {
    format!("*{}*", escape(text))
}

/// Bold, and a link where there is a URL.
pub fn link(url: &str, text: &str) -> String {
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    if is_url { format!("<{}|{}>", escape(url).replace('|', "%7C"), bold(text)) } else { bold(text) }
}

/// The beginning of a text, if it is longer than `max` characters.
pub fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_text() {
        assert_eq!(escape("a < b && <!channel>"), "a &lt; b &amp;&amp; &lt;!channel&gt;");
        for (url, text, expected) in [
            ("https://x.io/1", "m-1", "<https://x.io/1|*m-1*>"),
            ("https://x.io/>|<!here>", "m", "<https://x.io/&gt;%7C&lt;!here&gt;|*m*>"),
            ("javascript:alert(1)", "m", "*m*"),
            ("", "<m>", "*&lt;m&gt;*"),
        ] {
            assert_eq!(link(url, text), expected);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("æøå", 3), "æøå");
        assert_eq!(shorten("æøåæ", 3), "æøå…");
    }
}
