//! Matches lines against expected patterns, and writes lines as patterns.

use std::collections::BTreeMap;

/// Bound names, and the last state of every client.
#[derive(Clone, Default)]
pub struct Patterns {
    bound: BTreeMap<String, String>,
    states: BTreeMap<String, Vec<String>>,
}

/// Splits a line into words; a quoted value keeps its spaces and quotes.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for letter in line.chars() {
        if letter == ' ' && !quoted {
            words.push(String::new());
            continue;
        }
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        words.last_mut().unwrap().push(letter);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Splits `key=value`; the key keeps its `=`. A bare word has an empty key.
fn pair(word: &str) -> (&str, &str) {
    match word.find('=') {
        Some(at) if !word.starts_with('"') => word.split_at(at + 1),
        _ => ("", word),
    }
}

impl Patterns {
    /// The value of `$name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.bound.get(name.strip_prefix('$')?).map(String::as_str)
    }

    /// Replaces every `$name` in a text.
    pub fn spelled(&self, text: &str) -> String {
        let mut names: Vec<_> = self.bound.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let spell = |text: String, (name, value): &(&String, &String)| {
            text.replace(&format!("${name}"), value)
        };
        names.iter().fold(text.to_string(), spell)
    }

    fn bind(&mut self, pattern: &str, value: &str) -> bool {
        if pattern == "*" || pattern == value {
            return true;
        }
        let Some(name) = pattern.strip_prefix('$') else { return false };
        let known = self.bound.entry(name.to_string()).or_insert_with(|| value.to_string());
        known == value
    }

    fn word_fits(&mut self, pattern: &str, word: &str) -> bool {
        let ((key, wanted), (found, value)) = (pair(pattern), pair(word));
        key == found && self.bind(wanted, value)
    }

    /// Whether a line matches `pattern`.
    pub fn fits(&mut self, client: &str, pattern: &str, line: &str) -> bool {
        let (mut wanted, found) = (words(pattern), words(line));
        let open = wanted.last().is_some_and(|word| word == "...");
        if !open {
            return wanted.len() == found.len()
                && wanted.iter().zip(&found).all(|(pattern, word)| self.word_fits(pattern, word));
        }
        wanted.pop();
        let before = self.states.get(client).cloned().unwrap_or_default();
        let mut next = wanted.iter().peekable();
        for word in &found {
            let key = pair(word).0;
            let meant = next.peek().is_some_and(|pattern| pair(pattern).0 == key);
            let fits = match next.next_if(|_| meant) {
                Some(pattern) => self.word_fits(pattern, word),
                None => found[0] != "state" || before.contains(word),
            };
            if !fits {
                return false;
            }
        }
        next.next().is_none()
    }

    /// Remembers a state for the next one.
    pub fn remember(&mut self, client: &str, line: &str) {
        if line.starts_with("state ") {
            self.states.insert(client.to_string(), words(line));
        }
    }

    /// Forgets the state of a client whose session ended.
    pub fn forget(&mut self, client: &str) {
        self.states.remove(client);
    }

    /// Forgets the states of all clients.
    pub fn forget_all(&mut self) {
        self.states.clear();
    }

    /// Writes a line as a pattern.
    pub fn describe(&mut self, client: &str, line: &str) -> String {
        let found = words(line);
        let before = self.states.get(client).cloned();
        let short = found[0] == "state" && before.is_some();
        let mut out = Vec::new();
        for word in &found {
            let known = before.as_ref().is_some_and(|before| before.contains(word));
            if found[0] == "state" && short && known && word != "state" {
                continue;
            }
            out.push(self.abstracted(word));
        }
        if found[0] == "err" {
            out[2] = "*".to_string();
        }
        if short {
            out.push("...".to_string());
        }
        out.join(" ")
    }

    fn abstracted(&mut self, word: &str) -> String {
        let (key, value) = pair(word);
        let is_id = value.len() == 16 && hushbox::id::RecordingId::parse(value).is_some();
        let is_time = hushbox::time::WallTime::parse(value).is_some() && value.contains('T');
        if is_time || key == "digest=" || key == "name=hushbox_" {
            return format!("{key}*");
        }
        if !is_id {
            return word.to_string();
        }
        let known = self.bound.iter().find(|(_, bound)| *bound == value);
        let name = match known {
            Some((name, _)) => name.clone(),
            None => {
                let names = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
                let free = names.iter().find(|name| !self.bound.contains_key(**name));
                let name = free.expect("few recordings").to_string();
                self.bound.insert(name.clone(), value.to_string());
                name
            }
        };
        format!("{key}${name}")
    }
}
