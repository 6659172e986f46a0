//! Inputs that are read more than once, and outputs that are written out of order: files where they
//! are some, memory where they are pipes.
//!
//! A file that exists in memory only (`memfd_create`) is a file here, so a program that hands over
//! large recordings pays for them once. What was made in memory is wiped. No file is made here.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroize;

/// What can be read again and again.
pub enum SeekableInput {
    Memory(Vec<u8>),
    File(PathBuf),
}

const STDIN: &str = "/proc/self/fd/0";
const STDOUT: &str = "/proc/self/fd/1";

impl SeekableInput {
    /// What is not a file that can be opened anew is read to its end.
    pub fn from_stdin() -> io::Result<SeekableInput> {
        let file = File::open(STDIN).and_then(|file| file.metadata());
        if file.is_ok_and(|meta| meta.is_file()) {
            return Ok(SeekableInput::File(STDIN.into()));
        }
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        Ok(SeekableInput::Memory(bytes))
    }

    /// The same of what is named.
    pub fn from_path(path: &Path) -> io::Result<SeekableInput> {
        let mut file = File::open(path)?;
        if file.metadata()?.is_file() {
            return Ok(SeekableInput::File(path.to_owned()));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(SeekableInput::Memory(bytes))
    }

    /// Reads it from its beginning.
    pub fn open_reader(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            SeekableInput::Memory(bytes) => Ok(Box::new(&bytes[..])),
            // By its path, so that it has a place of its own.
            SeekableInput::File(path) => Ok(Box::new(BufReader::new(File::open(path)?))),
        }
    }
}

/// What can be written anywhere.
pub enum SeekableOutput {
    Memory(Cursor<Vec<u8>>),
    File(BufWriter<File>),
}

impl SeekableOutput {
    /// A file that is still empty is written in place; anything else gets all of it at the end.
    pub fn to_stdout() -> SeekableOutput {
        let file = OpenOptions::new().write(true).open(STDOUT);
        let empty =
            |file: &File| file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0);
        match file.ok().filter(empty) {
            Some(file) => SeekableOutput::File(BufWriter::new(file)),
            None => SeekableOutput::Memory(Cursor::default()),
        }
    }

    /// It is complete.
    pub fn commit(mut self) -> io::Result<()> {
        match &mut self {
            SeekableOutput::File(file) => file.flush(),
            SeekableOutput::Memory(bytes) => {
                let mut out = io::stdout().lock();
                out.write_all(bytes.get_ref()).and_then(|()| out.flush())
            }
        }
    }

    /// Nothing of it is kept.
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
