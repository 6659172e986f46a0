//! The box's signature: who says that the journal was so.
//!
//! An Ed25519 key made from a 32-byte seed, together with the box's name. A signed message always
//! starts with a purpose and the name, so that a signature for one thing can never stand for
//! another, or for another box. Nothing here makes random seeds or stores them.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// The secret key of a box, and its name. Wiped when dropped.
pub struct BoxKey {
    key: SigningKey,
    name: String,
}

/// The public key of a box, and its name: enough to check what it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxPublic {
    key: VerifyingKey,
    name: String,
}

/// What may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A checkpoint of the journal.
    Checkpoint,
    /// The manifest of an export.
    Export,
    /// The rows of a self-test.
    Selftest,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Purpose::Checkpoint => "hushbox checkpoint v1",
            Purpose::Export => "hushbox export v1",
            Purpose::Selftest => "hushbox selftest v1",
        }
    }
}

/// `purpose`, a zero byte, the name's length (u64) and the name, then the message.
fn framed(purpose: Purpose, name: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = purpose.word().as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&super::bytes::wide(name.len()).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(message);
    bytes
}

impl BoxKey {
    /// The key that `seed` gives, for the box called `name`.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32], name: &str) -> BoxKey {
        BoxKey { key: SigningKey::from_bytes(seed), name: name.to_owned() }
    }

    /// Signs `message` for `purpose`.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> [u8; 64] {
        self.key.sign(&framed(purpose, &self.name, message)).to_bytes()
    }

    /// What others need to check the signatures.
    #[must_use]
    pub fn public(&self) -> BoxPublic {
        BoxPublic { key: self.key.verifying_key(), name: self.name.clone() }
    }
}

impl std::fmt::Debug for BoxKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "BoxKey({})", self.name)
    }
}

impl BoxPublic {
    /// From the 32 bytes of the public key; `None` if they are not a point of the curve.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32], name: &str) -> Option<BoxPublic> {
        VerifyingKey::from_bytes(bytes).ok().map(|key| BoxPublic { key, name: name.to_owned() })
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The box's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this box signed `message` for `purpose`.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.key.verify_strict(&framed(purpose, &self.name, message), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_stands_for_one_message_one_purpose_one_box() {
        let key = BoxKey::from_seed(&[7; 32], "box-01");
        let signature = key.sign(Purpose::Export, b"message");
        let public = key.public();
        assert!(public.verify(Purpose::Export, b"message", &signature));
        assert!(!public.verify(Purpose::Checkpoint, b"message", &signature));
        assert!(!public.verify(Purpose::Export, b"massage", &signature));
        let other = BoxKey::from_seed(&[7; 32], "box-02").public();
        assert!(!other.verify(Purpose::Export, b"message", &signature));
        assert_eq!(BoxPublic::from_bytes(&public.bytes(), "box-01"), Some(public));
    }
}
