//! How the daemon begins: what is found on the disk, the recorder, and everything that is opened.
//!
//! Runs once, before the first turn, so that it may wait for the disk. The order matters: the data
//! directory is locked first, recovery comes before the recorder, and listeners and boards are
//! opened last, when there is somebody to serve them. Nothing here runs while the box serves.

use crate::audio::channel::ChannelIndex;
use crate::config::{Config, Listen};
use crate::job::Done;
use crate::recorder::{About, Boot, Input, Recorder, TimeSync};
use crate::shell::event_loop::{
    BOARDS, BoardPlace, Daemon, DaemonError, LISTENERS, SIGNALS, WAKER, system,
};
use crate::shell::net::admission::Admission;
use crate::shell::net::ca::Authority;
use crate::shell::net::listener::Listener;
use crate::shell::net::peer::LocalIds;
use crate::shell::net::tls::{Tls, TlsError};
use crate::shell::os::clock::Clock;
use crate::shell::os::data_dir::DataDir;
use crate::shell::os::log_writer::Printer;
use crate::shell::os::recover;
use crate::shell::os::service_manager::BootService;
use crate::shell::os::signal::Signals;
use crate::shell::workers::disk::Disk;
use crate::shell::workers::worker;
use crate::shell::workers::worker::Helper;
use crate::store::sign::BoxKey;
use crate::time::Mono;
use board::{Board, State, TOKENS_MAX};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Envelopes that are made before the first turn: about 0.2 ms each.
const FIRST_ENVELOPES: usize = 24;

impl Daemon {
    pub(super) fn start(
        config: Config,
        path: PathBuf,
        signals: Signals,
    ) -> Result<Daemon, DaemonError> {
        let clock = Clock::start();
        let poll = Poll::new().map_err(system("poll"))?;
        let waker = Waker::new(poll.registry(), Token(WAKER)).map(Arc::new);
        let waker = waker.map_err(system("waker"))?;
        let (data, box_key) = DataDir::open(&config)?;
        let queue = Disk::queue();
        crate::shell::os::log_writer::install(queue.0.clone(), log::LevelFilter::Info);
        let disk = Disk::start(&data.path, waker.clone(), queue, Printer::new())
            .map_err(system("the disk thread"))?;
        if let Some(notice) = &data.notice {
            log::warn!("{notice}");
        }
        let boot_service = BootService::start(clock.now(), config.boards.len());
        let found = recover::recover(&data.path)?;
        let recipients = data.recipients.clone();
        let boot_reason = match (found.index.boot(), found.index.stopped_in_order()) {
            (0, _) => "first",
            (_, true) => "shutdown",
            (_, false) => "power",
        };
        let boot = boot_of(&config, &data, (found, box_key));
        let mut recorder = Recorder::new(clock.now(), boot)?;
        let tls = open_tls(&config, &data.path, &clock)?;
        if let Some(tls) = &tls {
            recorder.serve_enrolment(tls.authority().fingerprint());
        }
        let mut daemon = Daemon {
            boards: Vec::new(),
            listeners: Vec::new(),
            knocking: Vec::new(),
            newcomers: BTreeMap::new(),
            last_shaken: 0,
            connections: BTreeMap::new(),
            last_heard: [0; 2],
            admission: Admission::default(),
            local_ids: LocalIds::look_up(&config.local),
            rest_until: Mono(0),
            boot_service,
            tls,
            next_session: 0,
            announced: false,
            stopped: false,
            config_path: path,
            scribe: Helper::new(Vec::new(), false, waker.clone()),
            tester: Helper::new(Vec::new(), false, waker.clone()),
            looker: Helper::new(Vec::new(), false, waker.clone()),
            time_sync_at: Some(Mono(0)),
            helper: Helper::new(recipients, config.store.seal, waker),
            poll,
            clock,
            recorder,
            disk,
            signals,
            data,
            config,
        };
        daemon.stock_up()?;
        daemon.open_all()?;
        daemon.introduce(boot_reason);
        daemon.tend_consoles();
        Ok(daemon)
    }

    /// What is told of the box.
    fn introduce(&mut self, boot_reason: &'static str) {
        let about = About {
            places: self.listeners.iter().map(Listener::place).collect(),
            recipients: self.data.recipients.iter().map(ToString::to_string).collect(),
            boot_reason,
            time_sync: TimeSync::default(),
            may_reboot: crate::shell::event_loop::reboot_exit().is_some(),
        };
        self.recorder.introduce(about);
    }

    /// What the first turn must know: how much room there is, so that nobody is promised what the
    /// disk cannot hold; and envelopes, so that the first recordings do not wait for the helper,
    /// which fills the stock up later.
    fn stock_up(&mut self) -> Result<(), DaemonError> {
        let (free, total) = crate::shell::workers::disk::space(&self.data.path);
        self.recorder.handle(self.clock.now(), Input::Done(Done::Space { free, total }));
        let count = (self.recorder.channel_count() + 2).min(FIRST_ENVELOPES);
        let (recipients, seal) = (&self.data.recipients, self.config.store.seal);
        let now = self.clock.now();
        for envelope in worker::envelopes(count, recipients, seal).map_err(DaemonError::Fatal)? {
            self.recorder.handle(now, Input::Envelope(Box::new(envelope)));
        }
        Ok(())
    }

    fn open_all(&mut self) -> Result<(), DaemonError> {
        let registry = self.poll.registry();
        let descriptor = self.signals.descriptor();
        registry
            .register(&mut SourceFd(&descriptor), Token(SIGNALS), Interest::READABLE)
            .map_err(system("signals"))?;
        for (index, listen) in self.config.listen.iter().enumerate() {
            let listener = Listener::open(listen, registry, Token(LISTENERS + index))?;
            self.listeners.push(listener);
            self.knocking.push(false);
        }
        for (index, mut board) in self.open_boards()?.into_iter().enumerate() {
            let first = BOARDS + index * TOKENS_MAX;
            board.register(registry, first..first + TOKENS_MAX).map_err(system("board"))?;
            self.recorder.board_loops_back(index, board.loops_back());
            if let State::Failed { text, .. } = board.state() {
                let trouble = Some(text.clone());
                self.recorder.handle(self.clock.now(), Input::Board { board: index, trouble });
            }
            let first = self.recorder.first_channel(index).unwrap_or(ChannelIndex(0));
            self.boards.push(BoardPlace { board, first, more: true });
        }
        Ok(())
    }
}

impl Daemon {
    /// A card that is not there does not take the others with it: it is tried again (alarm 101). If
    /// none is there, the box cannot start.
    fn open_boards(&self) -> Result<Vec<Board>, DaemonError> {
        let (mut boards, mut trouble) = (Vec::new(), Vec::new());
        let models = self.config.boards.iter().map(super::board_model::of);
        let now_us = self.clock.now().mono.0;
        for model in models {
            let board = match Board::open(&model, now_us) {
                Ok(board) => board,
                Err(error) => match Board::away(&model, &error, now_us) {
                    Some(board) => {
                        trouble.push(error);
                        board
                    }
                    None => return Err(error.into()),
                },
            };
            boards.push(board);
        }
        match trouble.pop() {
            Some(error) if trouble.len() + 1 == boards.len() => Err(error.into()),
            _ => Ok(boards),
        }
    }
}

fn boot_of(
    config: &Config,
    data: &DataDir,
    (found, box_key): (crate::store::recover::Found, BoxKey),
) -> Boot {
    Boot {
        config: config.clone(),
        index: found.index,
        catalogue: found.catalogue,
        journal: found.journal,
        journal_bytes: found.journal_bytes,
        day: found.day,
        box_key,
        old_call_keys: data.old_call_keys.clone(),
        call_key: config.store.seal.then(|| data.call_key.clone()),
        identities: data.identities.clone(),
        anchor: found.anchor,
        closed: found.closed,
        screens: found.screens,
    }
}

/// With a TLS listener there is a CA, and a certificate to show.
fn open_tls(config: &Config, data: &Path, clock: &Clock) -> Result<Option<Tls>, DaemonError> {
    let wanted = |listen: &Listen| matches!(listen, Listen::Tcp { tls: true, .. });
    if !config.listen.iter().any(wanted) {
        return Ok(None);
    }
    let authority = Authority::open(data, &config.name).map_err(TlsError::from)?;
    Ok(Some(Tls::open(authority, clock.now().wall)?))
}
