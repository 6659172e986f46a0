//! Who may come in by what they know: one-time codes, and what guessing costs.
//!
//! A code lives in RAM only, for a quarter of an hour, for one use; a restart voids it. Only a
//! digest of its secret is kept, and digests are compared in constant time, all of them whichever
//! fits. Wrong guesses in a row lock the door for a minute, then two, then four, up to an hour; a
//! right one makes up for them. Whoever is locked out may try again afterwards with what is right.
//!
//! Nothing here makes random bits, signs anything, or knows who is connected.

use crate::limits;
use crate::time::{MonoTime, WallTime};
use protocol::{Kind, OneTimeCode};

/// Counts wrong guesses of one secret, and locks.
#[derive(Debug, Default)]
pub struct Lockout {
    failures: u32,
    lock_count: u32,
    locked_until: MonoTime,
}

impl Lockout {
    /// Whether nothing is to be compared now.
    #[must_use]
    pub fn is_locked(&self, now: MonoTime) -> bool {
        now < self.locked_until
    }

    /// Wrong guesses since the last right one, or the last lock.
    #[must_use]
    pub fn failure_count(&self) -> u32 {
        self.failures
    }

    /// A guess was wrong. `Some`: that locks the door for so many milliseconds.
    pub fn record_failure(&mut self, now: MonoTime) -> Option<u64> {
        self.failures += 1;
        if self.failures < limits::LOCKOUT_ATTEMPTS {
            return None;
        }
        let ms = limits::LOCKOUT_MS
            .saturating_mul(1 << self.lock_count.min(16))
            .min(limits::LOCKOUT_MS_MAX);
        self.lock_count += 1;
        self.failures = 0;
        self.locked_until = now.after_ms(ms);
        Some(ms)
    }

    /// A guess was right.
    pub fn record_success(&mut self) {
        (self.failures, self.lock_count) = (0, 0);
    }
}

/// For whom a code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEnrolment {
    pub machine: String,
    /// What the workstation may say hello as.
    pub kinds: Vec<Kind>,
    /// The technician who gave the code.
    pub issued_by: String,
    pub expires_at: MonoTime,
}

/// What a workstation gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// It and the CA's, in PEM.
    pub chain: String,
    /// What the journal knows it by.
    pub digest: [u8; 32],
    pub not_after: WallTime,
}

struct PendingCode {
    secret: blake3::Hash,
    enrolment: PendingEnrolment,
}

/// The codes that were given and not used.
#[derive(Default)]
pub struct EnrolmentCodes {
    pending: Vec<PendingCode>,
    pub lockout: Lockout,
}

/// Why a code opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeError {
    /// Too many wrong ones; nothing was compared.
    LockedOut,
    /// Never given, used, replaced, or too old. `locks_ms`: and the door is locked now.
    Invalid { locks_ms: Option<u64> },
}

impl EnrolmentCodes {
    /// Keeps a code for its `pass`; an older one for the same machine is void. False: there are
    /// too many.
    #[must_use]
    pub fn register_code(
        &mut self,
        now: MonoTime,
        code: &OneTimeCode,
        pass: PendingEnrolment,
    ) -> bool {
        self.revoke_code(&pass.machine);
        self.pending.retain(|pending| now < pending.enrolment.expires_at);
        if self.pending.len() >= limits::ENROLMENT_CODES_MAX {
            return false;
        }
        let secret = blake3::hash(code.secret().as_bytes());
        self.pending.push(PendingCode { secret, enrolment: pass });
        true
    }

    /// Forgets the code for a machine.
    pub fn revoke_code(&mut self, machine: &str) {
        self.pending.retain(|pending| !pending.enrolment.machine.eq_ignore_ascii_case(machine));
    }

    /// Uses a code up.
    ///
    /// # Errors
    /// See `CodeError`.
    pub fn redeem_code(
        &mut self,
        now: MonoTime,
        typed: &str,
    ) -> Result<(OneTimeCode, PendingEnrolment), CodeError> {
        if self.lockout.is_locked(now) {
            return Err(CodeError::LockedOut);
        }
        self.pending.retain(|pending| now < pending.enrolment.expires_at);
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
                self.lockout.record_success();
                Ok((code, self.pending.remove(at).enrolment))
            }
            _ => Err(CodeError::Invalid { locks_ms: self.lockout.record_failure(now) }),
        }
    }
}

impl std::fmt::Debug for EnrolmentCodes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Codes({})", self.pending.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: u64 = 60_000_000;

    fn test_code(number: u8) -> OneTimeCode {
        OneTimeCode::new([number; 8], [7; 10])
    }

    fn test_enrolment(machine: &str) -> PendingEnrolment {
        let until = MonoTime(0).after_ms(limits::ENROLMENT_CODE_MS);
        PendingEnrolment {
            machine: machine.into(),
            kinds: vec![Kind::Agent],
            issued_by: "field".into(),
            expires_at: until,
        }
    }

    #[test]
    fn a_code_opens_once_and_for_a_quarter_of_an_hour() {
        let mut codes = EnrolmentCodes::default();
        assert!(codes.register_code(MonoTime(0), &test_code(1), test_enrolment("WS-1")));
        assert!(codes.register_code(MonoTime(0), &test_code(2), test_enrolment("WS-2")));
        let (_, found) =
            codes.redeem_code(MonoTime(1), &test_code(1).to_string().to_lowercase()).unwrap();
        assert_eq!(found.machine, "WS-1");
        let wrong = Err(CodeError::Invalid { locks_ms: None });
        assert_eq!(
            codes.redeem_code(MonoTime(2), &test_code(1).to_string()).map(|_| ()),
            wrong,
            "used"
        );
        let late = MonoTime(15 * MINUTE_US);
        assert_eq!(
            codes.redeem_code(late, &test_code(2).to_string()).map(|_| ()),
            wrong,
            "too old"
        );
        assert!(codes.register_code(MonoTime(0), &test_code(3), test_enrolment("WS-3")));
        assert!(codes.register_code(MonoTime(0), &test_code(4), test_enrolment("ws-3")));
        assert_eq!(
            codes.redeem_code(MonoTime(1), &test_code(3).to_string()).map(|_| ()),
            wrong,
            "replaced"
        );
        assert!(
            codes
                .redeem_code(
                    MonoTime(MonoTime(0).after_ms(limits::ENROLMENT_CODE_MS).0 - 1),
                    &test_code(4).to_string()
                )
                .is_ok()
        );
    }

    #[test]
    fn guessing_locks_for_longer_and_longer() {
        let mut codes = EnrolmentCodes::default();
        let mut now = MonoTime(0);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pass = PendingEnrolment {
                expires_at: now.after_ms(limits::ENROLMENT_CODE_MS),
                ..test_enrolment("WS-1")
            };
            assert!(codes.register_code(now, &test_code(1), pass));
            for guess in 1..=limits::LOCKOUT_ATTEMPTS {
                let locks_ms = (guess == limits::LOCKOUT_ATTEMPTS).then_some(minutes * 60_000);
                let wrong = Err(CodeError::Invalid { locks_ms });
                assert_eq!(codes.redeem_code(now, "guessed").map(|_| ()), wrong);
            }
            let locked = MonoTime(now.0 + minutes * MINUTE_US - 1);
            let right = test_code(1).to_string();
            assert_eq!(codes.redeem_code(locked, &right).map(|_| ()), Err(CodeError::LockedOut));
            now = MonoTime(locked.0 + 1);
        }
        assert!(codes.register_code(
            now,
            &test_code(5),
            PendingEnrolment { expires_at: now.after_ms(1), ..test_enrolment("WS-1") }
        ));
        assert!(
            codes.redeem_code(now, &test_code(5).to_string()).is_ok(),
            "what is right opens again"
        );
        assert_eq!(codes.lockout.failure_count(), 0);
    }

    #[test]
    fn codes_are_bounded() {
        let mut codes = EnrolmentCodes::default();
        for number in 0..=limits::ENROLMENT_CODES_MAX {
            let given = codes.register_code(
                MonoTime(0),
                &test_code(1),
                test_enrolment(&format!("WS-{number}")),
            );
            assert_eq!(given, number < limits::ENROLMENT_CODES_MAX);
        }
        let until = MonoTime(u64::MAX);
        let later = MonoTime(0).after_ms(limits::ENROLMENT_CODE_MS);
        assert!(
            codes.register_code(
                later,
                &test_code(1),
                PendingEnrolment { expires_at: until, ..test_enrolment("WS") }
            ),
            "old ones make room"
        );
    }
}
