//! The enrolment code of a workstation: a secret and the fingerprint of the box's CA.
//!
//! A code is 28 base32 characters in groups of four. The first twelve are the secret: 60 random
//! bits that the box accepts for 15 minutes. The others are the first 80 bits of the SHA-256 of the
//! box's CA certificate. A client sends the secret only to a server that shows this certificate, so
//! that a man in the middle cannot read it. Case, spaces and hyphens are ignored. `0` is parsed as
//! `O` and `1` as `I`, because base32 has neither digit.
//!
//! Nothing here makes random bits, compares secrets or parses a certificate.

use data_encoding::BASE32_NOPAD;
use std::fmt;

/// The random bytes for a secret. Only half of the last byte is used.
pub const SECRET_BYTES: usize = 8;
/// The bytes of the CA's fingerprint in a code.
pub const FINGERPRINT_BYTES: usize = 10;

const SECRET_CHARS: usize = 12;
const ALL_CHARS: usize = SECRET_CHARS + FINGERPRINT_BYTES * 8 / 5;
const GROUP_CHARS: usize = 4;

/// An enrolment code. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTimeCode {
    secret: String,
    fingerprint: [u8; FINGERPRINT_BYTES],
}

impl OneTimeCode {
    /// Makes a code from random bytes.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES], fingerprint: [u8; FINGERPRINT_BYTES]) -> OneTimeCode {
        let mut secret = BASE32_NOPAD.encode(&random);
        secret.truncate(SECRET_CHARS);
        OneTimeCode { secret, fingerprint }
    }

    /// Parses a code that a user typed; `None` if it is not a code.
    #[must_use]
    pub fn parse(text: &str) -> Option<OneTimeCode> {
        let typed = text.chars().filter(|c| !matches!(c, '-' | ' '));
        let plain: String = typed
            .map(|c| match c.to_ascii_uppercase() {
                '0' => 'O',
                '1' => 'I',
                c => c,
            })
            .take(ALL_CHARS + 1)
            .collect();
        let is_letter = |byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7');
        if plain.len() != ALL_CHARS || !plain.bytes().all(is_letter) {
            return None;
        }
        let (secret, rest) = plain.split_at(SECRET_CHARS);
        let fingerprint = BASE32_NOPAD.decode(rest.as_bytes()).ok()?.try_into().ok()?;
        Some(OneTimeCode { secret: secret.to_owned(), fingerprint })
    }

    /// The secret part, known only to the box and the recipient of the code.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The beginning of the SHA-256 of the CA certificate.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_BYTES] {
        self.fingerprint
    }
}

impl fmt::Display for OneTimeCode {
    /// Writes groups of four characters, `7QF4-K2MD-…`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = format!("{}{}", self.secret, BASE32_NOPAD.encode(&self.fingerprint));
        for (at, letter) in all.chars().enumerate() {
            if at > 0 && at % GROUP_CHARS == 0 {
                out.write_str("-")?;
            }
            write!(out, "{letter}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OneTimeCode")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: [u8; FINGERPRINT_BYTES] = [0, 1, 2, 0xff, 0xfe, 0x80, 7, 8, 9, 0x55];

    #[test]
    fn codes_parse_in_any_case_and_grouping() {
        let code = OneTimeCode::new([0xff, 0, 1, 2, 3, 4, 5, 6], PRINT);
        let text = code.to_string();
        assert_eq!(text, "74AA-CAQD-AQCQ-AAAQ-F776-QADQ-QCKV");
        for typed in [text.clone(), text.to_lowercase(), text.replace('-', " ")] {
            let read = OneTimeCode::parse(&typed).expect("a code");
            assert!(read == code && read.fingerprint() == PRINT, "{typed}");
        }
        let typo = OneTimeCode::parse(&text.replace('I', "1").replace('O', "0"));
        assert!(typo.is_some_and(|read| read == code));
    }

    #[test]
    fn every_bit_of_the_secret_changes_the_code() {
        let code = |random| OneTimeCode::new(random, PRINT).secret().to_owned();
        let mut secrets = vec![code([0; 8])];
        for bit in 0..60 {
            let mut random = [0_u8; 8];
            random[bit / 8] = 0x80 >> (bit % 8);
            secrets.push(code(random));
        }
        secrets.sort();
        secrets.dedup();
        assert_eq!(secrets.len(), 61);
    }

    #[test]
    fn invalid_codes_are_refused() {
        let good = OneTimeCode::new([1; 8], PRINT).to_string();
        let bad = ["", "7QF4-K2MD", &good[1..], &format!("{good}A"), &good.replace('A', "9"), "ä"];
        for text in bad {
            assert!(OneTimeCode::parse(text).is_none(), "{text}");
        }
    }
}
