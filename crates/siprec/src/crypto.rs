//! SRTP keys in session descriptions: `a=crypto` (RFC 4568, RFC 7714).
//!
//! Only suites that encrypt and authenticate are known. A line with another suite, with parameters
//! that weaken the stream, or with a master key identifier in each packet is left out.

use std::fmt;

use data_encoding::BASE64_NOPAD;
use zeroize::Zeroizing;

/// The most bytes of a master key with its salt: `AEAD_AES_256_GCM`.
const MATERIAL_MAX: usize = 44;

/// The most `a=crypto` lines of one stream that are looked at.
pub const CRYPTO_LINES_MAX: usize = 16;

/// A crypto suite of SRTP. The order is our preference, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SrtpSuite {
    /// RFC 7714.
    AeadAes256Gcm,
    /// RFC 4568, with a tag of 80 bits.
    AesCm128HmacSha1_80,
    /// RFC 4568, with a tag of 32 bits.
    AesCm128HmacSha1_32,
}

impl SrtpSuite {
    /// Every suite, the preferred one first.
    pub const ALL: [SrtpSuite; 3] =
        [SrtpSuite::AeadAes256Gcm, SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AesCm128HmacSha1_32];

    /// The name in an `a=crypto` line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SrtpSuite::AeadAes256Gcm => "AEAD_AES_256_GCM",
            SrtpSuite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            SrtpSuite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// Bytes of the master key.
    #[must_use]
    pub fn key_bytes(self) -> usize {
        match self {
            SrtpSuite::AeadAes256Gcm => 32,
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => 16,
        }
    }

    /// Bytes of the master salt.
    #[must_use]
    pub fn salt_bytes(self) -> usize {
        match self {
            SrtpSuite::AeadAes256Gcm => 12,
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => 14,
        }
    }
}

/// A master key with its salt. It is wiped when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    suite: SrtpSuite,
    material: Zeroizing<[u8; MATERIAL_MAX]>,
}

impl SrtpKey {
    /// A key of `suite` whose bytes `fill` writes: the key, then the salt.
    pub fn generate(suite: SrtpSuite, fill: impl FnOnce(&mut [u8])) -> SrtpKey {
        let mut material = Zeroizing::new([0; MATERIAL_MAX]);
        fill(&mut material[..suite.key_bytes() + suite.salt_bytes()]);
        SrtpKey { suite, material }
    }

    /// The key that the base64 text of an `inline:` parameter holds, with or without padding.
    #[must_use]
    pub fn from_base64(suite: SrtpSuite, text: &str) -> Option<SrtpKey> {
        let text = text.trim_end_matches('=').as_bytes();
        let length = suite.key_bytes() + suite.salt_bytes();
        if BASE64_NOPAD.decode_len(text.len()).ok()? != length {
            return None;
        }
        let mut material = Zeroizing::new([0; MATERIAL_MAX]);
        let decoded = BASE64_NOPAD.decode_mut(text, &mut material[..length]);
        (decoded == Ok(length)).then_some(SrtpKey { suite, material })
    }

    /// The text of an `inline:` parameter.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        let length = self.suite.key_bytes() + self.suite.salt_bytes();
        Zeroizing::new(data_encoding::BASE64.encode(&self.material[..length]))
    }

    /// The suite that the key is for.
    #[must_use]
    pub fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// The master key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.material[..self.suite.key_bytes()]
    }

    /// The master salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.material[self.suite.key_bytes()..][..self.suite.salt_bytes()]
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({})", self.suite.name())
    }
}

/// A usable `a=crypto` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedCrypto {
    /// The tag that the answer repeats.
    pub tag: u32,
    /// The key of the packets that the recording client sends.
    pub key: SrtpKey,
}

impl OfferedCrypto {
    /// The line whose value is `value`, such as `1 AEAD_AES_256_GCM inline:…`, if it is usable.
    #[must_use]
    pub fn parse(value: &str) -> Option<OfferedCrypto> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next()?.parse().ok()?;
        let name = words.next()?;
        let suite = SrtpSuite::ALL.into_iter().find(|s| name.eq_ignore_ascii_case(s.name()))?;
        let inline = words.next()?.strip_prefix("inline:")?;
        let mut parts = inline.split('|');
        let key = SrtpKey::from_base64(suite, parts.next()?)?;
        let mut lifetimes = parts.by_ref().take(1);
        // A part with a colon is a master key identifier. Packets would carry it.
        if lifetimes.any(|part| part.contains(':')) || parts.next().is_some() {
            return None;
        }
        words.all(is_harmless).then_some(OfferedCrypto { tag, key })
    }
}

/// Whether a session parameter leaves the stream as the suite defines it (RFC 4568 6.3).
fn is_harmless(parameter: &str) -> bool {
    parameter == "KDR=0" || parameter.starts_with("WSH=") || parameter.starts_with('-')
}
