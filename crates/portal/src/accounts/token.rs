//! Random words: what a cookie, a form or a link carries, and what is kept of it.
//!
//! A token has 256 random bits. Only its hash is stored, so that whoever reads the database cannot
//! use what stands there. Nothing here compares in a way that tells how much was right.

use data_encoding::BASE64URL_NOPAD;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Characters of its text.
const TOKEN_CHARS: usize = 43;

/// The system has no random bits to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bits: {0}")]
pub struct RandomError(String);

/// A new one, as text for a cookie or a link.
pub fn new() -> Result<String, RandomError> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| RandomError(error.to_string()))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// What is kept of a token.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    blake3::hash(token.as_bytes()).as_bytes().to_vec()
}

/// Whether it could be one.
#[must_use]
pub fn is_well_formed(token: &str) -> bool {
    token.len() == TOKEN_CHARS
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Whether two are the same, in a time that tells nothing.
#[must_use]
pub fn ct_eq(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_well_formed() {
        let (one, other) = (new().expect("random"), new().expect("random"));
        assert!(is_well_formed(&one) && is_well_formed(&other) && !ct_eq(&one, &other));
        assert!(ct_eq(&one, &one.clone()));
        assert!(!is_well_formed("short") && !is_well_formed(&format!("{}!", &one[1..])));
        assert_eq!(hash(&one).len(), 32);
    }
}
