//! Refusals: the frozen list of codes that follow `err`, and the contents of a refusal.
//!
//! A code never changes its meaning, because programs act on it. The text after it says what to do
//! next. The text is for users and may change with any version. Where several refusals apply, the
//! box answers with the one that is first in the contract's order (`Code::order`).

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $order:literal $word:literal $advice:literal;)+) => {
        /// Why a command was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code, as the contract lists them.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            /// The code as it is written in an `err` line.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $word,)+ }
            }

            /// The rank in the contract's order of refusals, lowest first.
            #[must_use]
            pub fn order(self) -> u8 {
                match self { $(Code::$name => $order,)+ }
            }

            /// The text for users, where the box has no more specific one.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Code::$name => $advice,)+ }
            }
        }
    };
}

codes! {
    /// The line is malformed, or there is no such command.
    BadCommand 2 "bad-command" "this is not a command; send help for a list";
    /// An argument is invalid, missing or unknown.
    BadArgument 4 "bad-argument" "an argument is invalid; send help and the command's name";
    TooLong 0 "too-long" "the line is longer than 1024 bytes; send a shorter one";
    NotUtf8 1 "not-utf8" "the line is not UTF-8; check the client's encoding";
    HelloFirst 3 "hello-first" "send hello first: hello KIND user=NAME";
    UnknownUser 5 "unknown-user" "the box has no such user; ask an administrator to add the name";
    DuplicateUser 5 "duplicate-user" "several users have this name; the box's log names them";
    NotEnrolled 5 "not-enrolled" "this workstation is not enrolled; ask a technician for a code";
    /// This session or this user has no permission for the command.
    Denied 5 "denied" "not permitted; ask an administrator for the permission";
    NoCall 8 "no-call" "there is no call; try again during a call";
    NotRecording 10 "not-recording" "the call is not being recorded; start a recording first";
    NotYours 10 "not-yours" "another user started it; only that user or record.stop-any may end it";
    NoSchedule 9 "no-schedule" "no on-demand schedule matches; ask an administrator for one";
    OnDemandOff 6 "on-demand-off" "on-demand recording is switched off on this box";
    DesktopDisabled 10 "desktop-disabled" "the screen of this workstation is not recorded";
    /// A field value contains a character that is not allowed.
    BadCharacters 11 "bad-characters" "the value contains < > ! = + % or a control character";
    NoSuchField 7 "no-such-field" "there is no such field; they are 1 to 15";
    NoSuchRecord 7 "no-such-record" "there is no such recording; send records for a list";
    NoSuchDevice 7 "no-such-device" "there is no such device here; send channels for a list";
    NoSuchCall 7 "no-such-call" "there is no such call; send calls for a list";
    NoChannel 10 "no-channel" "no channel is connected to this device; tell a technician";
    Busy 12 "busy" "the box is busy; try again in a moment";
    DiskFull 12 "disk-full" "the disk is full; tell a technician";
    Storage 12 "storage" "the disk could not store it; tell a technician";
    Config 11 "config" "the configuration has errors and was not loaded; correct it first";
    Locked 5 "locked" "too many failed attempts; wait before trying again";
    TooMany 12 "too-many" "too many sessions or commands; close some and try again";
    ShuttingDown 12 "shutting-down" "the box is shutting down; connect again later";
}

impl Code {
    /// Parses a code; `None` for an unknown word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The contents of an `err` line: a code for programs and a text for users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Refusal {
    pub code: Code,
    /// What is wrong and what to do next. It is truncated to 512 bytes when it is written. It may
    /// repeat what the client sent (a verb, a key, a number), so do not log it.
    pub text: String,
    /// Whether the call is masked although the command failed (`masked=yes`).
    pub masked: bool,
}

impl Refusal {
    /// A refusal with a specific text.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into(), masked: false }
    }

    /// Adds that the call is masked although the command failed.
    #[must_use]
    pub fn with_masked(mut self) -> Refusal {
        self.masked = true;
        self
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Refusal {
        Refusal::new(code, code.advice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's list. Codes may be added, but never changed or removed.
    const FROZEN: &str = "bad-command bad-argument too-long not-utf8 hello-first unknown-user \
        duplicate-user not-enrolled denied no-call not-recording not-yours no-schedule \
        on-demand-off desktop-disabled bad-characters no-such-field no-such-record \
        no-such-device no-such-call no-channel busy disk-full storage config locked too-many \
        shutting-down";

    #[test]
    fn the_list_of_codes_is_frozen() {
        let words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.join(" "), FROZEN);
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert!(code.advice().len() > 10, "{code} has no advice");
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
}
