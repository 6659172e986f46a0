//! Inputs that are read more than once, and outputs with random access. Regular files are used
//! directly; pipes are buffered in memory.
//!
//! A `memfd_create` file counts as a regular file, so a program can pass large recordings without a
//! second copy. Buffered output is wiped.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroize;

/// An input that can be read repeatedly.
pub enum SeekableInput {
    Memory(Vec<u8>),
    File(PathBuf),
}

const STDIN: &str = "/proc/self/fd/0";
const STDOUT: &str = "/proc/self/fd/1";

impl SeekableInput {
    /// Opens stdin, buffering it if it is not a regular file.
    pub fn from_stdin() -> io::Result<SeekableInput> {
        let file = File::open(STDIN).and_then(|file| file.metadata());
        if file.is_ok_and(|meta| meta.is_file()) {
            return Ok(SeekableInput::File(STDIN.into()));
        }
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        Ok(SeekableInput::Memory(bytes))
    }

    /// Opens a file, buffering it if it is not a regular file.
    pub fn from_path(path: &Path) -> io::Result<SeekableInput> {
        let mut file = File::open(path)?;
        if file.metadata()?.is_file() {
            return Ok(SeekableInput::File(path.to_owned()));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
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
