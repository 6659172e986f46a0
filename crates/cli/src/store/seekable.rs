//! Inputs that are read more than once, and outputs with random access. Regular files are used
//! directly; pipes are buffered in memory.
//!
//! A `memfd_create` file counts as a regular file, so a program can pass large recordings without a
//! second copy. Buffered output is wiped.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroize;

/// An input that can be read repeatedly.
pub enum SeekableInput {
    Memory(Vec<u8>),
    File(PathBuf),
}

const STDIN: &str = "/proc/self/fd/0";
const STDOUT: &str = "/proc/self/fd/1";

/// Most bytes that are taken from a pipe, because they are held in memory.
pub const PIPE_BYTES_MAX: u64 = 1 << 30;

impl SeekableInput {
    /// Opens stdin, buffering at most `bytes_max` bytes if it is not a regular file.
    pub fn from_stdin(bytes_max: u64) -> io::Result<SeekableInput> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        SeekableInput::from_file(stdin.into(), Path::new(STDIN), bytes_max)
    }

    /// Opens a file, buffering at most `bytes_max` bytes if it is not a regular file.
    pub fn from_path(path: &Path, bytes_max: u64) -> io::Result<SeekableInput> {
        SeekableInput::from_file(File::open(path)?, path, bytes_max)
    }

    fn from_file(file: File, path: &Path, bytes_max: u64) -> io::Result<SeekableInput> {
        let kind = file.metadata()?.file_type();
        if kind.is_file() {
            return Ok(SeekableInput::File(path.to_owned()));
        }
        // A device may never end.
        if !kind.is_fifo() && !kind.is_socket() {
            let text = "neither a regular file nor a pipe";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut bytes = Vec::new();
        let count = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(count).is_ok_and(|count| count > bytes_max) {
            let text = format!("longer than {bytes_max} bytes: pass a file instead of a pipe");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(SeekableInput::Memory(bytes))
    }

    /// Opens a reader at the start of the input.
    pub fn open_reader(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            SeekableInput::Memory(bytes) => Ok(Box::new(&bytes[..])),
            // Reopening by path gives the reader its own position.
            SeekableInput::File(path) => Ok(Box::new(BufReader::new(File::open(path)?))),
        }
    }
}

/// An output with random access.
pub enum SeekableOutput {
    Memory(Cursor<Vec<u8>>),
    File(BufWriter<File>),
}

impl SeekableOutput {
    /// Opens stdout. An empty regular file is written in place; otherwise `commit` writes
    /// everything.
    pub fn to_stdout() -> SeekableOutput {
        let file = OpenOptions::new().write(true).open(STDOUT);
        let empty =
            |file: &File| file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0);
        match file.ok().filter(empty) {
            Some(file) => SeekableOutput::File(BufWriter::new(file)),
            None => SeekableOutput::Memory(Cursor::default()),
        }
    }

    /// Completes the output.
    pub fn commit(mut self) -> io::Result<()> {
        match &mut self {
            SeekableOutput::File(file) => file.flush(),
            SeekableOutput::Memory(bytes) => {
                let mut out = io::stdout().lock();
                out.write_all(bytes.get_ref()).and_then(|()| out.flush())
            }
        }
    }

    /// Discards the output.
    pub fn discard(mut self) -> io::Result<()> {
        match &mut self {
            SeekableOutput::File(file) => file.flush().and_then(|()| file.get_ref().set_len(0)),
            SeekableOutput::Memory(_) => Ok(()),
        }
    }
}

impl Write for SeekableOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            SeekableOutput::Memory(cursor) => cursor.write(bytes),
            SeekableOutput::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            SeekableOutput::Memory(_) => Ok(()),
            SeekableOutput::File(file) => file.flush(),
        }
    }
}

impl Seek for SeekableOutput {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            SeekableOutput::Memory(cursor) => cursor.seek(to),
            SeekableOutput::File(file) => file.seek(to),
        }
    }
}

impl Drop for SeekableOutput {
    fn drop(&mut self) {
        if let SeekableOutput::Memory(bytes) = self {
            bytes.get_mut().zeroize();
        }
    }
}
