//! One-time enrolment codes.
//!
//! A code is kept in RAM only, is valid for 15 minutes and one use, and a restart voids it. Only
//! a digest of its secret is kept. Digests are compared in constant time, and always all of them.
//! Wrong codes lock out the network that they come from (see `lockout`).

use crate::limits;
use crate::lockout::{Lockouts, Network};
use crate::time::{MonoTime, WallTime};
use protocol::name::is_same_name;
use protocol::{Kind, OneTimeCode};
use std::net::IpAddr;

/// The workstation that a code is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEnrolment {
    pub machine: String,
    /// Client kinds that the workstation may use.
    pub kinds: Vec<Kind>,
    /// Technician who issued the code.
    pub issued_by: String,
    pub expires_at: MonoTime,
}

/// A certificate issued to a workstation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate and the CA certificate, in PEM.
    pub chain: String,
    /// Digest that identifies it in the journal.
    pub digest: [u8; 32],
    pub not_after: WallTime,
}

struct PendingCode {
    secret: blake3::Hash,
    enrolment: PendingEnrolment,
}

/// The unused codes, and the lockouts for wrong ones.
#[derive(Default)]
pub struct EnrolmentCodes {
    pending: Vec<PendingCode>,
    lockouts: Lockouts<Network>,
}

/// Why a code is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeError {
    /// The network is locked out; no code was compared.
    LockedOut,
    /// Unknown, used, replaced or expired. `locks_ms`: duration of the lockout that this guess
    /// caused.
    Invalid { locks_ms: Option<u64> },
}

impl EnrolmentCodes {
    /// Stores a code; an older one for the same machine becomes void. Returns false if there are
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

    /// Removes the code of a machine.
    pub fn revoke_code(&mut self, machine: &str) {
        self.pending.retain(|pending| !is_same_name(&pending.enrolment.machine, machine));
    }

    /// Redeems a code sent from an address.
    ///
    /// # Errors
    /// See `CodeError`.
    pub fn redeem_code(
        &mut self,
        now: MonoTime,
        typed: &str,
        from: IpAddr,
    ) -> Result<(OneTimeCode, PendingEnrolment), CodeError> {
        let network = Network::of(from);
        if self.lockouts.is_locked(now, &network) {
            return Err(CodeError::LockedOut);
        }
        self.pending.retain(|pending| now < pending.enrolment.expires_at);
        let code = OneTimeCode::parse(typed);
        let secret = code.as_ref().map(|code| blake3::hash(code.secret().as_bytes()));
        let mut found = None;
        for (at, pending) in self.pending.iter().enumerate() {
            // blake3 hashes compare in constant time.
            if secret.is_some_and(|secret| secret == pending.secret) {
                found = Some(at);
            }
        }
        match (code, found) {
            (Some(code), Some(at)) => {
                self.lockouts.reset(&network);
                Ok((code, self.pending.remove(at).enrolment))
            }
            _ => Err(CodeError::Invalid { locks_ms: self.lockouts.count_failure(now, &network) }),
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

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_code_opens_once_and_for_a_quarter_of_an_hour() {
        let mut codes = EnrolmentCodes::default();
        let from = address("10.0.0.1");
        assert!(codes.register_code(MonoTime(0), &test_code(1), test_enrolment("WS-1")));
        assert!(codes.register_code(MonoTime(0), &test_code(2), test_enrolment("WS-2")));
        let (_, found) =
            codes.redeem_code(MonoTime(1), &test_code(1).to_string().to_lowercase(), from).unwrap();
        assert_eq!(found.machine, "WS-1");
        let wrong = Err(CodeError::Invalid { locks_ms: None });
        assert_eq!(
            codes.redeem_code(MonoTime(2), &test_code(1).to_string(), from).map(|_| ()),
            wrong,
            "used"
        );
        let late = MonoTime(15 * MINUTE_US);
        assert_eq!(
            codes.redeem_code(late, &test_code(2).to_string(), from).map(|_| ()),
            wrong,
            "too old"
        );
        assert!(codes.register_code(MonoTime(0), &test_code(3), test_enrolment("WS-3")));
        assert!(codes.register_code(MonoTime(0), &test_code(4), test_enrolment("ws-3")));
        assert_eq!(
            codes.redeem_code(MonoTime(1), &test_code(3).to_string(), from).map(|_| ()),
            wrong,
            "replaced"
        );
        let last = MonoTime(MonoTime(0).after_ms(limits::ENROLMENT_CODE_MS).0 - 1);
        assert!(codes.redeem_code(last, &test_code(4).to_string(), from).is_ok());
    }

    #[test]
    fn guessing_locks_for_longer_and_longer() {
        let mut codes = EnrolmentCodes::default();
        let (mut now, from) = (MonoTime(0), address("10.0.0.1"));
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pass = PendingEnrolment {
                expires_at: now.after_ms(limits::ENROLMENT_CODE_MS),
                ..test_enrolment("WS-1")
            };
            assert!(codes.register_code(now, &test_code(1), pass));
            for guess in 1..=limits::LOCKOUT_ATTEMPTS {
                let locks_ms = (guess == limits::LOCKOUT_ATTEMPTS).then_some(minutes * 60_000);
                let wrong = Err(CodeError::Invalid { locks_ms });
                assert_eq!(codes.redeem_code(now, "guessed", from).map(|_| ()), wrong);
            }
            let locked = MonoTime(now.0 + minutes * MINUTE_US - 1);
            let right = test_code(1).to_string();
            assert_eq!(
                codes.redeem_code(locked, &right, from).map(|_| ()),
                Err(CodeError::LockedOut)
            );
            now = MonoTime(locked.0 + 1);
        }
        assert!(codes.register_code(
            now,
            &test_code(5),
            PendingEnrolment { expires_at: now.after_ms(1), ..test_enrolment("WS-1") }
        ));
        assert!(
            codes.redeem_code(now, &test_code(5).to_string(), from).is_ok(),
            "what is right opens again"
        );
        assert_eq!(codes.lockouts.failure_count(&Network::of(from)), 0);
    }

    #[test]
    fn h4_a_stranger_who_guesses_locks_out_no_other_network() {
        let mut codes = EnrolmentCodes::default();
        let stranger = |host: u32| address(&format!("2001:db8:0:1::{host:x}"));
        assert!(codes.register_code(MonoTime(0), &test_code(1), test_enrolment("WS-1")));
        let mut locked = false;
        for host in 0..limits::LOCKOUT_ATTEMPTS {
            let said = codes.redeem_code(MonoTime(0), "guessed", stranger(host)).map(|_| ());
            locked = matches!(said, Err(CodeError::Invalid { locks_ms: Some(_) }));
        }
        assert!(locked, "all hosts of a network count together");
        let right = test_code(1).to_string();
        let same = codes.redeem_code(MonoTime(0), &right, stranger(99)).map(|_| ());
        assert_eq!(same, Err(CodeError::LockedOut));
        for other in ["2001:db8:0:2::1", "10.0.0.1", "::ffff:10.0.0.2"] {
            let said = codes.redeem_code(MonoTime(0), "mistyped", address(other)).map(|_| ());
            assert_eq!(said, Err(CodeError::Invalid { locks_ms: None }), "{other}");
        }
        assert!(codes.redeem_code(MonoTime(0), &right, address("10.0.0.1")).is_ok());
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
