//! A board that could not be opened or polled since the start.
//!
//! It tries to open again with back-off, whatever the reason: a technician may plug a card in or
//! put a missing file in its place, and a program may release the card. Position 0 is then the
//! board's first frame.

use crate::backoff::Backoff;
use crate::config::{BoardConfig, SourceKind};
use crate::{Board, BoardState};
use std::ops::Range;

pub struct ClosedBoard {
    config: BoardConfig,
    registry: mio::Registry,
    tokens: Range<usize>,
    state: BoardState,
    backoff: Backoff,
    retry_us: u64,
}

impl ClosedBoard {
    /// Creates a board that is due to be opened.
    pub(crate) fn new(
        config: BoardConfig,
        registry: mio::Registry,
        tokens: Range<usize>,
    ) -> ClosedBoard {
        let (state, backoff) = (BoardState::Waiting, Backoff::new());
        ClosedBoard { config, registry, tokens, state, backoff, retry_us: 0 }
    }

    /// Returns the open and registered board, if it is time to try and if that succeeds.
    pub(crate) fn reopen_if_due(&mut self, now_us: u64) -> Option<Board> {
        if now_us < self.retry_us {
            return None;
        }
        let opened = Board::open(&self.config, now_us).map_err(|error| error.to_string());
        let registered = opened.and_then(|mut board| {
            let registered = board.register(&self.registry, self.tokens.clone());
            let name = &self.config.name;
            registered.map(|()| board).map_err(|error| format!("board `{name}`: {error}"))
        });
        match registered {
            Ok(board) => Some(board),
            Err(text) => {
                self.state = BoardState::Failed { text, mute: false };
                self.retry_us = self.backoff.next_retry_us(now_us);
                None
            }
        }
    }

    pub(crate) fn is_sim(&self) -> bool {
        matches!(self.config.kind, SourceKind::Sim)
    }

    pub(crate) fn deadline_us(&self) -> Option<u64> {
        Some(self.retry_us)
    }

    pub(crate) fn position(&self) -> u64 {
        0
    }

    pub(crate) fn state(&self) -> &BoardState {
        &self.state
    }

    pub(crate) fn lost_frames(&self) -> u64 {
        0
    }

    pub(crate) fn rate(&self) -> u32 {
        self.config.rate
    }
}
