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
pub enum Input {
    Memory(Vec<u8>),
    File(PathBuf),
}

const STDIN: &str = "/proc/self/fd/0";
const STDOUT: &str = "/proc/self/fd/1";

impl Input {
    /// What is not a file that can be opened anew is read to its end.
    pub fn stdin() -> io::Result<Input> {
        let file = File::open(STDIN).and_then(|file| file.metadata());
        if file.is_ok_and(|meta| meta.is_file()) {
            return Ok(Input::File(STDIN.into()));
        }
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        Ok(Input::Memory(bytes))
    }

    /// The same of what is named.
    pub fn of(path: &Path) -> io::Result<Input> {
        let mut file = File::open(path)?;
        if file.metadata()?.is_file() {
            return Ok(Input::File(path.to_owned()));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Input::Memory(bytes))
    }

    /// Reads it from its beginning.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Input::Memory(bytes) => Ok(Box::new(&bytes[..])),
            // By its path, so that it has a place of its own.
            Input::File(path) => Ok(Box::new(BufReader::new(File::open(path)?))),
        }
    }
}

/// What can be written anywhere.
pub enum Output {
    Memory(Cursor<Vec<u8>>),
    File(BufWriter<File>),
}

impl Output {
    /// A file that is still empty is written in place; anything else gets all of it at the end.
    pub fn stdout() -> Output {
        let file = OpenOptions::new().write(true).open(STDOUT);
        let empty =
            |file: &File| file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0);
        match file.ok().filter(empty) {
            Some(file) => Output::File(BufWriter::new(file)),
            None => Output::Memory(Cursor::default()),
        }
    }

    /// It is complete.
    pub fn keep(mut self) -> io::Result<()> {
        match &mut self {
            Output::File(file) => file.flush(),
            Output::Memory(bytes) => {
                let mut out = io::stdout().lock();
                out.write_all(bytes.get_ref()).and_then(|()| out.flush())
            }
        }
    }

    /// Nothing of it is kept.
    pub fn discard(mut self) -> io::Result<()> {
        match &mut self {
            Output::File(file) => file.flush().and_then(|()| file.get_ref().set_len(0)),
            Output::Memory(_) => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Memory(cursor) => cursor.write(bytes),
            Output::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Memory(_) => Ok(()),
            Output::File(file) => file.flush(),
        }
    }
}

impl Seek for Output {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Output::Memory(cursor) => cursor.seek(to),
            Output::File(file) => file.seek(to),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Output::Memory(bytes) = self {
            bytes.get_mut().zeroize();
        }
    }
}
