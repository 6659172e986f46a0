//! Arguments: which ones a command has, and the check of one line against them.
//!
//! An `Arg` is a positional word or a `key=value`, with a type that limits the value. `Args::bind`
//! makes every check of `bad-argument`: the number of words, unknown, repeated and missing keys,
//! and types. An accepted value has no control characters and at most the length of its type. The
//! value of `update` may have control characters; the box checks it later (`bad-characters`).
//!
//! This module checks the form of an argument, never whether the named thing exists.

use crate::code::{Code, Refusal};
use crate::kind::{Direction, Kind, Level, MediaPart, Purpose};
use crate::line::Word;
use crate::text::excerpt;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a name or label: user, domain, machine, client, device.
pub const NAME_BYTES: usize = 32;
/// The most bytes of a call id: SIP's are long.
pub const CALL_BYTES: usize = 256;
/// The most bytes of a telephone number, group or gate: a SIP address fits.
pub const DETAIL_BYTES: usize = 128;
/// The most bytes of a user-defined field's value.
pub const VALUE_BYTES: usize = 256;
/// The most bytes of a PIN, an enrolment code or a time.
pub const WORD_BYTES: usize = 64;

/// The configuration keys that `config set` accepts.
pub const SETTINGS: [&str; 2] = ["box.name", "box.time_zone"];
/// How the box listens at an address: without TLS, with TLS, or not at all.
pub const LISTEN_MODES: [&str; 3] = ["plain", "tls", "off"];

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgType {
    /// A name: 1 to `NAME_BYTES` bytes, not `-`.
    Name,
    /// A call id: 1 to `CALL_BYTES` bytes, not `-`.
    Call,
    /// A telephone number, group or gate: at most `DETAIL_BYTES` bytes. Empty or `-`: unknown.
    NameOrUnknown,
    /// A PIN, an enrolment code or a time: 1 to `WORD_BYTES` bytes.
    Word,
    /// A command, or its first word.
    Verb,
    /// 0 to 255.
    U8,
    /// 0 to 4294967295.
    U32,
    /// 0 to 18446744073709551615.
    U64,
    /// The value of a user-defined field: at most `VALUE_BYTES` bytes of any text.
    Value,
    /// `in` or `out`.
    Direction,
    /// A kind of session.
    Kind,
    /// One or more kinds of session, comma separated.
    Kinds,
    /// `on` or `off`.
    OnOff,
    /// A log level.
    Level,
    /// The word `portal`.
    Portal,
    /// The word `yes`.
    Yes,
    /// A configuration key of `SETTINGS`.
    Setting,
    /// One of `LISTEN_MODES`.
    ListenMode,
    /// `play` or `export`.
    Purpose,
    /// `sound` or `screen`.
    MediaPart,
}

impl ArgType {
    /// A description of the allowed values, for users.
    #[must_use]
    pub fn allowed(self) -> &'static str {
        match self {
            ArgType::Name => "1 to 32 bytes, no control characters, not -",
            ArgType::Call => "1 to 256 bytes, no control characters, not -",
            ArgType::NameOrUnknown => "at most 128 bytes, no control characters",
            ArgType::Word => "1 to 64 bytes, no control characters",
            ArgType::Verb => "a command; send help for a list",
            ArgType::U8 => "a plain number up to 255",
            ArgType::U32 => "a plain number up to 4294967295",
            ArgType::U64 => "a plain number up to 18446744073709551615",
            ArgType::Value => "at most 256 bytes",
            ArgType::Direction => "in or out",
            ArgType::Kind => "agent, screen, cti, supervisor, technician or monitor",
            ArgType::Kinds => "some of agent, screen, cti, supervisor, technician, monitor",
            ArgType::OnOff => "on or off",
            ArgType::Level => "error, warn, info, debug or trace",
            ArgType::Portal => "portal",
            ArgType::Yes => "yes",
            ArgType::Setting => "box.name or box.time_zone",
            ArgType::ListenMode => "plain, tls or off",
            ArgType::Purpose => "play or export",
            ArgType::MediaPart => "sound or screen",
        }
    }

    /// Whether a value may contain personal data.
    fn is_free_text(self) -> bool {
        use ArgType::{Call, Name, NameOrUnknown, Value, Word};
        matches!(self, Name | Call | NameOrUnknown | Word | Value)
    }

    pub(crate) fn accepts(self, value: &str) -> bool {
        let plain = !value.chars().any(char::is_control);
        let within = |limit: usize| (1..=limit).contains(&value.len()) && plain;
        match self {
            ArgType::Name => within(NAME_BYTES) && value != "-",
            ArgType::Call => within(CALL_BYTES) && value != "-",
            ArgType::NameOrUnknown => value.len() <= DETAIL_BYTES && plain,
            ArgType::Word | ArgType::Verb => within(WORD_BYTES),
            ArgType::U8 => parse_number::<u8>(value).is_some(),
            ArgType::U32 => parse_number::<u32>(value).is_some(),
            ArgType::U64 => parse_number::<u64>(value).is_some(),
            ArgType::Value => value.len() <= VALUE_BYTES,
            ArgType::Direction => Direction::parse(value).is_some(),
            ArgType::Kind => Kind::parse(value).is_some(),
            ArgType::Kinds => value.split(',').all(|word| Kind::parse(word).is_some()),
            ArgType::OnOff => matches!(value, "on" | "off"),
            ArgType::Level => Level::parse(value).is_some(),
            ArgType::Portal => value == "portal",
            ArgType::Yes => value == "yes",
            ArgType::Setting => SETTINGS.contains(&value),
            ArgType::ListenMode => LISTEN_MODES.contains(&value),
            ArgType::Purpose => Purpose::parse(value).is_some(),
            ArgType::MediaPart => MediaPart::parse(value).is_some(),
        }
    }
}

/// One argument of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The key, or the placeholder of a positional word (`N`, `ID`).
    pub name: &'static str,
    /// The placeholder of the value in the usage line.
    pub placeholder: &'static str,
    pub value_type: ArgType,
    /// Whether it is written `key=value`.
    pub keyed: bool,
    pub required: bool,
}

/// A required positional word.
pub(crate) const fn positional(name: &'static str, value_type: ArgType) -> Arg {
    Arg { name, placeholder: name, value_type, keyed: false, required: true }
}

/// A required `key=value`.
pub(crate) const fn keyed(
    name: &'static str,
    placeholder: &'static str,
    value_type: ArgType,
) -> Arg {
    Arg { name, placeholder, value_type, keyed: true, required: true }
}

impl Arg {
    /// Makes the argument optional.
    pub(crate) const fn optional(mut self) -> Arg {
        self.required = false;
        self
    }
}

impl fmt::Display for Arg {
    /// Writes the form of a usage line: `device=D`, `[lead_ms=N]`, `"VALUE"`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.required { ("", "") } else { ("[", "]") };
        match (self.keyed, self.value_type) {
            (true, _) => write!(out, "{open}{}={}{close}", self.name, self.placeholder),
            (false, ArgType::Value) => write!(out, "{open}\"{}\"{close}", self.placeholder),
            (false, _) => write!(out, "{open}{}{close}", self.placeholder),
        }
    }
}

/// Parses digits without a sign, a decimal point or a leading zero.
fn parse_number<N: FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Prints the usage line of a command: its verb and its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub(crate) verb: &'static str,
    pub(crate) args: &'static [Arg],
}

impl Usage {
    pub(crate) fn find_key(self, name: &str) -> Option<&'static Arg> {
        self.args.iter().find(|arg| arg.keyed && arg.name == name)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.verb)?;
        self.args.iter().try_for_each(|arg| write!(out, " {arg}"))
    }
}

/// The arguments of one line, checked against the usage of the command.
#[derive(Clone, Debug)]
pub struct Args<'a> {
    usage: Usage,
    values: Vec<(&'static Arg, Cow<'a, str>)>,
}

impl<'a> Args<'a> {
    /// Checks the words after the verb. Every failed check is `bad-argument`.
    pub(crate) fn bind(
        usage: Usage,
        words: impl Iterator<Item = Word<'a>>,
    ) -> Result<Args<'a>, Refusal> {
        let mut args = Args { usage, values: Vec::new() };
        let mut positional = usage.args.iter().filter(|arg| !arg.keyed);
        for word in words {
            let (arg, value) = match word {
                Word::Pair { key, value } => {
                    (usage.find_key(key).ok_or_else(|| args.refuse_key(key)), value)
                }
                Word::Bare(word) => (args.or_surplus(positional.next()), Cow::Borrowed(word)),
                Word::Quoted(word) => (args.or_surplus(positional.next()), word),
            };
            let arg = arg?;
            if args.values.iter().any(|(given, _)| given.name == arg.name) {
                return Err(args.refuse(format!("{}= is given twice; give it once", arg.name)));
            }
            if !arg.value_type.accepts(&value) {
                return Err(args.refuse_value(arg, &value));
            }
            args.values.push((arg, value));
        }
        match usage.args.iter().find(|arg| arg.required && !args.has(arg.name)) {
            Some(arg) => Err(args.refuse_missing(arg.name)),
            None => Ok(args),
        }
    }

    /// Arguments whose values are known to be good; `None` if a required one is missing.
    pub(crate) fn from_values(
        usage: Usage,
        values: Vec<(&'static Arg, Cow<'a, str>)>,
    ) -> Option<Args<'a>> {
        let args = Args { usage, values };
        usage.args.iter().all(|arg| !arg.required || args.has(arg.name)).then_some(args)
    }

    /// Takes a required text.
    pub(crate) fn take_required(&mut self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        self.take_optional(name).ok_or_else(|| self.refuse_missing(name))
    }

    /// Takes an optional text.
    pub(crate) fn take_optional(&mut self, name: &str) -> Option<Cow<'a, str>> {
        debug_assert!(self.usage.args.iter().any(|arg| arg.name == name), "no argument {name}");
        let index = self.values.iter().position(|(arg, _)| arg.name == name)?;
        Some(self.values.swap_remove(index).1)
    }

    /// Takes an optional text where `-` means unknown, as the empty text does.
    pub(crate) fn take_or_unknown(&mut self, name: &str) -> Option<Cow<'a, str>> {
        self.take_optional(name).map(|value| if value == "-" { Cow::Borrowed("") } else { value })
    }

    /// Takes a required value and parses it.
    pub(crate) fn parse_required<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Refusal> {
        self.parse_optional(name, parse)?.ok_or_else(|| self.refuse_missing(name))
    }

    /// Takes an optional value and parses it.
    pub(crate) fn parse_optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take_optional(name) else { return Ok(None) };
        parse(&value).map(Some).ok_or_else(|| self.refuse(format!("{name} has an invalid value")))
    }

    /// Takes a required number.
    pub(crate) fn required_number<N: FromStr>(&mut self, name: &str) -> Result<N, Refusal> {
        self.parse_required(name, parse_number)
    }

    /// Takes an optional number.
    pub(crate) fn optional_number<N: FromStr>(&mut self, name: &str) -> Result<Option<N>, Refusal> {
        self.parse_optional(name, parse_number)
    }

    fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(arg, _)| arg.name == name)
    }

    fn or_surplus(&self, arg: Option<&'static Arg>) -> Result<&'static Arg, Refusal> {
        arg.ok_or_else(|| self.refuse("one word too many; put text with spaces in \"quotes\""))
    }

    /// Free text is not repeated in the refusal: it may be a telephone number, a PIN or another
    /// secret.
    fn refuse_value(&self, arg: &Arg, value: &str) -> Refusal {
        let (name, allowed) = (arg.name, arg.value_type.allowed());
        if arg.value_type.is_free_text() {
            let bytes = value.len();
            return self
                .refuse(format!("{name} with {bytes} bytes is not valid; allowed: {allowed}"));
        }
        let shown = excerpt(value);
        let shown = shown.escape_debug();
        self.refuse(format!("{name} is \"{shown}\"; allowed: {allowed}"))
    }

    fn refuse_key(&self, found: &str) -> Refusal {
        let keys = self.usage.args.iter().filter(|arg| arg.keyed).map(|arg| arg.name);
        let keys = keys.collect::<Vec<_>>().join(", ");
        let found = excerpt(found);
        if keys.is_empty() {
            return self.refuse(format!("there is no key {found}=; this command has no keys"));
        }
        self.refuse(format!("there is no key {found}=; allowed: {keys}"))
    }

    fn refuse_missing(&self, name: &str) -> Refusal {
        let keyed = self.usage.find_key(name).is_some();
        self.refuse(format!("{name}{} is missing", if keyed { "=" } else { "" }))
    }

    /// A `bad-argument` whose text ends with the usage line.
    pub(crate) fn refuse(&self, why: impl fmt::Display) -> Refusal {
        Refusal::new(Code::BadArgument, format!("{why}. Usage: {}", self.usage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_digits() {
        assert_eq!((parse_number::<u8>("0"), parse_number::<u8>("255")), (Some(0), Some(255)));
        for bad in ["", "256", "-1", "+1", "01", "00", "1.0", " 1", "1e2", "x"] {
            assert_eq!(parse_number::<u8>(bad), None, "{bad}");
        }
    }

    #[test]
    fn types_limit_the_values_they_accept() {
        let long = |n: usize| "x".repeat(n);
        let cases = [
            (ArgType::Name, NAME_BYTES, false),
            (ArgType::Call, CALL_BYTES, false),
            (ArgType::NameOrUnknown, DETAIL_BYTES, true),
            (ArgType::Word, WORD_BYTES, false),
            (ArgType::Value, VALUE_BYTES, true),
        ];
        for (arg_type, limit, empty) in cases {
            let at_limit = arg_type.accepts(&long(limit));
            assert!(at_limit && !arg_type.accepts(&long(limit + 1)), "{arg_type:?}");
            assert_eq!(arg_type.accepts(""), empty, "{arg_type:?}");
            assert_eq!(arg_type.accepts("a\u{7}"), arg_type == ArgType::Value, "{arg_type:?}");
        }
        assert!(!ArgType::Name.accepts("-") && !ArgType::Call.accepts("-"));
        assert!(ArgType::NameOrUnknown.accepts("-"));
        assert!(ArgType::Kinds.accepts("agent,screen") && !ArgType::Kinds.accepts("agent,"));
        assert!(ArgType::OnOff.accepts("off") && !ArgType::OnOff.accepts("OFF"));
    }
}
