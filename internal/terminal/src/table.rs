use std::fmt::Write as _;

use crate::Line;

const GAP: usize = 2;

/// Rows with aligned columns, two spaces apart.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Line>>,
}

impl Table {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the column titles; call it first.
    #[must_use]
    pub fn header<'a>(mut self, titles: impl IntoIterator<Item = &'a str>) -> Self {
        self.rows.push(titles.into_iter().map(|title| Line::new().strong(title)).collect());
        self
    }

    pub fn row<C: Into<Line>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The lines with their styles. The last cell of a row is not padded.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        self.rows.iter().map(|row| render(row, &widths)).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column| self.rows.iter().filter_map(|row| row.get(column)).map(Line::width).max();
        (0..columns).map(|column| width(column).unwrap_or_default()).collect()
    }
}

fn render(row: &[Line], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, cell) in row.iter().enumerate() {
        let is_last = column + 1 == row.len();
        let padding = if is_last { 0 } else { widths[column] - cell.width() + GAP };
        write!(line, "{cell}{:padding$}", "").expect("a String takes any text");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let mut table = Table::new();
        table.row(["dev:", "日本", "x"]);
        table.row([Line::new().plain("production:"), Line::new().plain("a"), Line::from("y\nz")]);
        table.row(["short"]);
        assert_eq!(table.lines(), ["dev:         日本  x", "production:  a     y z", "short"]);
    }
}
