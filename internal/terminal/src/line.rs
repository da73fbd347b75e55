use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use crate::text::sanitise;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const STRONG: Style = Style::new().bold();

/// One line, or one cell of a table: pieces of text, each sanitised, with their styles.
///
/// The styles are dropped where no terminal reads the output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    rendered: String,
    width: usize,
}

impl Line {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn plain(self, text: impl fmt::Display) -> Self {
        self.push(Style::new(), &text)
    }

    #[must_use]
    pub fn good(self, text: impl fmt::Display) -> Self {
        self.push(GOOD, &text)
    }

    #[must_use]
    pub fn bad(self, text: impl fmt::Display) -> Self {
        self.push(BAD, &text)
    }

    /// Less important than the text around it.
    #[must_use]
    pub fn dim(self, text: impl fmt::Display) -> Self {
        self.push(DIM, &text)
    }

    #[must_use]
    pub fn strong(self, text: impl fmt::Display) -> Self {
        self.push(STRONG, &text)
    }

    /// Columns that the line takes on a terminal.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    fn push(mut self, style: Style, text: &dyn fmt::Display) -> Self {
        let text = text.to_string();
        let text = sanitise(&text);
        self.width += text.width();
        write!(self.rendered, "{style}{text}{style:#}").expect("a String takes any text");
        self
    }
}

/// With escape sequences for the styles; only [`crate::Printer`] should need it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::new().plain(text)
    }
}

impl From<&String> for Line {
    fn from(text: &String) -> Self {
        Self::new().plain(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::new().plain(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_ours_and_the_text_has_none() {
        let line = Line::new().good("ok\u{1b}[0m").plain(" done");
        assert_eq!(line.to_string(), "\u{1b}[32mok�[0m\u{1b}[0m done");
    }

    #[test]
    fn the_width_counts_columns_without_styles() {
        assert_eq!(Line::new().bad("日本").plain("é").width(), 5);
    }
}
