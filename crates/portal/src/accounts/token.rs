//! Random words: what a cookie, a form or a link carries, and what is kept of it.
//!
//! A token has 256 random bits. Only its hash is stored, so that whoever reads the database cannot
//! use what stands there. Nothing here compares in a way that tells how much was right.

use data_encoding::BASE64URL_NOPAD;

/// Random bytes of a token.
const BYTES: usize = 32;
/// Characters of its text.
const CHARS: usize = 43;

/// The system has no random bits to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bits: {0}")]
pub struct NoRandom(String);

/// A new one, as text for a cookie or a link.
pub fn new() -> Result<String, NoRandom> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| NoRandom(error.to_string()))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// What is kept of a token.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    blake3::hash(token.as_bytes()).as_bytes().to_vec()
}

/// Whether it could be one.
#[must_use]
pub fn is_formed(token: &str) -> bool {
    token.len() == CHARS && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Whether two are the same, in a time that tells nothing.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_well_formed() {
        let (one, other) = (new().expect("random"), new().expect("random"));
        assert!(is_formed(&one) && is_formed(&other) && !same(&one, &other));
        assert!(same(&one, &one.clone()));
        assert!(!is_formed("short") && !is_formed(&format!("{}!", &one[1..])));
        assert_eq!(hash(&one).len(), 32);
    }
}
