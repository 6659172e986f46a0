//! A thread that codes pieces, so that looking at the screen never waits for it.
//!
//! Pieces go in and come out in order, as WebM files in memory. A piece in which nothing moved
//! since the one before is not coded again.

use crate::film::Raw;
use crate::picture::Picture;
use crate::vpx::{Coded, Coder};
use crate::webm::Piece;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A piece to be sent.
pub struct Ready {
    pub recording: String,
    pub from: i64,
    pub duration_ms: i64,
    pub file: Vec<u8>,
}

/// The other end of the thread.
pub struct Bench {
    pieces: Sender<Raw>,
    ready: Receiver<Ready>,
    /// Pieces that were given and have not come back.
    pub under_way: usize,
}

impl Bench {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn start(coder: impl Coder + Send + 'static) -> std::io::Result<Bench> {
        let (pieces, inbox) = channel::<Raw>();
        let (outbox, ready) = channel();
        let work = move || {
            let mut desk = Desk { coder, black: Vec::new(), last: None };
            while let Ok(raw) = inbox.recv() {
                if outbox.send(desk.make(&raw)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("coder".to_owned()).spawn(work)?;
        Ok(Bench { pieces, ready, under_way: 0 })
    }

    pub fn give(&mut self, raw: Raw) {
        if self.pieces.send(raw).is_ok() {
            self.under_way += 1;
        }
    }

    /// The next piece that is ready.
    pub fn next(&mut self) -> Option<Ready> {
        let ready = self.ready.try_recv().ok()?;
        self.under_way -= 1;
        Some(ready)
    }
}

/// What is remembered from piece to piece.
struct Desk<C> {
    coder: C,
    /// A black key picture, and of which size.
    black: Vec<(usize, usize, Vec<u8>)>,
    /// A picture that stood still, coded.
    last: Option<(Arc<Picture>, Vec<u8>)>,
}

impl<C: Coder> Desk<C> {
    fn make(&mut self, raw: &Raw) -> Ready {
        let file = self.file(raw).unwrap_or_else(|error| {
            log::error!("{error}");
            Vec::new()
        });
        let (recording, from) = (raw.recording.clone(), raw.from);
        Ready { recording, from, duration_ms: raw.to.saturating_sub(from), file }
    }

    fn file(&mut self, raw: &Raw) -> Result<Vec<u8>, crate::vpx::CodeError> {
        let Some((_, first)) = raw.pictures.first() else { return Ok(Vec::new()) };
        let still = raw.pictures.len() == 1;
        if let Some((_, file)) = self.last.as_ref().filter(|(l, _)| still && Arc::ptr_eq(l, first))
        {
            return Ok(file.clone());
        }
        let black = self.black(first.width, first.height)?;
        let relative = |(at, picture): &(i64, Arc<Picture>)| (at - raw.from, Arc::clone(picture));
        let run: Vec<(i64, Arc<Picture>)> = raw.pictures.iter().map(relative).collect();
        let run: Vec<(i64, &Picture)> = run.iter().map(|(at, picture)| (*at, &**picture)).collect();
        let pictures: Vec<Coded> = self.coder.code(&run, raw.kbps)?;
        let file = Piece {
            codec: self.coder.codec(),
            width: first.width,
            height: first.height,
            pictures: &pictures,
            black: &black,
        }
        .file();
        self.last = still.then(|| (Arc::clone(first), file.clone()));
        Ok(file)
    }

    fn black(&mut self, width: usize, height: usize) -> Result<Vec<u8>, crate::vpx::CodeError> {
        let known = self.black.iter().find(|(w, h, _)| (*w, *h) == (width, height));
        if let Some((_, _, data)) = known {
            return Ok(data.clone());
        }
        let coded = self.coder.code(&[(0, &Picture::black(width, height))], 100)?;
        let data = coded.into_iter().next().map(|coded| coded.data).unwrap_or_default();
        self.black = vec![(width, height, data.clone())];
        Ok(data)
    }
}
