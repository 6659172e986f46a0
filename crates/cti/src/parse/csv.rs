//! Lines of an exchange's call log (SMDR and its relatives), split into columns.

use super::ParseError;
use super::line_buffer::LineBuffer;

/// The most bytes of a line.
pub const LINE_BYTES_MAX: usize = 4 << 10;

/// How a line is split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Between these characters; a field in double quotes may hold the character.
    Delimited(u8),
    /// After these numbers of characters; the rest is the last column.
    Widths(Vec<usize>),
    /// At runs of spaces.
    Spaces,
}

/// Splits the bytes of one source.
#[derive(Clone)]
pub struct CsvParser {
    buffer: LineBuffer,
    columns: Columns,
}

impl CsvParser {
    /// A parser before the first byte.
    #[must_use]
    pub fn new(columns: Columns) -> CsvParser {
        CsvParser { buffer: LineBuffer::default(), columns }
    }

    /// Adds bytes from the source.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
    }

    /// Takes the next line as trimmed values. An empty line has none.
    ///
    /// # Errors
    ///
    /// When a line exceeds its limit.
    pub fn next_row(&mut self) -> Result<Option<Vec<String>>, ParseError> {
        Ok(self.buffer.next_line(LINE_BYTES_MAX)?.map(|line| self.split(&line)))
    }

    /// Takes the last line of a source that has ended.
    pub fn take_rest(&mut self) -> Vec<String> {
        let rest = self.buffer.take_rest();
        self.split(&rest)
    }

    /// Bytes held, for tests of the bound.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.held_bytes()
    }

    fn split(&self, line: &str) -> Vec<String> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        match &self.columns {
            Columns::Delimited(delimiter) => split_delimited(line, *delimiter),
            Columns::Widths(widths) => split_widths(line, widths),
            Columns::Spaces => line.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

fn split_delimited(line: &str, delimiter: u8) -> Vec<String> {
    let mut builder = ::csv::ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true);
    let mut reader = builder.from_reader(line.as_bytes());
    let mut record = ::csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => record.iter().map(|value| value.trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn split_widths(line: &str, widths: &[usize]) -> Vec<String> {
    let mut chars = line.chars();
    let mut values: Vec<String> =
        widths.iter().map(|width| chars.by_ref().take(*width).collect()).collect();
    values.push(chars.collect());
    values.into_iter().map(|value: String| value.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: Columns, text: &str) -> Vec<Vec<String>> {
        let mut parser = CsvParser::new(columns);
        parser.receive(text.as_bytes());
        std::iter::from_fn(|| parser.next_row().unwrap()).collect()
    }

    #[test]
    fn lines_are_split_by_delimiter_widths_or_spaces() {
        let found = rows(Columns::Delimited(b';'), "RING; 1001 ;\"a;b\"\r\n\nEND;1001\n");
        assert_eq!(found, [vec!["RING", "1001", "a;b"], vec![], vec!["END", "1001"]]);
        let found = rows(Columns::Widths(vec![4, 5]), "RING1001  555 1234\nEND\n");
        assert_eq!(found, [vec!["RING", "1001", "555 1234"], vec!["END", "", ""]]);
        let found = rows(Columns::Spaces, "  RING   1001\n");
        assert_eq!(found, [vec!["RING", "1001"]]);
    }

    #[test]
    fn a_line_without_an_end_is_refused_and_the_last_one_may_lack_it() {
        let mut parser = CsvParser::new(Columns::Delimited(b','));
        parser.receive(b"a,b");
        assert_eq!(
            (parser.next_row(), parser.take_rest()),
            (Ok(None), vec!["a".into(), "b".into()])
        );
        parser.receive(&vec![b'a'; LINE_BYTES_MAX + 1]);
        assert_eq!(parser.next_row(), Err(ParseError::LineTooLong { most: LINE_BYTES_MAX }));
    }
}
