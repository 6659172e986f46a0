//! Random tokens for cookies, forms and links.
//!
//! A token has 256 random bits. Only its hash is stored, so a reader of the database cannot use it.
//! Comparison takes constant time.

use data_encoding::BASE64URL_NOPAD;

const TOKEN_BYTES: usize = 32;
/// Characters of an encoded token.
const TOKEN_CHARS: usize = 43;

/// The system's random number generator failed.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bits: {0}")]
pub struct RandomError(String);

/// Creates a token, encoded for a cookie or a link.
pub fn new() -> Result<String, RandomError> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| RandomError(error.to_string()))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// Hashes a token for storage.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    blake3::hash(token.as_bytes()).as_bytes().to_vec()
}

/// Whether the text has the form of a token.
#[must_use]
pub fn is_well_formed(token: &str) -> bool {
    token.len() == TOKEN_CHARS
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Compares two tokens in constant time.
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
