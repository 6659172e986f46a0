//! Removes SRTP (RFC 3711, RFC 7714) from one leg.
//!
//! Each SSRC has its own context, whose roll-over counter begins at zero. A context lives as long
//! as the leg has the same key: it survives a hold. The keys are wiped when the leg is closed.

use super::leg_config::{SrtpKey, SrtpSuite};
use libsrtp::{MasterKey, ProtectionProfile, RecvSession, StreamConfig};

/// SSRCs with a context. One more, and the oldest is dropped: its packets would then begin a new
/// context.
const CONTEXTS_MAX: usize = 8;

/// Packets behind the newest within which a replay is recognised.
const REPLAY_WINDOW: u16 = 128;

/// Receives one leg's SRTP and SRTCP.
pub(crate) struct SrtpReceiver {
    session: RecvSession,
    key: SrtpKey,
    /// SSRCs with a context, oldest first.
    known: Vec<u32>,
}

impl SrtpReceiver {
    /// Creates the receiver. `None` if libsrtp does not take the key, which
    /// `LegConfig::validate` rules out.
    pub fn new(key: &SrtpKey) -> Option<SrtpReceiver> {
        let (key_bytes, _) = key.suite.key_and_salt_bytes();
        let (master, salt) = key.key_and_salt.split_at_checked(key_bytes)?;
        let (rtp, rtcp) = profiles(key.suite);
        let mut config = StreamConfig::new(vec![MasterKey::new(master, salt, &None)], &rtp, &rtcp);
        config.set_replay_window_size(REPLAY_WINDOW);
        let mut session = RecvSession::new();
        session.add_stream(None, &config).ok()?;
        Some(SrtpReceiver { session, key: key.clone(), known: Vec::with_capacity(CONTEXTS_MAX) })
    }

    /// Whether this receiver has that key, so that its contexts may stay.
    pub fn has_key(&self, key: &SrtpKey) -> bool {
        self.key == *key
    }

    /// Decrypts an RTP packet in place. Returns false, and leaves `packet` empty, if it was not
    /// protected with this key, was changed, or came before.
    pub fn unprotect(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(ssrc) = ssrc_of(packet) else { return false };
        match self.session.rtp_unprotect(std::mem::take(packet)) {
            Ok(plain) => {
                *packet = plain;
                self.note_context(ssrc);
                true
            }
            Err(_) => false,
        }
    }

    /// Decrypts an RTCP packet in place, as `unprotect` does for RTP.
    pub fn unprotect_rtcp(&mut self, packet: &mut Vec<u8>) -> bool {
        match self.session.rtcp_unprotect(std::mem::take(packet)) {
            Ok(plain) => {
                *packet = plain;
                true
            }
            Err(_) => false,
        }
    }

    fn note_context(&mut self, ssrc: u32) {
        if self.known.contains(&ssrc) {
            return;
        }
        if self.known.len() == CONTEXTS_MAX {
            let oldest = self.known.remove(0);
            // It is there: it was added below when its first packet was accepted.
            self.session.remove_stream(oldest).unwrap_or_default();
        }
        self.known.push(ssrc);
    }
}

/// Profiles of RTP and of RTCP. RTCP has the long tag always (RFC 4568, 6.2.2).
fn profiles(suite: SrtpSuite) -> (ProtectionProfile, ProtectionProfile) {
    let long = ProtectionProfile::Aes128CmHmacSha180;
    match suite {
        SrtpSuite::AeadAes256Gcm => {
            (ProtectionProfile::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm)
        }
        SrtpSuite::AesCm128HmacSha1_80 => (long, long),
        SrtpSuite::AesCm128HmacSha1_32 => (ProtectionProfile::Aes128CmHmacSha132, long),
    }
}

fn ssrc_of(packet: &[u8]) -> Option<u32> {
    let bytes = packet.get(8..12)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsrtp::SendSession;
    use zeroize::Zeroizing;

    const SUITES: [SrtpSuite; 3] =
        [SrtpSuite::AeadAes256Gcm, SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AesCm128HmacSha1_32];

    fn key(suite: SrtpSuite, first: u8) -> SrtpKey {
        let (key, salt) = suite.key_and_salt_bytes();
        let bytes = (0..key + salt).map(|n| first.wrapping_add(u8::try_from(n).unwrap()));
        SrtpKey { suite, key_and_salt: Zeroizing::new(bytes.collect()) }
    }

    fn sender(key: &SrtpKey) -> SendSession {
        let (rtp, rtcp) = profiles(key.suite);
        let (master, salt) = key.key_and_salt.split_at(key.suite.key_and_salt_bytes().0);
        let config = StreamConfig::new(vec![MasterKey::new(master, salt, &None)], &rtp, &rtcp);
        let mut session = SendSession::new();
        session.add_stream(None, &config).unwrap();
        session
    }

    fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
        let mut bytes = vec![0x80, 0];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(0_u32.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend([0x55; 160]);
        bytes
    }

    #[test]
    fn each_suite_is_removed_and_nothing_false_is_accepted() {
        for suite in SUITES {
            let mut receiver = SrtpReceiver::new(&key(suite, 1)).unwrap();
            let mut send = sender(&key(suite, 1));
            let protected = send.rtp_protect(packet(7, 1)).unwrap();
            assert!(protected.len() > packet(7, 1).len());
            let mut bytes = protected.clone();
            assert!(receiver.unprotect(&mut bytes), "{suite:?}");
            assert_eq!(bytes, packet(7, 1));
            assert!(!receiver.unprotect(&mut protected.clone()), "replayed");
            let mut changed = send.rtp_protect(packet(7, 2)).unwrap();
            changed[20] ^= 1;
            assert!(!receiver.unprotect(&mut changed), "changed");
            let mut other = sender(&key(suite, 2)).rtp_protect(packet(7, 3)).unwrap();
            assert!(!receiver.unprotect(&mut other), "another key");
            assert!(!receiver.unprotect(&mut packet(7, 4)), "not protected");
            assert!(!receiver.unprotect(&mut vec![0x80; 5]), "too short");
        }
    }

    #[test]
    fn a_known_vector_of_rfc_3711_opens() {
        // RFC 3711, B.3: master key and salt, and the cipher key derived from them. The packet was
        // made with libsrtp 2 (its srtp_driver test) under the same key.
        let bytes = |text: &str| -> Vec<u8> {
            let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(digit).collect()
        };
        let master = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
        let suite = SrtpSuite::AesCm128HmacSha1_80;
        let key = SrtpKey { suite, key_and_salt: Zeroizing::new(bytes(master)) };
        let mut packet = bytes(concat!(
            "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402",
            "b78d6acc99ea179b8dbb"
        ));
        assert!(SrtpReceiver::new(&key).unwrap().unprotect(&mut packet));
        assert_eq!(packet[12..], [0xab; 16]);
    }

    #[test]
    fn sequence_numbers_roll_over_and_a_new_ssrc_begins_at_zero() {
        let key = key(SrtpSuite::AeadAes256Gcm, 9);
        let (mut receiver, mut send) = (SrtpReceiver::new(&key).unwrap(), sender(&key));
        for sequence in [65_533, 65_534, 65_535, 0, 1] {
            let mut bytes = send.rtp_protect(packet(1, sequence)).unwrap();
            assert!(receiver.unprotect(&mut bytes), "{sequence}");
        }
        for ssrc in 2..40 {
            let mut bytes = send.rtp_protect(packet(ssrc, 65_535)).unwrap();
            assert!(receiver.unprotect(&mut bytes), "SSRC {ssrc}");
        }
        assert_eq!(receiver.known, (32..40).collect::<Vec<u32>>(), "the newest contexts stay");
    }

    #[test]
    fn rtcp_is_opened_with_the_same_key() {
        for suite in SUITES {
            let key = key(suite, 3);
            let report = vec![0x81, 200, 0, 1, 0, 0, 0, 7];
            let mut bytes = sender(&key).rtcp_protect(report.clone()).unwrap();
            let mut receiver = SrtpReceiver::new(&key).unwrap();
            assert!(receiver.unprotect_rtcp(&mut bytes), "{suite:?}");
            assert_eq!(bytes, report);
            assert!(!receiver.unprotect_rtcp(&mut report.clone()), "not protected");
        }
    }
}
