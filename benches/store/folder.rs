//! A data directory read as the command-line tool reads it, without a daemon.
//!
//! Only day summaries are written to it.

use hushbox::store::recover::StoreFs;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

pub struct Folder(pub PathBuf);

impl StoreFs for Folder {
    type File = BufReader<File>;

    fn list_folder(&self, folder: &str) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(self.0.join(folder))?;
        names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open_file(&self, path: &str) -> io::Result<BufReader<File>> {
        File::open(self.0.join(path)).map(BufReader::new)
    }

    fn open_file_at(&self, path: &str, offset: u64) -> io::Result<BufReader<File>> {
        let mut file = File::open(self.0.join(path))?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(BufReader::new(file))
    }

    fn truncate_and_append(&mut self, _path: &str, _good: u64, _more: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_file(&mut self, _path: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
