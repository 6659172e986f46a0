//! Helpers for on-disk layouts: little-endian fields, checksums, lengths.
//!
//! Reads past the end return `None` and never panic, because files may hold any bytes.

/// Reads little-endian fields from the front of a byte slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeReader<'a>(pub &'a [u8]);

impl<'a> LeReader<'a> {
    /// Returns the next `count` bytes.
    pub fn read_bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// Returns the next `N` bytes.
    pub fn read_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.read_bytes(N)?.try_into().ok()
    }

    pub fn read_u8(&mut self) -> Option<u8> {
        self.read_array::<1>().map(|[byte]| byte)
    }

    pub fn read_u16(&mut self) -> Option<u16> {
        self.read_array().map(u16::from_le_bytes)
    }

    pub fn read_u32(&mut self) -> Option<u32> {
        self.read_array().map(u32::from_le_bytes)
    }

    pub fn read_u64(&mut self) -> Option<u64> {
        self.read_array().map(u64::from_le_bytes)
    }

    /// Skips `count` bytes of padding, which must be zero.
    pub fn expect_zeros(&mut self, count: usize) -> Option<()> {
        self.read_bytes(count)?.iter().all(|byte| *byte == 0).then_some(())
    }
}

/// Returns the first `N` bytes of BLAKE3 over the concatenated `parts`.
pub(crate) fn checksum<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    const { assert!(N <= 32) }
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; N];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..N]);
    sum
}

/// Converts a length in memory to a number of bytes on disk.
pub(crate) fn len_to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Converts a number of bytes on disk to a length in memory, saturating.
pub(crate) fn u64_to_len(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_little_endian_and_never_run_over() {
        let mut fields = LeReader(&[1, 2, 0, 3, 0, 0, 0, 0, 0, 9]);
        assert_eq!(
            (fields.read_u8(), fields.read_u16(), fields.read_u32()),
            (Some(1), Some(2), Some(3))
        );
        assert_eq!(
            (fields.read_u64(), fields.expect_zeros(2), fields.read_u8()),
            (None, Some(()), Some(9))
        );
        assert_eq!((fields.read_u8(), fields.read_bytes(1)), (None, None));
        assert_eq!(LeReader(&[0, 1]).expect_zeros(2), None);
    }
}
