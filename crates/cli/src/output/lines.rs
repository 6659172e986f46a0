//! Answers of a box as lines again, and as tables.
//!
//! The lines are those that the box sent: whatever is not bare is quoted, and control characters
//! cannot reach the terminal. Nothing here talks to a box.

use crate::output::table::Table;
use protocol::Refusal;
use protocol::client::{Failure, Pairs, Reply};
use protocol::reply::{self, LineWriter};

fn pairs<'a>(line: LineWriter<'a>, pairs: &Pairs) -> LineWriter<'a> {
    pairs.0.iter().fold(line, |line, (key, value)| line.pair(key, value))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `WORD key=value…` with its end.
pub fn line(word: &str, of: &Pairs) -> String {
    let mut bytes = Vec::new();
    pairs(reply::line(&mut bytes, word), of).end();
    text(bytes)
}

/// `ok …` or `err …` with its end.
pub fn outcome(of: &Result<Pairs, Failure>) -> String {
    match of {
        Ok(of) => line("ok", of),
        Err(failure) => refusal(failure),
    }
}

fn refusal(failure: &Failure) -> String {
    let mut bytes = Vec::new();
    let line = match failure.code() {
        Some(code) => reply::err(&mut bytes, &Refusal::new(code, failure.text.as_str())),
        None => reply::line(&mut bytes, "err").word(&failure.word).word(&failure.text),
    };
    pairs(line, &failure.pairs).end();
    text(bytes)
}

/// The rows of a reply, as lines.
pub fn rows(reply: &Reply) -> String {
    reply.rows.iter().map(|row| line("row", row)).collect()
}

/// The rows of a reply as tables: neighbours with the same keys share one.
pub fn tables(reply: &Reply) -> String {
    tables_within(reply, usize::MAX)
}

/// The same, no wider than so many columns.
pub fn tables_within(reply: &Reply, columns: usize) -> String {
    shown(reply, &|table| table.within(columns))
}

/// The same, one thing below the other.
pub fn lists_within(reply: &Reply, columns: usize) -> String {
    shown(reply, &|table| table.list(columns))
}

fn shown(reply: &Reply, show: &dyn Fn(&Table) -> String) -> String {
    let keys = |row: &Pairs| row.0.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let mut text = String::new();
    for same in reply.rows.chunk_by(|a, b| keys(a) == keys(b)) {
        let mut table = Table::new(same.first().map(keys).unwrap_or_default());
        for row in same {
            table.row(row.0.iter().map(|(_, value)| value.clone()).collect());
        }
        text.push_str(&show(&table));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(of: &[(&str, &str)]) -> Pairs {
        Pairs(of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn lines_are_as_the_box_wrote_them() {
        assert_eq!(line("row", &some(&[("a", "1"), ("b", "x y")])), "row a=1 b=\"x y\"\n");
        assert_eq!(line("ok", &Pairs::default()), "ok\n");
        let failure = |word: &str| Failure {
            word: word.to_owned(),
            text: "no \u{1b}[2J".to_owned(),
            pairs: some(&[("masked", "yes")]),
        };
        assert_eq!(refusal(&failure("storage")), "err storage \"no  [2J\" masked=yes\n");
        assert_eq!(refusal(&failure("new-word")), "err new-word \"no  [2J\" masked=yes\n");
    }

    #[test]
    fn neighbours_with_the_same_keys_share_a_table() {
        let rows = vec![
            some(&[("what", "box"), ("boot", "7")]),
            some(&[("alarm", "1"), ("text", "a\u{7}b")]),
            some(&[("alarm", "12"), ("text", "c")]),
        ];
        let reply = Reply { rows, data: Vec::new(), outcome: Ok(Pairs::default()) };
        let wanted = "what  boot\nbox      7\nalarm  text\n    1  a b\n   12  c\n";
        assert_eq!(tables(&reply), wanted);
    }
}
