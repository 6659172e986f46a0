//! Password hashing with argon2id, and the policy for new passwords.
//!
//! A hash deliberately costs about 10 ms and 19 MiB, so at most two run at a time. Verifying an
//! unknown user costs the same, so response time does not reveal which names exist. This module
//! stores no password.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Minimum length of a new password, in characters.
pub const CHARS_MIN: usize = 12;
/// Maximum length of any password, in bytes.
pub const BYTES_MAX: usize = 256;
/// Maximum number of hashes computed at a time.
const CONCURRENT_HASHES_MAX: usize = 2;

/// Why a password was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("a password has at least {CHARS_MIN} characters; a few words are easy to remember")]
    TooShort,
    #[error("a password has at most {BYTES_MAX} bytes")]
    TooLong,
    #[error("a password is not the username")]
    IsUsername,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// Checks whether `user` may set this password.
pub fn check_policy(password: &str, user: &str) -> Result<(), PasswordError> {
    if password.chars().count() < CHARS_MIN {
        return Err(PasswordError::TooShort);
    }
    if password.len() > BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    if password.to_lowercase().replace(&user.to_lowercase(), "").chars().count() < CHARS_MIN / 2 {
        return Err(PasswordError::IsUsername);
    }
    Ok(())
}

/// Hashes a password into the PHC string that the database stores.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|why| PasswordError::Hash(why.to_string()))
}

fn is_match(hash: &str, password: &str) -> bool {
    let hash = PasswordHash::new(hash);
    hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Hashes and verifies passwords on worker threads, with a concurrency limit.
#[derive(Clone, Debug)]
pub struct Hasher {
    permits: Arc<Semaphore>,
    /// Hash to verify against when the account does not exist.
    dummy_hash: Arc<String>,
}

impl Hasher {
    pub fn new() -> Result<Hasher, PasswordError> {
        let dummy = Arc::new(hash("no account has this password")?);
        Ok(Hasher { permits: Arc::new(Semaphore::new(CONCURRENT_HASHES_MAX)), dummy_hash: dummy })
    }

    /// Verifies `password` against the hash `known`. Without a hash it takes as long and returns
    /// false.
    pub async fn verify(&self, known: Option<String>, password: Zeroizing<String>) -> bool {
        let Ok(_turn) = self.permits.acquire().await else { return false };
        let hash = known.clone().unwrap_or_else(|| (*self.dummy_hash).clone());
        let right = tokio::task::spawn_blocking(move || {
            password.len() <= BYTES_MAX && is_match(&hash, &password)
        });
        right.await.unwrap_or(false) && known.is_some()
    }

    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, PasswordError> {
        let gone = |why: String| PasswordError::Hash(why);
        let _turn = self.permits.acquire().await.map_err(|error| gone(error.to_string()))?;
        let made = tokio::task::spawn_blocking(move || hash(&password)).await;
        made.map_err(|error| gone(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c3_a_hash_is_argon2id_and_fits_one_password() {
        let made = hash("correct horse battery").expect("a hash");
        assert!(made.starts_with("$argon2id$v=19$m="), "{made}");
        assert!(is_match(&made, "correct horse battery") && !is_match(&made, "correct horse"));
        assert!(!is_match("not a hash", "x"));
    }

    #[test]
    fn new_passwords_are_long_and_not_the_username() {
        assert_eq!(check_policy("short", "jdoe"), Err(PasswordError::TooShort));
        assert_eq!(check_policy(&"x".repeat(257), "jdoe"), Err(PasswordError::TooLong));
        assert_eq!(check_policy("Johannes.Doe1", "johannes.doe"), Err(PasswordError::IsUsername));
        assert_eq!(check_policy("correct horse battery", "jdoe"), Ok(()));
    }
}
