//! Sealing of personal facts: phone numbers and field values in the journal.
//!
//! XChaCha20-Poly1305 with a synthetic nonce: a keyed hash over kind, journal sequence and
//! plaintext. It needs no random bits, and a repeated sequence does no harm, because only equal
//! facts give equal bytes. Plaintexts are padded to 16 bytes to hide their length. Without a key
//! (`seal = false`) facts are stored in clear.

use super::{DataKey, SEAL_TAG_BYTES, SealError};
use crate::store::fact::{PhoneNumbers, SealedBytes};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Contexts of the subkeys; part of the format.
const CONTEXT_KEY: &str = "hushbox v1 personal facts";
const CONTEXT_NONCE: &str = "hushbox v1 personal facts nonce";

const NONCE_BYTES: usize = 24;
const PAD_BYTES: usize = 16;

/// The kind of a sealed fact. It is authenticated, so one kind cannot replace another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// `PhoneNumbers`, as postcard.
    Numbers,
    /// The value of a user-defined field, UTF-8.
    Field,
    /// The state of a SIP dialog.
    Dialog,
    /// A metadata document of SIPREC.
    Metadata,
}

impl FactKind {
    fn as_str(self) -> &'static str {
        match self {
            FactKind::Numbers => "numbers",
            FactKind::Field => "field",
            FactKind::Dialog => "dialog",
            FactKind::Metadata => "metadata",
        }
    }
}

/// Seals `plain` under `key`. `sequence` is the journal's next sequence, or any value that differs
/// between facts, so that equal facts do not look equal.
#[must_use]
pub fn seal_fact(
    key: Option<&DataKey>,
    kind: FactKind,
    sequence: u64,
    plain: &[u8],
) -> SealedBytes {
    let Some(key) = key else {
        return SealedBytes(plain.to_vec());
    };
    // Reserve padding and tag at once: a growing vector would leave copies in memory.
    let padded = (plain.len() + 1).next_multiple_of(PAD_BYTES);
    let mut body = Zeroizing::new(Vec::with_capacity(padded + SEAL_TAG_BYTES));
    body.extend_from_slice(plain);
    body.push(0x80);
    body.resize(padded, 0);
    let nonce = fact_nonce(key, kind, sequence, plain);
    let cipher = XChaCha20Poly1305::new((&*key.derive_subkey(CONTEXT_KEY)).into());
    let sealed =
        cipher.encrypt_in_place(&XNonce::from(nonce), kind.as_str().as_bytes(), &mut *body);
    assert!(sealed.is_ok(), "{} bytes cannot be sealed", plain.len());
    let mut bytes = nonce.to_vec();
    bytes.extend_from_slice(&body);
    SealedBytes(bytes)
}

fn fact_nonce(key: &DataKey, kind: FactKind, sequence: u64, plain: &[u8]) -> [u8; NONCE_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(&key.derive_subkey(CONTEXT_NONCE));
    hasher.update(&sequence.to_le_bytes());
    hasher.update(kind.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(plain);
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&hasher.finalize().as_bytes()[..NONCE_BYTES]);
    nonce
}

/// Opens a fact that `seal_fact` sealed under the same key and kind.
pub fn open_fact(
    key: Option<&DataKey>,
    kind: FactKind,
    sealed: &SealedBytes,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let refused = SealError::Fact { kind: kind.as_str() };
    let Some(key) = key else {
        return Ok(Zeroizing::new(sealed.0.clone()));
    };
    let Some((nonce, body)) = sealed.0.split_first_chunk::<NONCE_BYTES>() else {
        return Err(refused);
    };
    let mut plain = Zeroizing::new(body.to_vec());
    let cipher = XChaCha20Poly1305::new((&*key.derive_subkey(CONTEXT_KEY)).into());
    let opened =
        cipher.decrypt_in_place(&XNonce::from(*nonce), kind.as_str().as_bytes(), &mut *plain);
    let end = plain.iter().rposition(|byte| *byte != 0);
    match (opened, end) {
        (Ok(()), Some(end)) if plain[end] == 0x80 => {
            plain.truncate(end);
            Ok(plain)
        }
        _ => Err(refused),
    }
}

/// Seals the phone numbers of a call.
#[must_use]
pub fn seal_numbers(key: Option<&DataKey>, sequence: u64, numbers: &PhoneNumbers) -> SealedBytes {
    // Serializing to memory cannot fail.
    let plain = Zeroizing::new(postcard::to_stdvec(numbers).unwrap_or_default());
    assert!(!plain.is_empty());
    seal_fact(key, FactKind::Numbers, sequence, &plain)
}

/// Opens the phone numbers of a call. Empty bytes mean no numbers.
pub fn open_numbers(
    key: Option<&DataKey>,
    sealed: &SealedBytes,
) -> Result<PhoneNumbers, SealError> {
    if sealed.0.is_empty() {
        return Ok(PhoneNumbers::default());
    }
    let plain = open_fact(key, FactKind::Numbers, sealed)?;
    let refused = SealError::Fact { kind: FactKind::Numbers.as_str() };
    postcard::from_bytes(&plain).map_err(|_| refused)
}

/// Seals the value of a user-defined field.
#[must_use]
pub fn seal_field(key: Option<&DataKey>, sequence: u64, value: &str) -> SealedBytes {
    seal_fact(key, FactKind::Field, sequence, value.as_bytes())
}

/// Opens the value of a user-defined field.
pub fn open_field(key: Option<&DataKey>, sealed: &SealedBytes) -> Result<String, SealError> {
    let plain = open_fact(key, FactKind::Field, sealed)?;
    let text = std::str::from_utf8(&plain).map(str::to_owned);
    text.map_err(|_| SealError::Fact { kind: FactKind::Field.as_str() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_key() -> DataKey {
        DataKey::from_random([5; 32])
    }

    #[test]
    fn h6_fact_opens_only_with_its_key_and_kind() {
        let numbers = PhoneNumbers { ani: Some("+4930123".into()), dnis: None };
        let sealed = seal_numbers(Some(&test_key()), 9, &numbers);
        assert!(!sealed.0.windows(7).any(|window| window == b"4930123"));
        assert_eq!(open_numbers(Some(&test_key()), &sealed), Ok(numbers.clone()));
        assert_eq!(open_field(Some(&test_key()), &sealed), Err(SealError::Fact { kind: "field" }));
        let other = DataKey::from_random([6; 32]);
        assert_eq!(open_numbers(Some(&other), &sealed), Err(SealError::Fact { kind: "numbers" }));
        for bit in 0..sealed.0.len() * 8 {
            let mut forged = sealed.clone();
            forged.0[bit / 8] ^= 1 << (bit % 8);
            assert!(open_numbers(Some(&test_key()), &forged).is_err(), "bit {bit}");
        }
        assert_eq!(open_numbers(None, &seal_numbers(None, 9, &numbers)), Ok(numbers));
        assert_eq!(
            open_numbers(Some(&test_key()), &SealedBytes::default()),
            Ok(PhoneNumbers::default())
        );
    }

    #[test]
    fn padding_hides_length_and_equal_facts_differ() {
        for value in ["", "a", "exactly fifteen", "sixteen letters.", "ends in zeros\0\0", "ä"] {
            let sealed = seal_field(Some(&test_key()), 1, value);
            assert_eq!((sealed.0.len() - NONCE_BYTES) % PAD_BYTES, 0, "{value:?}");
            assert_eq!(open_field(Some(&test_key()), &sealed).as_deref(), Ok(value));
            assert_eq!(seal_field(Some(&test_key()), 1, value), sealed);
            assert_ne!(seal_field(Some(&test_key()), 2, value), sealed);
        }
        let length = |value| seal_field(Some(&test_key()), 1, value).0.len();
        assert_eq!(length(""), length("fifteen letters"));
    }
}
