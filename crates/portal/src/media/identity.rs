//! What counts as an identity: the private key that opens recordings, as text.

use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;

const PREFIX: &str = "AGE-SECRET-KEY-";
const SECRET_BYTES: usize = 32;

/// Finds the first identity in a text, such as the contents of an identity file. Its
/// checksum must be right, so the portal reports a typing error at once, and not when a recording
/// does not open.
#[must_use]
pub fn find_identity(text: &str) -> Option<&str> {
    text.split_whitespace().find(|word| is_identity(word))
}

fn is_identity(word: &str) -> bool {
    word.starts_with(PREFIX)
        && CheckedHrpstring::new::<Bech32>(word).is_ok_and(|checked| {
            checked.hrp().as_str().eq_ignore_ascii_case(PREFIX)
                && checked.byte_iter().count() == SECRET_BYTES
        })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use bech32::Hrp;

    /// An identity of this secret.
    pub fn make_identity(secret: &[u8]) -> String {
        bech32::encode_upper::<Bech32>(Hrp::parse(PREFIX).unwrap(), secret).unwrap()
    }

    #[test]
    fn h5_only_a_whole_key_with_its_checksum_is_an_identity() {
        let key = make_identity(&[7; 32]);
        assert_eq!(find_identity(&format!("# made by hushbox keygen\n{key}\n")), Some(&*key));
        let typo = key.replace(&key[20..21], if &key[20..21] == "Q" { "P" } else { "Q" });
        let public = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let (short, cut) = (make_identity(&[7; 31]), &key[..key.len() - 1]);
        let words = "AGE-SECRET-KEY-1QQQQ";
        for bad in ["", words, &typo, public, &short, cut, &key.to_lowercase(), "Qé"] {
            assert_eq!(find_identity(bad), None, "{bad}");
        }
    }
}
