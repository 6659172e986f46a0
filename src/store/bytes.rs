//! Small tools for on-disk layouts: little-endian fields, checksums, lengths.
//!
//! A `Fields` takes fixed-size integers off the front of bytes that anybody may have written; what
//! is too short is `None`, never a panic. Nothing here knows a layout.

/// Takes little-endian fields off the front of a byte slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// `count` bytes of padding, which must be zero.
    pub fn zeros(&mut self, count: usize) -> Option<()> {
        self.take(count)?.iter().all(|byte| *byte == 0).then_some(())
    }
}

/// The first `N` bytes of BLAKE3 over `parts`, one after the other.
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

/// A length in memory as a number of bytes on disk.
pub(crate) fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A number of bytes on disk as a length in memory; too large stays too large.
pub(crate) fn narrow(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_little_endian_and_never_run_over() {
        let mut fields = Fields(&[1, 2, 0, 3, 0, 0, 0, 0, 0, 9]);
        assert_eq!((fields.u8(), fields.u16(), fields.u32()), (Some(1), Some(2), Some(3)));
        assert_eq!((fields.u64(), fields.zeros(2), fields.u8()), (None, Some(()), Some(9)));
        assert_eq!((fields.u8(), fields.take(1)), (None, None));
        assert_eq!(Fields(&[0, 1]).zeros(2), None);
    }
}
