//! Signatures over checkpoints, exports and self-tests.
//!
//! The Ed25519 key is derived from a 32-byte seed. Every signed message starts with a purpose and
//! the recorder's name, so a signature is valid for one purpose and one recorder only.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// The secret signing key of a recorder, and its name. Wiped when dropped.
pub struct BoxSigningKey {
    key: SigningKey,
    name: String,
}

/// The public key of a recorder, and its name. Together they verify its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxPublicKey {
    key: VerifyingKey,
    name: String,
}

/// The purpose of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignaturePurpose {
    /// A checkpoint of the journal.
    Checkpoint,
    /// The manifest of an export.
    Export,
    /// The rows of a self-test.
    Selftest,
}

impl SignaturePurpose {
    fn as_str(self) -> &'static str {
        match self {
            SignaturePurpose::Checkpoint => "hushbox checkpoint v1",
            SignaturePurpose::Export => "hushbox export v1",
            SignaturePurpose::Selftest => "hushbox selftest v1",
        }
    }
}

/// Frames the message: `purpose`, a zero byte, the name's length (u64), the name, the message.
fn frame_message(purpose: SignaturePurpose, name: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = purpose.as_str().as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&super::bytes::len_to_u64(name.len()).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(message);
    bytes
}

impl BoxSigningKey {
    /// Derives the key from `seed` for the recorder called `name`.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32], name: &str) -> BoxSigningKey {
        BoxSigningKey { key: SigningKey::from_bytes(seed), name: name.to_owned() }
    }

    /// Signs `message` for `purpose`.
    #[must_use]
    pub fn sign(&self, purpose: SignaturePurpose, message: &[u8]) -> [u8; 64] {
        self.key.sign(&frame_message(purpose, &self.name, message)).to_bytes()
    }

    /// Returns the key that verifies the signatures.
    #[must_use]
    pub fn public_key(&self) -> BoxPublicKey {
        BoxPublicKey { key: self.key.verifying_key(), name: self.name.clone() }
    }
}

impl std::fmt::Debug for BoxSigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "BoxSigningKey({})", self.name)
    }
}

impl BoxPublicKey {
    /// Creates the key from its 32 bytes; `None` if they are not a point on the curve.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32], name: &str) -> Option<BoxPublicKey> {
        VerifyingKey::from_bytes(bytes).ok().map(|key| BoxPublicKey { key, name: name.to_owned() })
    }

    /// Returns the 32 bytes of the public key.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Returns the recorder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this recorder signed `message` for `purpose`.
    #[must_use]
    pub fn verify(&self, purpose: SignaturePurpose, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.key.verify_strict(&frame_message(purpose, &self.name, message), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_valid_for_one_message_purpose_and_name() {
        let key = BoxSigningKey::from_seed(&[7; 32], "box-01");
        let signature = key.sign(SignaturePurpose::Export, b"message");
        let public = key.public_key();
        assert!(public.verify(SignaturePurpose::Export, b"message", &signature));
        assert!(!public.verify(SignaturePurpose::Checkpoint, b"message", &signature));
        assert!(!public.verify(SignaturePurpose::Export, b"massage", &signature));
        let other = BoxSigningKey::from_seed(&[7; 32], "box-02").public_key();
        assert!(!other.verify(SignaturePurpose::Export, b"message", &signature));
        assert_eq!(BoxPublicKey::from_bytes(&public.to_bytes(), "box-01"), Some(public));
    }
}
