//! Tab completion of commands and arguments, from the protocol's command table.
//!
//! Only what a technician may use is offered, and keys already present in the line are not.

use hushbox::alarm;
use protocol::arg::{Arg, ArgType, LISTEN_MODES, SETTINGS};
use protocol::table::{Entry, TABLE};
use protocol::{Kind, Level};

/// Returns the start of the word being typed and its completions. `own`: console commands.
pub fn complete_word(typed: &str, own: &[&str]) -> (usize, Vec<String>) {
    let start = typed.rfind(' ').map_or(0, |space| space + 1);
    let (before, word) = typed.split_at(start);
    let before: Vec<&str> = before.split(' ').filter(|word| !word.is_empty()).collect();
    let mut found = match before.as_slice() {
        [] => verb_words(0, &[], own),
        ["help"] => verb_words(0, &[], &[]),
        ["help", first] => verb_words(1, &[first], &[]),
        before => {
            let mut found = verb_words(before.len(), before, &[]);
            found.extend(argument_words(before, word));
            found
        }
    };
    found.retain(|one| one.starts_with(word) && one != word);
    found.sort();
    found.dedup();
    (start, found)
}

fn technician_commands() -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().filter(|entry| entry.is_for(Some(Kind::Technician)) && entry.verb != "hello")
}

/// Returns the `nth` words of commands that begin with the words `before`.
fn verb_words(nth: usize, before: &[&str], own: &[&str]) -> Vec<String> {
    let word = |verb: &'static str| {
        let words: Vec<&str> = verb.split(' ').collect();
        let begins = words.len() > nth && words[..nth] == *before;
        begins.then(|| words[nth].to_owned())
    };
    let own = own.iter().map(|word| (*word).to_owned());
    technician_commands().filter_map(|entry| word(entry.verb)).chain(own).collect()
}

/// Returns the arguments that may follow the words `before`, if these are a command.
fn argument_words(before: &[&str], word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in technician_commands() {
        let verb: Vec<&str> = entry.verb.split(' ').collect();
        let Some(given) = before.strip_prefix(verb.as_slice()) else { continue };
        let words = given.iter().filter(|word| !word.contains('=')).count();
        if let Some(arg) = entry.args.iter().filter(|arg| !arg.keyed).nth(words) {
            found.extend(match entry.verb {
                "alarm clear" => clearable_alarms(),
                _ => argument_values(arg, word),
            });
        }
        for arg in entry.args.iter().filter(|arg| arg.keyed) {
            let key = format!("{}=", arg.name);
            if given.iter().any(|word| word.starts_with(&key)) {
                continue;
            }
            match word.strip_prefix(&key) {
                Some(typed) => {
                    found.extend(
                        argument_values(arg, typed).iter().map(|value| format!("{key}{value}")),
                    );
                }
                None => found.push(key),
            }
        }
    }
    found
}

/// Returns the numbers of the alarms that a technician must clear.
fn clearable_alarms() -> Vec<String> {
    let events = alarm::AlarmCode::all().filter(|code| !code.is_state());
    events.map(|code| code.number().to_string()).collect()
}

/// Returns the possible values of an argument; `typed` is its current text.
fn argument_values(arg: &Arg, typed: &str) -> Vec<String> {
    if arg.value_type == ArgType::Kinds {
        let (before, _) = typed.rsplit_once(',').map_or(("", typed), |(before, _)| (before, ""));
        let given: Vec<&str> = before.split(',').filter(|kind| !kind.is_empty()).collect();
        let head = if before.is_empty() { String::new() } else { format!("{before},") };
        let left = Kind::ALL.map(Kind::as_str).into_iter().filter(|kind| !given.contains(kind));
        return left.map(|kind| format!("{head}{kind}")).collect();
    }
    let words: Vec<&str> = match arg.value_type {
        ArgType::OnOff => vec!["on", "off"],
        ArgType::Direction => vec!["in", "out"],
        ArgType::Level => Level::ALL.map(Level::as_str).to_vec(),
        ArgType::Setting => SETTINGS.to_vec(),
        ArgType::ListenMode => LISTEN_MODES.to_vec(),
        ArgType::Kind => Kind::ALL.map(Kind::as_str).to_vec(),
        _ => Vec::new(),
    };
    words.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completions_of(typed: &str) -> Vec<String> {
        complete_word(typed, &["exit"]).1
    }

    #[test]
    fn h2_tab_offers_technician_commands() {
        assert_eq!(completions_of("al"), ["alarm", "alarms"]);
        assert_eq!(completions_of("alarm "), ["clear"]);
        assert_eq!(completions_of("config r"), ["reload", "restore"]);
        assert_eq!(completions_of("log level w"), ["warn"]);
        assert_eq!(completions_of("enrol WS-1 k"), ["kinds="]);
        assert_eq!(completions_of("enrol WS-1 kinds=m"), ["kinds=monitor"]);
        assert_eq!(completions_of("enrol WS-1 kinds=cti k"), Vec::<String>::new());
        assert_eq!(completions_of("enrol WS-1 kinds=agent,sc"), ["kinds=agent,screen"]);
        assert_eq!(completions_of("enrol WS-1 kinds=agent,a"), Vec::<String>::new());
        assert_eq!(completions_of("config set box.t"), ["box.time_zone"]);
        assert_eq!(completions_of("config listen 0.0.0.0:7441 t"), ["tls"]);
        assert_eq!(completions_of("alarm clear 10"), ["102", "103"]);
        assert_eq!(completions_of("help log l"), ["level"]);
        assert_eq!(completions_of("ex"), ["exit"]);
        assert_eq!(completions_of("nonsense "), Vec::<String>::new());
        assert_eq!(complete_word("log level w", &[]).0, 10);
        // Commands for agents and feeds are not offered.
        assert!(!completions_of("").iter().any(|word| word == "blackout" || word == "call"));
    }
}
