//! Addresses of people: SIP and tel URIs, with or without a display name, as metadata has them.

use crate::personal::PersonalText;

/// The parts of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name, without quotes.
    pub display_name: Option<PersonalText>,
    /// The user part without parameters and escapes: a number without separators, or a name.
    pub user: Option<PersonalText>,
    /// The host without its port.
    pub host: Option<PersonalText>,
}

impl Address {
    /// Reads an address such as `"Anna" <sip:2001@example.com;user=phone>;tag=1`,
    /// `tel:+1-202-555-0123`, `2001@example.com` or `2001`. Every text gives an address; what it
    /// does not have is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Address {
        let (display_name, uri) = split_name_address(text.trim());
        let (scheme, rest) = split_scheme(uri);
        let (user, host) = match rest.split_once('@') {
            Some((user, host)) => (user, Some(host)),
            None if scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("tel")) => {
                ("", Some(rest))
            }
            None => (rest, None),
        };
        // A password and parameters of the user part say nothing about the person.
        let user = user.split([';', ':', '?']).next().unwrap_or_default();
        let user = without_separators(&without_escapes(user.trim()));
        let host = host.map(host_of).filter(|host| !host.is_empty());
        Address {
            display_name: display_name.filter(|name| !name.is_empty()).map(|n| n.as_str().into()),
            user: Some(user).filter(|user| !user.is_empty()).map(|user| user.as_str().into()),
            host: host.map(PersonalText::from),
        }
    }

    /// The user part.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(PersonalText::as_str)
    }
}

/// The display name and the URI of `Anna <sip:…>`, `"Anna \"A\"" <sip:…>` or a bare URI.
fn split_name_address(text: &str) -> (Option<String>, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return (Some(name), uri_in_brackets(&quoted[at + 1..])),
                '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
                _ => name.push(character),
            }
        }
        return (None, text);
    }
    match text.split_once('<') {
        Some((name, _)) => (Some(name.trim().to_owned()), uri_in_brackets(&text[name.len()..])),
        None => (None, text),
    }
}

/// The URI in the first angle brackets; without brackets, the text itself.
fn uri_in_brackets(text: &str) -> &str {
    let Some((_, rest)) = text.split_once('<') else { return text.trim() };
    rest.split_once('>').map_or(rest, |(uri, _)| uri).trim()
}

/// The scheme of a URI, if it is one that a telephone has, and the rest.
fn split_scheme(uri: &str) -> (Option<&str>, &str) {
    match uri.split_once(':') {
        Some((scheme, rest))
            if ["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) =>
        {
            (Some(scheme), rest)
        }
        _ => (None, uri),
    }
}

/// The host of `example.com:5060;user=phone`, also of `[2001:db8::1]:5060`.
fn host_of(text: &str) -> &str {
    let text = text.split([';', '?', '>']).next().unwrap_or_default().trim();
    if let Some(inside) = text.strip_prefix('[') {
        return inside.split(']').next().unwrap_or_default();
    }
    text.split(':').next().unwrap_or_default()
}

/// The text with `%41` read as `A`. An escape that is not UTF-8 or not hexadecimal stays.
fn without_escapes(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let is_hex = |hex: &&str| hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        match escaped.filter(is_hex).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    let readable = |text: &String| !text.chars().any(char::is_control);
    String::from_utf8(out).ok().filter(readable).unwrap_or_else(|| text.to_owned())
}

/// A telephone number without its visual separators (RFC 3966); any other text as it is.
fn without_separators(text: &str) -> String {
    let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')' | ' ');
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = digits.chars().any(|c| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || is_separator(c));
    if is_number { text.chars().filter(|c| !is_separator(*c)).collect() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_give_name_user_and_host() {
        let samples = [
            ("sip:2001@example.com", None, Some("2001"), Some("example.com")),
            ("sips:anna@example.com:5061;x=1", None, Some("anna"), Some("example.com")),
            (
                "SIP:+12025550123@192.0.2.1;user=phone",
                None,
                Some("+12025550123"),
                Some("192.0.2.1"),
            ),
            ("tel:+1-202-555-0123;ext=4", None, Some("+12025550123"), None),
            ("1056@192.0.2.1", None, Some("1056"), Some("192.0.2.1")),
            ("anna.b-c@example.com", None, Some("anna.b-c"), Some("example.com")),
            ("2001", None, Some("2001"), None),
            ("sip:@example.com", None, None, Some("example.com")),
            ("sip:example.com", None, None, Some("example.com")),
            ("sip:2001:secret@[2001:db8::1]:5060", None, Some("2001"), Some("2001:db8::1")),
            ("sip:+1202;npdi=yes@example.com", None, Some("+1202"), Some("example.com")),
            ("sip:%2A21%23@example.com", None, Some("*21#"), Some("example.com")),
            ("sip:50%@example.com", None, Some("50%"), Some("example.com")),
            ("sip:a%ffb@example.com", None, Some("a%ffb"), Some("example.com")),
            (
                "\"Anna \\\"Ann\\\" <B>\" <sip:2001@example.com>;tag=1",
                Some("Anna \"Ann\" <B>"),
                Some("2001"),
                Some("example.com"),
            ),
            ("Anna B <sip:2001@example.com", Some("Anna B"), Some("2001"), Some("example.com")),
            ("<sip:2001@example.com>", None, Some("2001"), Some("example.com")),
            ("", None, None, None),
        ];
        for (text, name, user, host) in samples {
            let address = Address::parse(text);
            let text_of =
                |part: &Option<PersonalText>| part.as_ref().map(|p| p.as_str().to_owned());
            assert_eq!(text_of(&address.display_name).as_deref(), name, "{text}");
            assert_eq!(text_of(&address.user).as_deref(), user, "{text}");
            assert_eq!(text_of(&address.host).as_deref(), host, "{text}");
        }
    }

    #[test]
    fn debug_output_shows_no_number() {
        let shown = format!("{:?}", Address::parse("\"Anna\" <sip:2001@example.com>"));
        for word in ["2001", "Anna", "example"] {
            assert!(!shown.contains(word), "{shown}");
        }
    }
}
