//! Files that exist in memory only: recordings, sealed as they come and opened as they are heard.
//!
//! A program that is given one reads and writes it like any file, so that a large recording is held
//! once. It has no name anywhere, closes when another program starts, and is wiped when it goes.
//! Nothing here knows what is in it.

use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{Result, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use zeroize::Zeroizing;

/// What is written at a time to wipe.
const BLOCK: usize = 64 << 10;

/// One of them.
#[derive(Debug)]
pub struct Memory(File);

impl Memory {
    /// An empty one, which no program that is started inherits by itself.
    pub fn new() -> Result<Memory> {
        Ok(Memory(File::from(memfd_create("hushbox", MFdFlags::MFD_CLOEXEC)?)))
    }

    /// Puts something at its end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes)
    }

    /// Another descriptor of it, to hand to one program; it closes in all others, too.
    pub fn handle(&self) -> Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |meta| meta.len())
    }

    /// A part of it.
    pub fn read(&self, from: u64, size: usize) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; size]);
        self.0.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let (zeros, size) = ([0; BLOCK], self.size());
        let mut at = 0;
        while at < size {
            let count = usize::try_from(size - at).map_or(BLOCK, |left| left.min(BLOCK));
            if self.0.write_all_at(&zeros[..count], at).is_err() {
                // Whoever holds it too has sealed it: the last one to let go frees it.
                return;
            }
            at += BLOCK as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_in_parts_and_wiped_when_it_goes() {
        let mut memory = Memory::new().unwrap();
        memory.append(&[7; 100_000]).unwrap();
        memory.append(b"end").unwrap();
        assert_eq!(memory.size(), 100_003);
        assert_eq!(memory.read(99_999, 4).unwrap()[..], *b"\x07end");
        assert!(memory.read(100_000, 4).is_err());
        let mut held = Memory(File::from(memory.handle().unwrap()));
        drop(memory);
        assert!(held.read(0, 100_003).unwrap().iter().all(|byte| *byte == 0));
        assert!(held.append(b"more").is_ok() && held.size() == 100_007);
    }
}
