//! Refusals: the frozen list of codes that follow `err`, and what a refusal carries.
//!
//! A code is one word with one meaning for ever; programs act on it. The text after it is for
//! people and says what to do next; it may change with any version. `Code::order` is the contract's
//! order of refusals: where several apply, the one with the lowest order answers.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $order:literal $word:literal $advice:literal;)+) => {
        /// Why a command was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code, as the contract lists them.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            /// The word on the wire.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Code::$name => $word,)+ }
            }

            /// The rank in the order of refusals; the lowest that applies answers.
            #[must_use]
            pub fn order(self) -> u8 {
                match self { $(Code::$name => $order,)+ }
            }

            /// What a person is told when nothing more exact is known.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Code::$name => $advice,)+ }
            }
        }
    };
}

codes! {
    /// Not a line of words, or no such command.
    BadCommand 2 "bad-command" "this is not a command; send help for a list";
    /// A command with wrong, missing or unknown arguments.
    BadArgument 4 "bad-argument" "an argument is wrong; send help and the command for its form";
    TooLong 0 "too-long" "a line has at most 1024 bytes with its end; send a shorter one";
    NotUtf8 1 "not-utf8" "lines are UTF-8 text; check the client's encoding";
    HelloFirst 3 "hello-first" "say hello first: hello KIND user=NAME";
    UnknownUser 5 "unknown-user" "no such user here; ask for this name to be set up on the box";
    DuplicateUser 5 "duplicate-user" "several users have this name; the box's log names them";
    NotEnrolled 5 "not-enrolled" "this workstation is not enrolled; ask a technician for a code";
    /// This session or this user may not do that.
    Denied 5 "denied" "not permitted; ask whoever gives out roles";
    NoCall 8 "no-call" "there is no call; try again during one";
    NotRecording 10 "not-recording" "nothing is being recorded; start a recording first";
    NotYours 10 "not-yours" "somebody else's recording; only they or record.stop-any may end it";
    NoSchedule 9 "no-schedule" "no on-demand schedule matches; ask for one";
    OnDemandOff 6 "on-demand-off" "on-demand recording is switched off on this box";
    DesktopDisabled 10 "desktop-disabled" "the screen of this workstation is not recorded";
    /// A field value with characters that are not taken.
    BadCharacters 11 "bad-characters" "without < > ! = + % and control characters, please";
    NoSuchField 7 "no-such-field" "there is no such field; they are 1 to 15";
    NoSuchRecord 7 "no-such-record" "there is no such recording; send records for a list";
    NoSuchDevice 7 "no-such-device" "there is no such device here; send channels for a list";
    NoSuchCall 7 "no-such-call" "there is no such call; send calls for a list";
    NoChannel 10 "no-channel" "no channel hears this device; tell a technician";
    Busy 12 "busy" "the box has its hands full; try again in a moment";
    DiskFull 12 "disk-full" "the disk is full; tell a technician";
    Storage 12 "storage" "the disk did not take it; tell a technician";
    Config 11 "config" "the configuration has errors and was not taken";
    Locked 5 "locked" "too many failed attempts; wait before trying again";
    TooMany 12 "too-many" "too many sessions or commands; close some and try again";
    ShuttingDown 12 "shutting-down" "the box is shutting down; connect again later";
}

impl Code {
    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.word() == word)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// What `err` says: a code for programs, a text for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Refusal {
    pub code: Code,
    /// What is wrong and what to do next; cut to 512 bytes when it is written. It may name what the
    /// client sent (a verb, a key, a number), so it is for the client, not for the log.
    pub text: String,
    /// The mask is in force although the command failed (`masked=yes`).
    pub masked: bool,
}

impl Refusal {
    /// A refusal with its own words.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into(), masked: false }
    }

    /// The same, saying that the mask is in force all the same.
    #[must_use]
    pub fn masked(mut self) -> Refusal {
        self.masked = true;
        self
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Refusal {
        Refusal::new(code, code.advice())
    }
}

/// The beginning of what somebody sent, short enough to be named in a refusal.
pub(crate) fn shorten(text: &str) -> &str {
    const SHOWN: usize = 40;
    text.char_indices().nth(SHOWN).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's list; a code may be added here, never changed or taken away.
    const FROZEN: &str = "bad-command bad-argument too-long not-utf8 hello-first unknown-user \
        duplicate-user not-enrolled denied no-call not-recording not-yours no-schedule \
        on-demand-off desktop-disabled bad-characters no-such-field no-such-record \
        no-such-device no-such-call no-channel busy disk-full storage config locked too-many \
        shutting-down";

    #[test]
    fn the_list_of_codes_is_frozen() {
        let words: Vec<&str> = Code::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(words.join(" "), FROZEN);
        for code in Code::ALL {
            assert_eq!(Code::parse(code.word()), Some(*code));
            assert!(code.advice().len() > 10, "{code} says nothing");
        }
        assert_eq!(Code::parse("Busy"), None);
    }

    #[test]
    fn refusals_apply_in_the_order_of_the_contract() {
        let order = "too-long not-utf8 bad-command hello-first bad-argument denied on-demand-off \
            no-such-field no-call no-schedule not-recording bad-characters busy";
        let ranks: Vec<u8> = order
            .split_whitespace()
            .map(|word| Code::parse(word).map_or(u8::MAX, Code::order))
            .collect();
        assert!(ranks.windows(2).all(|two| two[0] < two[1]), "{ranks:?}");
        assert_eq!(Code::NotRecording.order(), Code::NotYours.order());
        assert_eq!(Code::NoSuchCall.order(), Code::NoSuchRecord.order());
        assert_eq!(Code::Storage.order(), Code::DiskFull.order());
    }

    #[test]
    fn what_is_shown_of_a_line_is_short_and_whole_characters() {
        assert_eq!(shorten("abc"), "abc");
        assert_eq!(shorten(&"é".repeat(50)), "é".repeat(40));
    }
}
