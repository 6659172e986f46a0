//! Names of users, machines and technicians, compared without regard to case.
//!
//! Two names are the same if they are equal after Unicode's canonical caseless matching (D145):
//! full case folding, with composed and decomposed letters alike. `Jörg`, `JÖRG` and `Jo\u{308}rg`
//! are one name. Every comparison of such names uses this module, so that the check of a
//! configuration and the running box always agree.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

fn fold(name: &str) -> impl Iterator<Item = char> {
    name.nfd().default_case_fold().nfd()
}

/// Whether two texts are the same name.
#[must_use]
pub fn is_same_name(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    fold(one).eq(fold(other))
}

/// Returns the text that all spellings of a name share, as a key for tables.
#[must_use]
pub fn fold_name(name: &str) -> String {
    if name.is_ascii() { name.to_ascii_lowercase() } else { fold(name).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_many_spellings_in_any_script() {
        let same = [
            ("jdoe", "JDoe"),
            ("jörg", "JÖRG"),
            ("jörg", "JO\u{308}RG"),
            ("straße", "STRASSE"),
            ("Ζεύς", "ΖΕΎΣ"),
            ("łukasz", "ŁUKASZ"),
            ("\u{212a}im", "kim"),
            ("", ""),
        ];
        for (one, other) in same {
            assert!(is_same_name(one, other) && is_same_name(other, one), "{one} {other}");
            assert_eq!(fold_name(one), fold_name(other));
        }
        for (one, other) in [("jörg", "jorg"), ("jdoe", "jdoe2"), ("", "a"), ("ø", "o")] {
            assert!(!is_same_name(one, other), "{one} {other}");
            assert_ne!(fold_name(one), fold_name(other));
        }
    }
}
