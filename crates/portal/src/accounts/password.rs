//! Password hashing with argon2id, and the policy for new passwords.
//!
//! Each hash works in 19 MiB. `HashMemory` is that memory: its owner uses it for one password after
//! the other, so the number of owners bounds the memory (`hasher`). This module stores no password.

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::password_hash::{self, try_generate_salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use protocol::name::fold_name;

/// Minimum length of a new password, in characters.
pub const CHARS_MIN: usize = 12;
/// Maximum length of any password, in bytes.
pub const BYTES_MAX: usize = 256;

/// Why a password was not accepted, or not checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("a password has at least {CHARS_MIN} characters; a few words are easy to remember")]
    TooShort,
    #[error("a password has at most {BYTES_MAX} bytes")]
    TooLong,
    #[error("a password is not the username")]
    IsUsername,
    #[error("too many passwords are being checked; try again in a few seconds")]
    Busy,
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
    if fold_name(password).replace(&fold_name(user), "").chars().count() < CHARS_MIN / 2 {
        return Err(PasswordError::IsUsername);
    }
    Ok(())
}

/// The working memory of one hash at a time, allocated at the first.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    /// Hashes a password into the PHC string that the database stores.
    pub fn hash_password(&mut self, password: &str) -> Result<String, PasswordError> {
        let failed = |error: password_hash::Error| PasswordError::Hash(error.to_string());
        let salt = try_generate_salt().map_err(|error| PasswordError::Hash(error.to_string()))?;
        let hasher = Argon2::default();
        let output = self.compute(&hasher, password, &salt, Params::DEFAULT_OUTPUT_LEN);
        let hash = PasswordHash {
            algorithm: Algorithm::default().ident(),
            version: Some(Version::default().into()),
            params: hasher.params().try_into().map_err(failed)?,
            salt: Some(Salt::new(&salt).map_err(|error| failed(error.into()))?),
            hash: Some(output.map_err(failed)?),
        };
        Ok(hash.to_string())
    }

    /// Whether `password` is the one of this PHC string.
    pub fn is_match(&mut self, hash: &str, password: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else { return false };
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return false };
        let algorithm = Algorithm::try_from(hash.algorithm.as_str());
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from);
        let (Ok(algorithm), Ok(version), Ok(params)) =
            (algorithm, version, Params::try_from(&hash))
        else {
            return false;
        };
        if params.block_count() > Params::DEFAULT.block_count() {
            return false;
        }
        let hasher = Argon2::new(algorithm, version, params);
        // `Output` compares in constant time.
        self.compute(&hasher, password, salt, expected.len()).is_ok_and(|made| made == *expected)
    }

    fn compute(
        &mut self,
        hasher: &Argon2<'_>,
        password: &str,
        salt: &[u8],
        output_len: usize,
    ) -> password_hash::Result<Output> {
        self.0.resize(hasher.params().block_count(), Block::new());
        let mut buffer = [0; Output::MAX_LENGTH];
        let output = buffer.get_mut(..output_len).ok_or(password_hash::Error::OutputSize)?;
        let memory = self.0.as_mut_slice();
        hasher.hash_password_into_with_memory(password.as_bytes(), salt, output, memory)?;
        Ok(Output::new(output)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordHasher;

    #[test]
    fn c3_a_hash_is_argon2id_and_fits_one_password() {
        let mut memory = HashMemory::default();
        let made = memory.hash_password("correct horse battery").expect("a hash");
        assert!(made.starts_with("$argon2id$v=19$m="), "{made}");
        assert!(memory.is_match(&made, "correct horse battery"));
        assert!(!memory.is_match(&made, "correct horse") && !memory.is_match("not a hash", "x"));
        let other = memory.hash_password("correct horse battery").expect("a hash");
        assert_ne!(made, other, "each hash has a salt of its own");
    }

    #[test]
    fn c3_hashes_of_earlier_versions_still_fit() {
        // The crate's own function made them, with memory of its own.
        let made = Argon2::default().hash_password(b"correct horse battery").expect("a hash");
        let made = made.to_string();
        assert!(HashMemory::default().is_match(&made, "correct horse battery"));
        let huge = made.replace("m=19456", "m=1945600");
        assert!(!HashMemory::default().is_match(&huge, "correct horse battery"), "bounded");
    }

    #[test]
    fn new_passwords_are_long_and_not_the_username() {
        assert_eq!(check_policy("short", "jdoe"), Err(PasswordError::TooShort));
        assert_eq!(check_policy(&"x".repeat(257), "jdoe"), Err(PasswordError::TooLong));
        assert_eq!(check_policy("Johannes.Doe1", "johannes.doe"), Err(PasswordError::IsUsername));
        assert_eq!(check_policy("STRASSE-STRASSE", "straße"), Err(PasswordError::IsUsername));
        assert_eq!(check_policy("jo\u{308}rg.jÖRG.jörg", "jörg"), Err(PasswordError::IsUsername));
        assert_eq!(check_policy("correct horse battery", "jdoe"), Ok(()));
    }
}
