//! Who may come in by what they know: one-time codes, and what guessing costs.
//!
//! A code lives in RAM only, for a quarter of an hour, for one use; a restart voids it. Only a
//! digest of its secret is kept, and digests are compared in constant time, all of them whichever
//! fits. Wrong guesses in a row lock the door for a minute, then two, then four, up to an hour; a
//! right one makes up for them. Whoever is locked out may try again afterwards with what is right.
//!
//! Nothing here makes random bits, signs anything, or knows who is connected.

use crate::limits;
use crate::time::{Mono, Wall};
use protocol::{Kind, OneTimeCode};

/// Counts wrong guesses of one secret, and locks.
#[derive(Debug, Default)]
pub struct Guesses {
    wrong: u32,
    locks: u32,
    locked_until: Mono,
}

impl Guesses {
    /// Whether nothing is to be compared now.
    #[must_use]
    pub fn locked(&self, now: Mono) -> bool {
        now < self.locked_until
    }

    /// Wrong guesses since the last right one, or the last lock.
    #[must_use]
    pub fn wrong_so_far(&self) -> u32 {
        self.wrong
    }

    /// A guess was wrong. `Some`: that locks the door for so many milliseconds.
    pub fn wrong(&mut self, now: Mono) -> Option<u64> {
        self.wrong += 1;
        if self.wrong < limits::GUESSES {
            return None;
        }
        let ms = limits::LOCK_MS.saturating_mul(1 << self.locks.min(16)).min(limits::LOCK_MS_MAX);
        self.locks += 1;
        self.wrong = 0;
        self.locked_until = now.after_ms(ms);
        Some(ms)
    }

    /// A guess was right.
    pub fn right(&mut self) {
        (self.wrong, self.locks) = (0, 0);
    }
}

/// For whom a code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    pub machine: String,
    /// What the workstation may say hello as.
    pub kinds: Vec<Kind>,
    /// The technician who gave the code.
    pub by: String,
    pub until: Mono,
}

/// What a workstation gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// It and the CA's, in PEM.
    pub chain: String,
    /// What the journal knows it by.
    pub digest: [u8; 32],
    pub until: Wall,
}

struct Pending {
    secret: blake3::Hash,
    pass: Pass,
}

/// The codes that were given and not used.
#[derive(Default)]
pub struct Codes {
    pending: Vec<Pending>,
    pub guesses: Guesses,
}

/// Why a code opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPass {
    /// Too many wrong ones; nothing was compared.
    Locked,
    /// Never given, used, replaced, or too old. `locks_ms`: and the door is locked now.
    Wrong { locks_ms: Option<u64> },
}

impl Codes {
    /// Keeps a code for its `pass`; an older one for the same machine is void. False: there are
    /// too many.
    #[must_use]
    pub fn give(&mut self, now: Mono, code: &OneTimeCode, pass: Pass) -> bool {
        self.void(&pass.machine);
        self.pending.retain(|pending| now < pending.pass.until);
        if self.pending.len() >= limits::CODES_MAX {
            return false;
        }
        let secret = blake3::hash(code.secret().as_bytes());
        self.pending.push(Pending { secret, pass });
        true
    }

    /// Forgets the code for a machine.
    pub fn void(&mut self, machine: &str) {
        self.pending.retain(|pending| !pending.pass.machine.eq_ignore_ascii_case(machine));
    }

    /// Uses a code up.
    ///
    /// # Errors
    /// See `NoPass`.
    pub fn take(&mut self, now: Mono, typed: &str) -> Result<(OneTimeCode, Pass), NoPass> {
        if self.guesses.locked(now) {
            return Err(NoPass::Locked);
        }
        self.pending.retain(|pending| now < pending.pass.until);
        let code = OneTimeCode::parse(typed);
        let secret = code.as_ref().map(|code| blake3::hash(code.secret().as_bytes()));
        let mut found = None;
        for (at, pending) in self.pending.iter().enumerate() {
            // Hashes of blake3 compare in constant time.
            if secret.is_some_and(|secret| secret == pending.secret) {
                found = Some(at);
            }
        }
        match (code, found) {
            (Some(code), Some(at)) => {
                self.guesses.right();
                Ok((code, self.pending.remove(at).pass))
            }
            _ => Err(NoPass::Wrong { locks_ms: self.guesses.wrong(now) }),
        }
    }
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Codes({})", self.pending.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: u64 = 60_000_000;

    fn code(number: u8) -> OneTimeCode {
        OneTimeCode::new([number; 8], [7; 10])
    }

    fn pass(machine: &str) -> Pass {
        let until = Mono(0).after_ms(limits::CODE_MS);
        Pass { machine: machine.into(), kinds: vec![Kind::Agent], by: "field".into(), until }
    }

    #[test]
    fn a_code_opens_once_and_for_a_quarter_of_an_hour() {
        let mut codes = Codes::default();
        assert!(codes.give(Mono(0), &code(1), pass("WS-1")));
        assert!(codes.give(Mono(0), &code(2), pass("WS-2")));
        let (_, found) = codes.take(Mono(1), &code(1).to_string().to_lowercase()).unwrap();
        assert_eq!(found.machine, "WS-1");
        let wrong = Err(NoPass::Wrong { locks_ms: None });
        assert_eq!(codes.take(Mono(2), &code(1).to_string()).map(|_| ()), wrong, "used");
        let late = Mono(15 * MINUTE_US);
        assert_eq!(codes.take(late, &code(2).to_string()).map(|_| ()), wrong, "too old");
        assert!(codes.give(Mono(0), &code(3), pass("WS-3")));
        assert!(codes.give(Mono(0), &code(4), pass("ws-3")));
        assert_eq!(codes.take(Mono(1), &code(3).to_string()).map(|_| ()), wrong, "replaced");
        assert!(
            codes.take(Mono(Mono(0).after_ms(limits::CODE_MS).0 - 1), &code(4).to_string()).is_ok()
        );
    }

    #[test]
    fn guessing_locks_for_longer_and_longer() {
        let mut codes = Codes::default();
        let mut now = Mono(0);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pass = Pass { until: now.after_ms(limits::CODE_MS), ..pass("WS-1") };
            assert!(codes.give(now, &code(1), pass));
            for guess in 1..=limits::GUESSES {
                let locks_ms = (guess == limits::GUESSES).then_some(minutes * 60_000);
                let wrong = Err(NoPass::Wrong { locks_ms });
                assert_eq!(codes.take(now, "guessed").map(|_| ()), wrong);
            }
            let locked = Mono(now.0 + minutes * MINUTE_US - 1);
            let right = code(1).to_string();
            assert_eq!(codes.take(locked, &right).map(|_| ()), Err(NoPass::Locked));
            now = Mono(locked.0 + 1);
        }
        assert!(codes.give(now, &code(5), Pass { until: now.after_ms(1), ..pass("WS-1") }));
        assert!(codes.take(now, &code(5).to_string()).is_ok(), "what is right opens again");
        assert_eq!(codes.guesses.wrong_so_far(), 0);
    }

    #[test]
    fn codes_are_bounded() {
        let mut codes = Codes::default();
        for number in 0..=limits::CODES_MAX {
            let given = codes.give(Mono(0), &code(1), pass(&format!("WS-{number}")));
            assert_eq!(given, number < limits::CODES_MAX);
        }
        let until = Mono(u64::MAX);
        let later = Mono(0).after_ms(limits::CODE_MS);
        assert!(codes.give(later, &code(1), Pass { until, ..pass("WS") }), "old ones make room");
    }
}
