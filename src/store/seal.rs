//! Sealing: encryption of recordings and personal facts.
//!
//! Every recording has one random `DataKey`. Subkeys of it seal the audio chunks (`chunk`) and the
//! personal facts in the journal (`facts`). Its only durable copy is wrapped to the recipients'
//! public keys as an **age v1 file** in the media file's header. Any age tool opens that file;
//! deleting the media file erases everything the key sealed (H6).
//!
//! A data key is used for one media file only, because chunk nonces are counters. With `seal =
//! false` there is no key, and data is stored in clear. Random bits for keys and ids are
//! parameters; only `age` draws its own, in `Envelope::for_recipients` and `generate_identity`,
//! which the shell calls.

mod chunk;
mod facts;

pub use age::x25519::{Identity, Recipient};
pub use chunk::{ChunkSealer, SEAL_TAG_BYTES};
pub use facts::{
    FactKind, open_fact, open_field, open_numbers, seal_fact, seal_field, seal_numbers,
};

use crate::id::RecordingId;
use age::secrecy::ExposeSecret;
use std::io::{Read, Write};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Maximum number of public keys per recording; bounds the media header.
pub const MAX_RECIPIENTS: usize = 32;

/// The reason why data could not be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("no recipient: sealing needs at least one age public key (age1…)")]
    NoRecipient,
    #[error("{found} recipients, at most {MAX_RECIPIENTS} are allowed")]
    TooManyRecipients { found: usize },
    #[error("line {line} is not an age public key (age1…): {why}")]
    BadRecipient { line: usize, why: &'static str },
    #[error("line {line} is not an age secret key (AGE-SECRET-KEY-1…): {why}")]
    BadIdentity { line: usize, why: &'static str },
    #[error("the data key could not be wrapped: {why}")]
    Wrap { why: String },
    #[error("the wrapped data key is not an age file: {why}")]
    NotAge { why: String },
    #[error(
        "wrong key: the recording is sealed to {sealed_to} recipient(s), and none of them is \
         among the {} offered ({})", .offered.len(), .offered.join(", ")
    )]
    WrongKey { sealed_to: usize, offered: Vec<String> },
    #[error("the wrapped data key holds {found} bytes, not 32")]
    KeyLength { found: usize },
    #[error("the sealed {kind} do not open: forged, damaged, or under another key")]
    Fact { kind: &'static str },
    #[error("audio chunk {sequence} does not open: forged, damaged, or under another key")]
    Chunk { sequence: u32 },
}

/// The data key of one recording. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// Creates a key from 32 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> DataKey {
        DataKey(bytes)
    }

    /// Derives the key of the recording's screen file. A separate file needs a separate key.
    #[must_use]
    pub fn derive_screen_key(&self) -> DataKey {
        DataKey(blake3::derive_key("hushbox v1 screen", &self.0))
    }

    /// Derives a key for one use. The subkey reveals neither this key nor other subkeys.
    fn derive_subkey(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, &self.0))
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("DataKey(…)")
    }
}

/// The input for a new recording: its id, its data key, and the wrapped key.
#[derive(Debug)]
pub struct Envelope {
    pub id: RecordingId,
    /// `None` with `seal = false`.
    pub key: Option<DataKey>,
    /// An age v1 file; empty with `seal = false`.
    pub wrapped: Vec<u8>,
}

impl Envelope {
    /// Creates an envelope from 10 random bytes for the id and 32 for the key. Slow (two curve
    /// multiplications per recipient) and draws random bits, so only the shell calls it.
    ///
    /// # Errors
    /// When there are no recipients, or more than `MAX_RECIPIENTS`.
    pub fn for_recipients(
        mut random: [u8; 42],
        recipients: &[Recipient],
    ) -> Result<Envelope, SealError> {
        if recipients.is_empty() {
            return Err(SealError::NoRecipient);
        }
        if recipients.len() > MAX_RECIPIENTS {
            return Err(SealError::TooManyRecipients { found: recipients.len() });
        }
        let id = Envelope::id_from_random(&random);
        let mut key = DataKey([0; 32]);
        key.0.copy_from_slice(&random[10..]);
        random.zeroize();
        let wrapped = wrap_key(&key, recipients)?;
        Ok(Envelope { id, key: Some(key), wrapped })
    }

    /// Creates an envelope without a key, for `seal = false`.
    #[must_use]
    pub fn without_key(random: [u8; 42]) -> Envelope {
        Envelope { id: Envelope::id_from_random(&random), key: None, wrapped: Vec::new() }
    }

    fn id_from_random(random: &[u8; 42]) -> RecordingId {
        let mut id = [0; 10];
        id.copy_from_slice(&random[..10]);
        RecordingId::from_random(id)
    }
}

fn wrap_key(key: &DataKey, recipients: &[Recipient]) -> Result<Vec<u8>, SealError> {
    let refused = |why: &dyn std::fmt::Display| SealError::Wrap { why: why.to_string() };
    let all = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(all).map_err(|why| refused(&why))?;
    let mut wrapped = Vec::new();
    let mut writer = encryptor.wrap_output(&mut wrapped).map_err(|why| refused(&why))?;
    writer.write_all(&key.0).map_err(|why| refused(&why))?;
    writer.finish().map_err(|why| refused(&why))?;
    Ok(wrapped)
}

/// Unwraps the data key of a media header with any of `identities`.
///
/// # Errors
/// When none of them fits, or the wrapped key is damaged.
pub fn unwrap_key(wrapped: &[u8], identities: &[Identity]) -> Result<DataKey, SealError> {
    let not_age = |why: &dyn std::fmt::Display| SealError::NotAge { why: why.to_string() };
    let wrong_key = || SealError::WrongKey {
        sealed_to: wrapped.split(|byte| *byte == b'\n').filter(is_stanza).count(),
        offered: identities.iter().map(|identity| identity.to_public().to_string()).collect(),
    };
    let decryptor = age::Decryptor::new_buffered(wrapped).map_err(|why| not_age(&why))?;
    let all = identities.iter().map(|identity| identity as &dyn age::Identity);
    let reader = decryptor.decrypt(all).map_err(|why| match why {
        age::DecryptError::NoMatchingKeys => wrong_key(),
        other => not_age(&other),
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(64));
    reader.take(64).read_to_end(&mut plain).map_err(|why| not_age(&why))?;
    let mut key = DataKey([0; 32]);
    if plain.len() != key.0.len() {
        return Err(SealError::KeyLength { found: plain.len() });
    }
    key.0.copy_from_slice(&plain);
    Ok(key)
}

/// Whether this line of an age header begins the stanza of an X25519 recipient.
fn is_stanza(line: &&[u8]) -> bool {
    line.starts_with(b"-> X25519 ")
}

/// Generates a key pair. Returns the text of the identity file (secret), in the format of
/// age-keygen, and the public key. Draws random bits, so only the shell calls it.
#[must_use]
pub fn generate_identity() -> (Zeroizing<String>, String) {
    let identity = Identity::generate();
    let public = identity.to_public().to_string();
    let secret = identity.to_string();
    let text = Zeroizing::new(format!(
        "# Hushbox identity: opens the recordings that are sealed to the public key below.\n\
         # public key: {public}\n{}\n",
        secret.expose_secret()
    ));
    (text, public)
}

/// Iterates over the lines that are neither blank nor comments, numbered from 1.
fn content_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // An editor on Windows may begin the file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let numbered = (1..).zip(text.lines().map(str::trim));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Parses a recipients file: one `age1…` per line; blank lines and `#` comments are skipped.
pub fn parse_recipients(text: &str) -> Result<Vec<Recipient>, SealError> {
    content_lines(text)
        .map(|(line, key)| key.parse().map_err(|why| SealError::BadRecipient { line, why }))
        .collect()
}

/// Parses an identity file: one `AGE-SECRET-KEY-1…` per line; the rest as for recipients.
pub fn parse_identities(text: &str) -> Result<Vec<Identity>, SealError> {
    content_lines(text)
        .map(|(line, key)| key.parse().map_err(|why| SealError::BadIdentity { line, why }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_random() -> [u8; 42] {
        std::array::from_fn(|n| u8::try_from(n).unwrap_or(0))
    }

    #[test]
    fn h5_only_recipients_open_the_envelope() {
        let pairs: Vec<Identity> = (0..3).map(|_| Identity::generate()).collect();
        let recipients = [pairs[0].to_public(), pairs[1].to_public()];
        let envelope = Envelope::for_recipients(test_random(), &recipients).expect("made");
        assert_eq!(envelope.id.as_bytes(), &test_random()[..10]);
        assert!(envelope.wrapped.starts_with(b"age-encryption.org/v1\n"));
        for pair in &pairs[..2] {
            let opened = unwrap_key(&envelope.wrapped, std::slice::from_ref(pair)).expect("opens");
            assert_eq!(Some(opened), envelope.key);
        }
        let wrong = unwrap_key(&envelope.wrapped, &pairs[2..]).expect_err("wrong key");
        let offered = vec![pairs[2].to_public().to_string()];
        assert_eq!(wrong, SealError::WrongKey { sealed_to: 2, offered });
        assert!(wrong.to_string().contains("sealed to 2 recipient(s)"), "{wrong}");
    }

    #[test]
    fn invalid_wrapped_key_is_rejected_with_reason() {
        let pair = Identity::generate();
        let mut wrapped =
            Envelope::for_recipients(test_random(), &[pair.to_public()]).expect("made").wrapped;
        let pairs = [pair];
        for cut in 0..wrapped.len() {
            assert!(unwrap_key(&wrapped[..cut], &pairs).is_err(), "cut at {cut}");
        }
        let last = wrapped.len() - 1;
        wrapped[last] ^= 1;
        assert!(matches!(unwrap_key(&wrapped, &pairs), Err(SealError::NotAge { .. })));
        let short = age::encrypt(&pairs[0].to_public(), &[1; 31]).expect("encrypts");
        assert_eq!(unwrap_key(&short, &pairs), Err(SealError::KeyLength { found: 31 }));
        assert!(matches!(
            Envelope::for_recipients(test_random(), &[]),
            Err(SealError::NoRecipient)
        ));
    }

    #[test]
    fn identity_round_trips_and_errors_name_the_line() {
        let (secret, public) = generate_identity();
        let identities = parse_identities(&secret).expect("reads");
        assert_eq!(identities[0].to_public().to_string(), public);
        let marked = parse_identities(&format!("\u{feff}{}", *secret)).expect("a byte order mark");
        assert_eq!(marked[0].to_public().to_string(), public);
        let text = format!("# comment\n\n {public} \n");
        assert_eq!(parse_recipients(&text).expect("reads"), [identities[0].to_public()]);
        let bad = parse_recipients("# first\nage1nonsense\n").expect_err("refused");
        assert!(matches!(bad, SealError::BadRecipient { line: 2, .. }), "{bad}");
        assert!(matches!(parse_identities(&public), Err(SealError::BadIdentity { line: 1, .. })));
        assert_eq!(format!("{:?}", DataKey::from_random([9; 32])), "DataKey(…)");
    }
}
