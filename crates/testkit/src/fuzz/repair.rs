//! Repairs the checksums of a mutated file, so that a fuzzer reaches the code behind them.
//!
//! It follows the lengths in the file and gives up where they lead outside. The layout comes from
//! `docs/record-format.md`, not from the code under test.

const JOURNAL_HEADER: usize = 72;
const SUMMARY_HEADER: usize = 136;

fn word(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let mut wide = [0; 8];
    wide[..size].copy_from_slice(bytes.get(at..at.checked_add(size)?)?);
    usize::try_from(u64::from_le_bytes(wide)).ok()
}

/// Writes the first `size` bytes of BLAKE3 over `from..to` to `at`.
fn sum(bytes: &mut [u8], (from, to): (usize, usize), (at, size): (usize, usize)) -> Option<()> {
    let sum = blake3::hash(bytes.get(from..to)?);
    bytes.get_mut(at..at.checked_add(size)?)?.copy_from_slice(&sum.as_bytes()[..size]);
    Some(())
}

/// Repairs the header's checksum, and the tag and checksum of every entry.
pub fn journal(bytes: &mut [u8]) {
    let _ = mend_journal(bytes);
}

fn mend_journal(bytes: &mut [u8]) -> Option<()> {
    sum(bytes, (0, JOURNAL_HEADER - 8), (JOURNAL_HEADER - 8, 8))?;
    let mut chain: [u8; 32] = bytes[32..64].try_into().ok()?;
    let mut at = JOURNAL_HEADER;
    loop {
        let end = at + 6 + word(bytes, at, 2)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&chain).update(&bytes[at..at + 2]).update(bytes.get(at + 6..end)?);
        chain = hasher.finalize().into();
        bytes.get_mut(end..end + 16)?.copy_from_slice(&chain[..16]);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes[at..at + 2]).update(&bytes[at + 6..end + 16]);
        bytes[at + 2..at + 6].copy_from_slice(&hasher.finalize().as_bytes()[..4]);
        at = end + 16;
    }
}

/// Repairs the checksums of header and chunks, and the trailer's digest and checksum.
pub fn media(bytes: &mut [u8]) {
    let _ = mend_media(bytes);
}

fn mend_media(bytes: &mut [u8]) -> Option<()> {
    let end = word(bytes, 8, 4)?.checked_add(12)?;
    sum(bytes, (0, end), (end, 8))?;
    let mut at = end + 8;
    while bytes.get(at..at + 4)? == b"HBMc" {
        let (payload, runs) = (word(bytes, at + 8, 4)?, word(bytes, at + 12, 2)?);
        let clear = at + 24 + 8 * runs;
        let (from, to) = (clear + 16, (clear + 16).checked_add(payload)?);
        sum(bytes, (from, to), (clear, 8))?;
        sum(bytes, (at, clear + 8), (clear + 8, 8))?;
        at = to;
    }
    let digest = at + if bytes.get(at..at + 4)? == b"HBMt" { 88 } else { 240 };
    sum(bytes, (0, at), (digest, 32))?;
    sum(bytes, (at, digest + 32), (digest + 32, 8))
}

/// Repairs the checksums of directory, ids, closing and header.
pub fn summary(bytes: &mut [u8]) {
    let _ = mend_summary(bytes);
}

fn mend_summary(bytes: &mut [u8]) -> Option<()> {
    let front = SUMMARY_HEADER.checked_add(word(bytes, 80, 8)?)?;
    let ids = front.checked_add(word(bytes, 12, 4)?.checked_mul(6)?)?;
    let pages = ids.checked_add(word(bytes, 88, 8)?)?;
    let closing = pages.checked_add(word(bytes, 96, 8)?)?;
    sum(bytes, (SUMMARY_HEADER, front), (104, 8))?;
    sum(bytes, (front, ids), (112, 8))?;
    sum(bytes, (pages, closing), (120, 8))?;
    sum(bytes, (0, SUMMARY_HEADER - 8), (SUMMARY_HEADER - 8, 8))
}
