//! The text with which a client program names itself in `hello client=`.
//!
//! `NAME/VERSION` is for people. A program that connects again adds `/STARTED-RANDOM`, made once at
//! its start: the box then knows its new connection from that of another program, and which of two
//! programs at a workstation began later.

/// Formats the name of a running program. `started_ms`: Unix time of its start, in milliseconds.
#[must_use]
pub fn format_program(name: &str, version: &str, started_ms: u64, random: u16) -> String {
    format!("{name}/{version}/{started_ms:x}-{random:04x}")
}

/// When the program started, as Unix time in milliseconds; `None` if its name does not say.
#[must_use]
pub fn started_ms(client: &str) -> Option<u64> {
    let run = client.splitn(3, '/').nth(2)?;
    let (started, random) = run.split_once('-')?;
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    (is_hex(started) && is_hex(random)).then(|| u64::from_str_radix(started, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_program_tells_its_start_and_fits_its_argument() {
        let name = format_program("desk", "10.20.30", 4_102_444_800_000, 7);
        assert_eq!(name, "desk/10.20.30/3bb2cc3d800-0007");
        assert!(name.len() <= crate::arg::NAME_BYTES);
        assert_eq!(started_ms(&name), Some(4_102_444_800_000));
        for text in ["", "desk/0.1", "desk/0.1/", "d/1/12", "d/1/-1", "d/1/+1-2", "d/1/x-1", "//1-"]
        {
            assert_eq!(started_ms(text), None, "{text}");
        }
        assert_eq!(started_ms("d/1/11112222333344445-1"), None, "no time of a program");
    }
}
