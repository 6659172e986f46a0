//! Anonymous memory files (memfd) for encrypted and opened recordings.
//!
//! A child process reads and writes one like any file, so a large recording is in memory once. A
//! memory file has no path, is close-on-exec, and is wiped on drop.

use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{Result, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use zeroize::Zeroizing;

/// Block size of the wipe, in bytes.
const WIPE_BLOCK_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub struct MemFile(File);

impl MemFile {
    /// Creates an empty memory file that is close-on-exec.
    pub fn new() -> Result<MemFile> {
        Ok(MemFile(File::from(memfd_create("hushbox", MFdFlags::MFD_CLOEXEC)?)))
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes)
    }

    /// Duplicates the descriptor for one child process; the duplicate is close-on-exec too.
    pub fn try_clone_fd(&self) -> Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }

    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |meta| meta.len())
    }

    /// Reads `size` bytes at `from`.
    pub fn read(&self, from: u64, size: usize) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; size]);
        self.0.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        let (zeros, size) = ([0; WIPE_BLOCK_BYTES], self.size());
        let mut at = 0;
        while at < size {
            let count = usize::try_from(size - at)
                .map_or(WIPE_BLOCK_BYTES, |left| left.min(WIPE_BLOCK_BYTES));
            if self.0.write_all_at(&zeros[..count], at).is_err() {
                // Another holder sealed the file: the kernel frees it with the last descriptor.
                return;
            }
            at += WIPE_BLOCK_BYTES as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_in_parts_and_wiped_when_it_goes() {
        let mut memory = MemFile::new().unwrap();
        memory.append(&[7; 100_000]).unwrap();
        memory.append(b"end").unwrap();
        assert_eq!(memory.size(), 100_003);
        assert_eq!(memory.read(99_999, 4).unwrap()[..], *b"\x07end");
        assert!(memory.read(100_000, 4).is_err());
        let mut held = MemFile(File::from(memory.try_clone_fd().unwrap()));
        drop(memory);
        assert!(held.read(0, 100_003).unwrap().iter().all(|byte| *byte == 0));
        assert!(held.append(b"more").is_ok() && held.size() == 100_007);
    }
}
