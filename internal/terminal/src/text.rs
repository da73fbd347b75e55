//! Text from elsewhere, made safe to show.

use std::borrow::Cow;

/// One line of text without anything that a terminal acts on. Line breaks and
/// tabs become spaces, so that a commit message cannot look like our next line.
pub fn sanitise(text: &str) -> Cow<'_, str> {
    replace(text, |c| match c {
        '\n' | '\t' => ' ',
        _ => char::REPLACEMENT_CHARACTER,
    })
}

/// The same for a whole document, whose line breaks and tabs are its layout.
pub(crate) fn sanitise_document(text: &str) -> Cow<'_, str> {
    replace(text, |c| match c {
        '\n' | '\t' => c,
        _ => char::REPLACEMENT_CHARACTER,
    })
}

fn replace(text: &str, replacement: impl Fn(char) -> char) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    // Windows line ends would otherwise leave a mark at the end of each line.
    let text = text.replace("\r\n", "\n");
    Cow::Owned(text.chars().map(|c| if is_unsafe(c) { replacement(c) } else { c }).collect())
}

/// Control characters (escape sequences start with one), and the marks that
/// make a terminal show text in another order than it was written.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        let cases = [
            ("plain ✓ Søren 日本 👩‍💻", "plain ✓ Søren 日本 👩‍💻"),
            ("\u{1b}]0;owned\u{7}\u{1b}[2J", "�]0;owned��[2J"),
            ("c1 \u{9b}31m", "c1 �31m"),
            ("one\r\ntwo\tthree\nfour", "one two three four"),
            ("over\rwritten\u{8}", "over�written�"),
            ("ab\u{202e}txt.exe", "ab�txt.exe"),
        ];
        for (given, expected) in cases {
            assert_eq!(sanitise(given), expected, "{given:?}");
        }
    }

    #[test]
    fn a_document_keeps_its_layout() {
        assert_eq!(sanitise_document("a:\r\n\tb\u{1b}[1m\n"), "a:\n\tb�[1m\n");
    }
}
