//! Arguments: what a command takes, and the check of one line against it.
//!
//! An `Arg` is a positional word or a `key=value`, with a type that bounds it. `Args::bind` applies
//! the whole of `bad-argument`: arity, unknown and repeated keys, missing ones, types. Values that
//! have passed are never longer than their type allows and hold no control characters, but for the
//! value of `update`, which the box judges later (`bad-characters`).
//!
//! This module knows the form of an argument, never whether what it names exists.

use crate::code::{Code, Refusal, shorten};
use crate::kind::{Direction, Kind, Level, Part, Purpose};
use crate::line::Word;
use crate::table::Entry;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a name or label: user, domain, machine, client, device, group, gate.
pub const NAME_BYTES: usize = 32;
/// The most bytes of a call id.
pub const CALL_BYTES: usize = 64;
/// The most bytes of a user-defined field's value.
pub const VALUE_BYTES: usize = 256;
/// The most bytes of a PIN, a one-time code or a time.
pub const WORD_BYTES: usize = 64;

/// Keys of the configuration that can be set from a console.
pub const SETTINGS: [&str; 2] = ["box.name", "box.time_zone"];
/// How an address is served, or not any more.
pub const DOORS: [&str; 3] = ["plain", "tls", "off"];

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A name of something, 1 to `NAME_BYTES` bytes, not `-`.
    Name,
    /// A call id, 1 to `CALL_BYTES` bytes, not `-`.
    Call,
    /// A telephone number, group or gate, at most `NAME_BYTES` bytes; empty or `-`: not known.
    Known,
    /// A PIN, a one-time code or a moment, 1 to `WORD_BYTES` bytes.
    Word,
    /// A verb, or the first word of one.
    Verb,
    /// 0 to 255.
    U8,
    /// 0 to 4294967295.
    U32,
    /// 0 to 18446744073709551615.
    U64,
    /// A field's value, at most `VALUE_BYTES` bytes of anything.
    Value,
    Direction,
    Kind,
    /// Kinds, comma separated, at least one.
    Kinds,
    OnOff,
    Level,
    /// The word `portal`.
    Portal,
    /// A key that can be set from a console.
    Setting,
    /// How an address is served.
    Door,
    /// `play` or `export`.
    Purpose,
    /// `sound` or `screen`.
    Part,
}

impl Type {
    /// What is allowed, for people.
    #[must_use]
    pub fn allowed(self) -> &'static str {
        match self {
            Type::Name => "1 to 32 bytes, no control characters, not -",
            Type::Call => "1 to 64 bytes, no control characters, not -",
            Type::Known => "at most 32 bytes, no control characters",
            Type::Word => "1 to 64 bytes, no control characters",
            Type::Verb => "a command, see help",
            Type::U8 => "a plain number up to 255",
            Type::U32 => "a plain number up to 4294967295",
            Type::U64 => "a plain number up to 18446744073709551615",
            Type::Value => "at most 256 bytes",
            Type::Direction => "in or out",
            Type::Kind => "agent, screen, cti, supervisor, technician or monitor",
            Type::Kinds => "some of agent, screen, cti, supervisor, technician, monitor",
            Type::OnOff => "on or off",
            Type::Level => "error, warn, info, debug or trace",
            Type::Portal => "portal",
            Type::Setting => "box.name or box.time_zone",
            Type::Door => "plain, tls or off",
            Type::Purpose => "play or export",
            Type::Part => "sound or screen",
        }
    }

    /// Whether it may hold personal facts.
    fn is_free(self) -> bool {
        matches!(self, Type::Name | Type::Call | Type::Known | Type::Word | Type::Value)
    }

    fn takes(self, value: &str) -> bool {
        let plain = !value.chars().any(char::is_control);
        let within = |limit: usize| (1..=limit).contains(&value.len()) && plain;
        match self {
            Type::Name => within(NAME_BYTES) && value != "-",
            Type::Call => within(CALL_BYTES) && value != "-",
            Type::Known => value.len() <= NAME_BYTES && plain,
            Type::Word | Type::Verb => within(WORD_BYTES),
            Type::U8 => number::<u8>(value).is_some(),
            Type::U32 => number::<u32>(value).is_some(),
            Type::U64 => number::<u64>(value).is_some(),
            Type::Value => value.len() <= VALUE_BYTES,
            Type::Direction => Direction::parse(value).is_some(),
            Type::Kind => Kind::parse(value).is_some(),
            Type::Kinds => value.split(',').all(|word| Kind::parse(word).is_some()),
            Type::OnOff => matches!(value, "on" | "off"),
            Type::Level => Level::parse(value).is_some(),
            Type::Portal => value == "portal",
            Type::Setting => SETTINGS.contains(&value),
            Type::Door => DOORS.contains(&value),
            Type::Purpose => Purpose::parse(value).is_some(),
            Type::Part => Part::parse(value).is_some(),
        }
    }
}

/// One argument of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The key, or what a positional word stands for (`N`, `ID`).
    pub name: &'static str,
    /// What the usage shows for the value.
    pub shown: &'static str,
    pub of: Type,
    pub keyed: bool,
    pub required: bool,
}

/// A positional word that must be there.
pub(crate) const fn word(name: &'static str, of: Type) -> Arg {
    Arg { name, shown: name, of, keyed: false, required: true }
}

/// A key that must be there.
pub(crate) const fn key(name: &'static str, shown: &'static str, of: Type) -> Arg {
    Arg { name, shown, of, keyed: true, required: true }
}

impl Arg {
    /// The same, but it may be left out.
    pub(crate) const fn optional(mut self) -> Arg {
        self.required = false;
        self
    }
}

impl fmt::Display for Arg {
    /// As in a usage line: `device=D`, `[lead_ms=N]`, `"VALUE"`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.required { ("", "") } else { ("[", "]") };
        match (self.keyed, self.of) {
            (true, _) => write!(out, "{open}{}={}{close}", self.name, self.shown),
            (false, Type::Value) => write!(out, "{open}\"{}\"{close}", self.shown),
            (false, _) => write!(out, "{open}{}{close}", self.shown),
        }
    }
}

/// Digits without a sign, a point or a leading zero.
fn number<N: FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// The arguments of one line, checked against their entry.
#[derive(Clone, Debug)]
pub struct Args<'a> {
    entry: &'static Entry,
    values: Vec<(&'static Arg, Cow<'a, str>)>,
}

impl<'a> Args<'a> {
    /// Checks the words after the verb; whatever is wrong with them is `bad-argument`.
    pub(crate) fn bind(
        entry: &'static Entry,
        words: impl Iterator<Item = Word<'a>>,
    ) -> Result<Args<'a>, Refusal> {
        let mut args = Args { entry, values: Vec::new() };
        let mut positional = entry.args.iter().filter(|arg| !arg.keyed);
        for word in words {
            let (arg, value) = match word {
                Word::Pair { key, value } => {
                    (entry.key(key).ok_or_else(|| args.unknown(key)), value)
                }
                Word::Bare(word) => (args.next(positional.next()), Cow::Borrowed(word)),
                Word::Quoted(word) => (args.next(positional.next()), word),
            };
            let arg = arg?;
            if args.values.iter().any(|(given, _)| given.name == arg.name) {
                return Err(args.bad(format!("{}= is given twice", arg.name)));
            }
            if !arg.of.takes(&value) {
                return Err(args.wrong(arg, &value));
            }
            args.values.push((arg, value));
        }
        match entry.args.iter().find(|arg| arg.required && !args.has(arg.name)) {
            Some(arg) => Err(args.missing(arg.name)),
            None => Ok(args),
        }
    }

    /// A required text.
    pub(crate) fn need(&mut self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        self.maybe(name).ok_or_else(|| self.missing(name))
    }

    /// An optional text.
    pub(crate) fn maybe(&mut self, name: &str) -> Option<Cow<'a, str>> {
        debug_assert!(self.entry.args.iter().any(|arg| arg.name == name), "{name} is no argument");
        let index = self.values.iter().position(|(arg, _)| arg.name == name)?;
        Some(self.values.swap_remove(index).1)
    }

    /// An optional text where `-` means the same as empty: not known.
    pub(crate) fn known(&mut self, name: &str) -> Option<Cow<'a, str>> {
        self.maybe(name).map(|value| if value == "-" { Cow::Borrowed("") } else { value })
    }

    /// A required value of a type with `parse`.
    pub(crate) fn need_as<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Refusal> {
        self.maybe_as(name, parse)?.ok_or_else(|| self.missing(name))
    }

    /// An optional value of a type with `parse`.
    pub(crate) fn maybe_as<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.maybe(name) else { return Ok(None) };
        parse(&value).map(Some).ok_or_else(|| self.bad(format!("{name} is not understood")))
    }

    /// A required number.
    pub(crate) fn number<N: FromStr>(&mut self, name: &str) -> Result<N, Refusal> {
        self.need_as(name, number)
    }

    /// An optional number.
    pub(crate) fn maybe_number<N: FromStr>(&mut self, name: &str) -> Result<Option<N>, Refusal> {
        self.maybe_as(name, number)
    }

    fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(arg, _)| arg.name == name)
    }

    fn next(&self, arg: Option<&'static Arg>) -> Result<&'static Arg, Refusal> {
        arg.ok_or_else(|| self.bad("one word too many; put text with spaces in \"quotes\""))
    }

    /// Free text is never quoted back: it may be a number, a PIN, or what a caller said.
    fn wrong(&self, arg: &Arg, value: &str) -> Refusal {
        let (name, allowed) = (arg.name, arg.of.allowed());
        if arg.of.is_free() {
            let bytes = value.len();
            return self.bad(format!("{name} with {bytes} bytes is not taken; allowed: {allowed}"));
        }
        let shown = shorten(value).escape_debug();
        self.bad(format!("{name} is \"{shown}\"; allowed: {allowed}"))
    }

    fn unknown(&self, found: &str) -> Refusal {
        let keys = self.entry.args.iter().filter(|arg| arg.keyed).map(|arg| arg.name);
        let keys = keys.collect::<Vec<_>>().join(", ");
        let found = shorten(found);
        if keys.is_empty() {
            return self.bad(format!("there is no key {found}=; none is allowed here"));
        }
        self.bad(format!("there is no key {found}=; allowed: {keys}"))
    }

    fn missing(&self, name: &str) -> Refusal {
        let keyed = self.entry.args.iter().any(|arg| arg.name == name && arg.keyed);
        self.bad(format!("{name}{} is missing", if keyed { "=" } else { "" }))
    }

    /// A `bad-argument` that ends with the command's usage.
    pub(crate) fn bad(&self, why: impl fmt::Display) -> Refusal {
        Refusal::new(Code::BadArgument, format!("{why}. Usage: {}", self.entry.usage()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_digits_only() {
        assert_eq!((number::<u8>("0"), number::<u8>("255")), (Some(0), Some(255)));
        for bad in ["", "256", "-1", "+1", "01", "00", "1.0", " 1", "1e2", "x"] {
            assert_eq!(number::<u8>(bad), None, "{bad}");
        }
    }

    #[test]
    fn types_bound_what_they_take() {
        let long = |n: usize| "x".repeat(n);
        let cases = [
            (Type::Name, NAME_BYTES, false),
            (Type::Call, CALL_BYTES, false),
            (Type::Known, NAME_BYTES, true),
            (Type::Word, WORD_BYTES, false),
            (Type::Value, VALUE_BYTES, true),
        ];
        for (of, limit, empty) in cases {
            assert!(of.takes(&long(limit)) && !of.takes(&long(limit + 1)), "{of:?}");
            assert_eq!(of.takes(""), empty, "{of:?}");
            assert_eq!(of.takes("a\u{7}"), of == Type::Value, "{of:?}");
        }
        assert!(!Type::Name.takes("-") && !Type::Call.takes("-") && Type::Known.takes("-"));
        assert!(Type::Kinds.takes("agent,screen") && !Type::Kinds.takes("agent,"));
        assert!(Type::OnOff.takes("off") && !Type::OnOff.takes("OFF"));
    }
}
