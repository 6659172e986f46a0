//! Small functions that format texts for the agent.
//!
//! They know nothing of the client's state.

/// Formats a text as a sentence: with a capital letter and a full stop.
#[must_use]
pub fn to_sentence(text: &str) -> String {
    let mut sentence = capitalize_first(text);
    sentence.push('.');
    sentence
}

/// Formats a text as a heading: with a capital letter and without a full stop.
#[must_use]
pub fn capitalize_first(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", chars.as_str())
}

/// Formats a length of time in minutes and seconds, such as `1:05`.
#[must_use]
pub fn format_minutes(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1000 % 60)
}

/// Formats the reasons of a recording, a list such as `agent,schedule`, for the agent.
#[must_use]
pub fn format_reasons(reasons: &str) -> String {
    let names = reasons.split(',').map(|reason| match reason {
        "agent" => "you",
        "schedule" => "the schedule",
        "supervisor" => "a supervisor",
        "api" => "a program",
        other => other,
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_sentences_and_headings() {
        assert_eq!(to_sentence(" no route to host."), "No route to host.");
        assert_eq!(capitalize_first("élan"), "Élan");
        assert_eq!((to_sentence(""), format_minutes(65_999)), (".".to_owned(), "1:05".to_owned()));
        assert_eq!(format_reasons("agent,schedule"), "you, the schedule");
    }
}
