//! Opens files of a data directory for reading, and refuses anything but a regular file.
//!
//! A device, a pipe or a link in place of a file could block its reader, never end, or lead out of
//! the directory. Links in the folders above are allowed: a site may keep its media elsewhere.

use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file for reading, without following a link and without waiting.
///
/// # Errors
/// The file cannot be opened, or is not a regular file (`InvalidData`).
pub fn open_regular_file(path: &Path) -> io::Result<File> {
    let special = || io::Error::new(io::ErrorKind::InvalidData, "not a regular file");
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(special()),
        // The answers of the kernel for a link and for a socket.
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ELOOP | Errno::ENXIO) => Err(special()),
            _ => Err(error),
        },
    }
}

/// Writes zeros over a part of a regular file, and syncs it. The file does not grow.
///
/// # Errors
/// The file cannot be opened or written, or is not a regular file (`InvalidData`).
pub fn overwrite_with_zeros(path: &Path, offset: u64, length: u64) -> io::Result<()> {
    let size = open_regular_file(path)?.metadata()?.len();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut file = OpenOptions::new().write(true).custom_flags(flags.bits()).open(path)?;
    let end = size.min(offset.saturating_add(length));
    file.seek(SeekFrom::Start(offset.min(end)))?;
    io::copy(&mut io::repeat(0).take(end.saturating_sub(offset)), &mut file)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::symlink;

    #[test]
    fn h5_only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "audio").unwrap();
        symlink("/dev/zero", path("endless")).unwrap();
        symlink("file", path("link")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        for name in ["endless", "link", "pipe", "socket", "folder"] {
            let error = open_regular_file(&path(name)).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{name}");
        }
        let missing = open_regular_file(&path("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let mut text = String::new();
        open_regular_file(&path("file")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "audio");
    }

    #[test]
    fn h6_zeros_replace_the_named_bytes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "before secret after").unwrap();
        overwrite_with_zeros(&path, 7, 6).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"before \0\0\0\0\0\0 after");
        overwrite_with_zeros(&path, 14, 1000).unwrap();
        overwrite_with_zeros(&path, 1000, 5).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"before \0\0\0\0\0\0 \0\0\0\0\0");
        symlink(&path, folder.path().join("link")).unwrap();
        assert!(overwrite_with_zeros(&folder.path().join("link"), 0, 5).is_err());
    }
}
