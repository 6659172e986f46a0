//! The paths that Rust source names, read from its tokens, so that strings and comments do not
//! count. `use` trees are spelled out.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token of source: an identifier, a bracket, one punctuation mark, or `""` for a literal.
#[derive(Clone)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A path of at least two names, or a single one right behind `use`.
#[derive(Debug, PartialEq)]
pub struct NamedPath {
    pub path: String,
    pub line: usize,
    pub used: bool,
}

/// The tokens of a file that parses.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let stream: TokenStream = text.parse().expect("source that is not Rust");
    flatten(stream, &mut out);
    out
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    for token in stream {
        let line = token.span().start().line;
        let mut put = |text: &str, line| out.push(Token { text: text.to_owned(), line });
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
                out.push(Token { text: close.to_owned(), line });
            }
        }
    }
}

/// Whether `pattern` (tokens with spaces between them) begins at `at`.
pub fn begins(tokens: &[Token], at: usize, pattern: &str) -> bool {
    let mut rest = tokens[at..].iter();
    pattern.split(' ').all(|wanted| rest.next().is_some_and(|word| word.text == wanted))
}

/// The tokens without anything that is only compiled for tests.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let marks = ["# [ cfg ( test )", "# [ cfg ( all ( test ,", "# [ test ]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if marks.iter().any(|mark| begins(tokens, at, mark)) {
            at = item_end(tokens, at);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Just behind the item at `at`: behind its `;` or its body.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (index, word) in tokens.iter().enumerate().skip(at) {
        match word.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(word.text.as_str(), ";" | "}") {
            return index + 1;
        }
    }
    tokens.len()
}

/// Every path in the tokens, `use` trees spelled out, a glob as `a::*`.
pub fn paths(tokens: &[Token]) -> Vec<NamedPath> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if !is_name(tokens, at) || tokens[at].text == "use" {
            at += 1;
            continue;
        }
        let before = |back: usize| at.checked_sub(back).map_or("", |i| tokens[i].text.as_str());
        let used = before(1) == "use" || (before(1) == ":" && before(3) == "use");
        let tree = Tree { tokens, used };
        at = tree.path(at, "", &mut out);
    }
    out.retain(|found| found.used || found.path.contains("::"));
    out
}

struct Tree<'a> {
    tokens: &'a [Token],
    used: bool,
}

impl Tree<'_> {
    /// Adds the path or paths that begin at `at`; gives the place behind them.
    fn path(&self, mut at: usize, prefix: &str, out: &mut Vec<NamedPath>) -> usize {
        let line = self.tokens[at].line;
        let mut path = format!("{prefix}{}", self.tokens[at].text);
        at += 1;
        while begins(self.tokens, at, ": :") {
            if begins(self.tokens, at, ": : {") {
                return self.braces(at + 3, &format!("{path}::"), out);
            }
            if !is_name(self.tokens, at + 2) && !begins(self.tokens, at, ": : *") {
                break;
            }
            path = format!("{path}::{}", self.tokens[at + 2].text);
            at += 3;
        }
        out.push(NamedPath { path, line, used: self.used });
        at
    }

    fn braces(&self, mut at: usize, prefix: &str, out: &mut Vec<NamedPath>) -> usize {
        while at < self.tokens.len() && self.tokens[at].text != "}" {
            match self.tokens[at].text.as_str() {
                "as" => at += 2,
                "*" => at = self.path(at, prefix, out),
                _ if is_name(self.tokens, at) => at = self.path(at, prefix, out),
                _ => at += 1,
            }
        }
        at + 1
    }
}

fn is_name(tokens: &[Token], at: usize) -> bool {
    let first = tokens.get(at).and_then(|word| word.text.chars().next());
    first.is_some_and(|first| first.is_alphabetic() || first == '_')
}
