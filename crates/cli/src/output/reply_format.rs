//! Replies as protocol lines and as tables.
//!
//! Lines are formatted as the recorder sent them: text is quoted where needed, and control
//! characters never reach the terminal.

use crate::output::table::Table;
use protocol::Refusal;
use protocol::client::{Failure, Pairs, Reply};
use protocol::reply::{self, LineWriter};

fn append_pairs<'a>(line: LineWriter<'a>, pairs: &Pairs) -> LineWriter<'a> {
    pairs.0.iter().fold(line, |line, (key, value)| line.pair(key, value))
}

fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Formats `WORD key=value…` with a line end.
pub fn format_line(word: &str, of: &Pairs) -> String {
    let mut bytes = Vec::new();
    append_pairs(reply::begin_line(&mut bytes, word), of).end();
    into_text(bytes)
}

/// Formats `ok …` or `err …` with a line end.
pub fn format_outcome(of: &Result<Pairs, Failure>) -> String {
    match of {
        Ok(of) => format_line("ok", of),
        Err(failure) => format_refusal(failure),
    }
}

fn format_refusal(failure: &Failure) -> String {
    let mut bytes = Vec::new();
    let line = match failure.code() {
        Some(code) => reply::begin_err(&mut bytes, &Refusal::new(code, failure.text.as_str())),
        None => reply::begin_line(&mut bytes, "err").word(&failure.word).word(&failure.text),
    };
    append_pairs(line, &failure.pairs).end();
    into_text(bytes)
}

/// Formats the rows of a reply as lines.
pub fn format_rows(reply: &Reply) -> String {
    reply.rows.iter().map(|row| format_line("row", row)).collect()
}

/// Formats the rows of a reply as tables. Adjacent rows with the same keys share a table.
pub fn format_tables(reply: &Reply) -> String {
    format_tables_within(reply, usize::MAX)
}

/// Formats tables of at most `columns` columns.
pub fn format_tables_within(reply: &Reply, columns: usize) -> String {
    format_grouped(reply, &|table| table.format_within(columns))
}

/// Formats lists, one cell per line, of at most `columns` columns.
pub fn format_lists_within(reply: &Reply, columns: usize) -> String {
    format_grouped(reply, &|table| table.format_list(columns))
}

fn format_grouped(reply: &Reply, show: &dyn Fn(&Table) -> String) -> String {
    let keys = |row: &Pairs| row.0.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let mut text = String::new();
    for same in reply.rows.chunk_by(|a, b| keys(a) == keys(b)) {
        let mut table = Table::new(same.first().map(keys).unwrap_or_default());
        for row in same {
            table.push_row(row.0.iter().map(|(_, value)| value.clone()).collect());
        }
        text.push_str(&show(&table));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_pairs(of: &[(&str, &str)]) -> Pairs {
        Pairs(of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn lines_are_formatted_as_sent() {
        assert_eq!(
            format_line("row", &test_pairs(&[("a", "1"), ("b", "x y")])),
            "row a=1 b=\"x y\"\n"
        );
        assert_eq!(format_line("ok", &Pairs::default()), "ok\n");
        let failure = |word: &str| Failure {
            word: word.to_owned(),
            text: "no \u{1b}[2J".to_owned(),
            pairs: test_pairs(&[("masked", "yes")]),
        };
        assert_eq!(format_refusal(&failure("storage")), "err storage \"no  [2J\" masked=yes\n");
        assert_eq!(format_refusal(&failure("new-word")), "err new-word \"no  [2J\" masked=yes\n");
    }

    #[test]
    fn adjacent_rows_with_same_keys_share_a_table() {
        let rows = vec![
            test_pairs(&[("what", "box"), ("boot", "7")]),
            test_pairs(&[("alarm", "1"), ("text", "a\u{7}b")]),
            test_pairs(&[("alarm", "12"), ("text", "c")]),
        ];
        let reply = Reply { rows, data: Vec::new(), outcome: Ok(Pairs::default()) };
        let wanted = "what  boot\nbox      7\nalarm  text\n    1  a\\u{7}b\n   12  c\n";
        assert_eq!(format_tables(&reply), wanted);
    }
}
