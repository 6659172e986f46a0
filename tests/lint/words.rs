//! Rust source as a flat list of words, each with its line.
//!
//! A word is an identifier, a bracket, one punctuation mark, or `""` in place of any literal, so
//! that what a string or a comment says is never taken for code. `paths` puts `a::b::c` together
//! again and spells out `use` trees.
//!
//! Nothing here judges anything (see `tidy.rs` and `law`).

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One word of source.
#[derive(Clone)]
pub struct Word {
    pub text: String,
    pub line: usize,
}

/// A path of at least two names, or a single one right behind `use`.
#[derive(Debug, PartialEq)]
pub struct Found {
    pub path: String,
    pub line: usize,
    pub used: bool,
}

/// The words of a file that parses.
pub fn words(text: &str) -> Vec<Word> {
    let mut out = Vec::new();
    let tokens: TokenStream = text.parse().expect("source that is not Rust");
    flatten(tokens, &mut out);
    out
}

fn flatten(tokens: TokenStream, out: &mut Vec<Word>) {
    for token in tokens {
        let line = token.span().start().line;
        let mut put = |text: &str, line| out.push(Word { text: text.to_owned(), line });
        match token {
            TokenTree::Ident(ident) => put(&ident.to_string(), line),
            TokenTree::Punct(punct) => put(&punct.as_char().to_string(), line),
            TokenTree::Literal(_) => put("\"\"", line),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                put(open, line);
                flatten(group.stream(), out);
                let line = group.span_close().end().line;
                out.push(Word { text: close.to_owned(), line });
            }
        }
    }
}

/// Whether `pattern` (words with spaces between them) begins at `at`.
pub fn begins(words: &[Word], at: usize, pattern: &str) -> bool {
    let mut rest = words[at..].iter();
    pattern.split(' ').all(|wanted| rest.next().is_some_and(|word| word.text == wanted))
}

/// The words without anything that is only compiled for tests.
pub fn without_tests(words: &[Word]) -> Vec<Word> {
    let marks = ["# [ cfg ( test )", "# [ cfg ( all ( test ,", "# [ test ]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < words.len() {
        if marks.iter().any(|mark| begins(words, at, mark)) {
            at = item_end(words, at);
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}

/// Just behind the item at `at`: behind its `;` or its body.
fn item_end(words: &[Word], at: usize) -> usize {
    let mut depth = 0;
    for (index, word) in words.iter().enumerate().skip(at) {
        match word.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(word.text.as_str(), ";" | "}") {
            return index + 1;
        }
    }
    words.len()
}

/// Every path in the words, `use` trees spelled out, a glob as `a::*`.
pub fn paths(words: &[Word]) -> Vec<Found> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < words.len() {
        if !is_name(words, at) || words[at].text == "use" {
            at += 1;
            continue;
        }
        let before = |back: usize| at.checked_sub(back).map_or("", |i| words[i].text.as_str());
        let used = before(1) == "use" || (before(1) == ":" && before(3) == "use");
        let tree = Tree { words, used };
        at = tree.path(at, "", &mut out);
    }
    out.retain(|found| found.used || found.path.contains("::"));
    out
}

struct Tree<'a> {
    words: &'a [Word],
    used: bool,
}

impl Tree<'_> {
    /// Adds the path or paths that begin at `at`; gives the place behind them.
    fn path(&self, mut at: usize, prefix: &str, out: &mut Vec<Found>) -> usize {
        let line = self.words[at].line;
        let mut path = format!("{prefix}{}", self.words[at].text);
        at += 1;
        while begins(self.words, at, ": :") {
            if begins(self.words, at, ": : {") {
                return self.braces(at + 3, &format!("{path}::"), out);
            }
            if !is_name(self.words, at + 2) && !begins(self.words, at, ": : *") {
                break;
            }
            path = format!("{path}::{}", self.words[at + 2].text);
            at += 3;
        }
        out.push(Found { path, line, used: self.used });
        at
    }

    fn braces(&self, mut at: usize, prefix: &str, out: &mut Vec<Found>) -> usize {
        while at < self.words.len() && self.words[at].text != "}" {
            match self.words[at].text.as_str() {
                "as" => at += 2,
                "*" => at = self.path(at, prefix, out),
                _ if is_name(self.words, at) => at = self.path(at, prefix, out),
                _ => at += 1,
            }
        }
        at + 1
    }
}

fn is_name(words: &[Word], at: usize) -> bool {
    let first = words.get(at).and_then(|word| word.text.chars().next());
    first.is_some_and(|first| first.is_alphabetic() || first == '_')
}
