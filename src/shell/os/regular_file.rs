//! Opens files of a data directory for reading, and refuses anything but a regular file.
//!
//! A device, a pipe or a link in place of a file could block its reader, never end, or lead out of
//! the directory. Links in the folders above are allowed: a site may keep its media elsewhere.

use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io;
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::io::Read;
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
}
