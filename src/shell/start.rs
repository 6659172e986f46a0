//! Startup: data directory, recovery, recorder, boards and listeners.
//!
//! Startup runs once before the first turn, so it may wait for the disk. The order matters: lock
//! the data directory, recover the store, create the recorder, then open boards and listeners.

use crate::audio::channel::ChannelIndex;
use crate::config::Config;
use crate::job::Completion;
use crate::limits;
use crate::recorder::{BoxInfo, Input, Recorder, RecoveredState, TimeSync};
use crate::shell::event_loop::{
    Daemon, DaemonError, FIRST_BOARD_TOKEN, FIRST_LISTENER_TOKEN, PolledBoard, SIGNALS_TOKEN,
    WAKER_TOKEN, system_error,
};
use crate::shell::net::admission::Admission;
use crate::shell::net::handshake::SessionNumbers;
use crate::shell::net::listener::Listener;
use crate::shell::net::peer::LocalIds;
use crate::shell::net::sip::sockets::SipSockets;
use crate::shell::os::clock::Clock;
use crate::shell::os::data_dir::DataDir;
use crate::shell::os::recover;
use crate::shell::os::service_manager::ServiceManager;
use crate::shell::os::signal::Signals;
use crate::shell::slots::OpenSlots;
use crate::shell::workers::disk::DiskThread;
use crate::shell::workers::system::Kernel;
use crate::shell::workers::worker::{self, Worker};
use crate::store::sign::BoxSigningKey;
use crate::time::MonoTime;
use board::{Board, BoardState, TOKENS_MAX};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

impl Daemon {
    pub(super) fn start(
        config: Config,
        path: PathBuf,
        signals: Signals,
    ) -> Result<Daemon, DaemonError> {
        let clock = Clock::start();
        let poll = Poll::new().map_err(system_error("poll"))?;
        let waker = Waker::new(poll.registry(), Token(WAKER_TOKEN)).map(Arc::new);
        let waker = waker.map_err(system_error("waker"))?;
        let (data, box_key) = DataDir::open(&config)?;
        let disk = DiskThread::start(&data.path, waker.clone())
            .map_err(system_error("the disk thread"))?;
        if let Some(notice) = &data.notice {
            log::warn!("{notice}");
        }
        let boot_service = ServiceManager::start(clock.now(), config.boards.len());
        let found = recover::recover_data_dir(&data.path)?;
        let new_worker = |keys| Worker::new(Arc::new(Kernel), keys, waker.clone());
        let boot_reason = match (found.index.boot(), found.index.has_clean_stop()) {
            (0, _) => "first",
            (_, true) => "shutdown",
            (_, false) => "power",
        };
        let mut boot = to_recovered_state(&config, &data, (found, box_key));
        getrandom::fill(&mut boot.sip_seed[..])
            .map_err(|error| system_error("random bits")(error.into()))?;
        let recorder = Recorder::new(clock.now(), boot)?;
        let mut daemon = Daemon {
            boards: Vec::new(),
            accept_ready: vec![false; config.listen.len()],
            listeners: (FIRST_LISTENER_TOKEN..)
                .zip(&config.listen)
                .map(|(token, listen)| Listener::new(listen, Token(token)))
                .collect(),
            handshakes: BTreeMap::new(),
            last_handshake: 0,
            connections: BTreeMap::new(),
            last_served: [0; 2],
            admission: Admission::default(),
            local_ids: LocalIds::resolve_names(&config.local),
            accept_paused_until: MonoTime(0),
            service_manager: boot_service,
            tls: None,
            sip: SipSockets::new(&config),
            slots: OpenSlots::default(),
            session_numbers: SessionNumbers::default(),
            is_ready_announced: false,
            is_stopped: false,
            config_path: path,
            summary_worker: new_worker((Vec::new(), false)),
            selftest_worker: new_worker((Vec::new(), false)),
            external_worker: new_worker((Vec::new(), false)),
            worker_trouble: None,
            next_time_sync: Some(MonoTime(0)),
            general_worker: new_worker((data.recipients.clone(), config.store.seal)),
            poll,
            clock,
            recorder,
            disk,
            signals,
            data,
            config,
        };
        daemon.prime_recorder()?;
        daemon.open_inputs()?;
        daemon.publish_box_info(boot_reason);
        daemon.open_listeners();
        daemon.open_sip_listeners();
        daemon.poll_listeners();
        Ok(daemon)
    }

    /// Passes the facts about the box to the recorder.
    fn publish_box_info(&mut self, boot_reason: &'static str) {
        let about = BoxInfo {
            places: Vec::new(),
            recipients: self.data.recipients.iter().map(ToString::to_string).collect(),
            boot_reason,
            time_sync: TimeSync::default(),
            may_reboot: crate::shell::event_loop::reboot_exit_code().is_some(),
        };
        self.recorder.set_box_info(about);
        let dropped = std::mem::take(&mut self.data.dropped_recipients);
        self.recorder.report_dropped_recipients(self.clock.now(), &dropped);
    }

    /// Gives the recorder what the first turn needs. Free disk space keeps it from accepting
    /// recordings that cannot fit. One envelope for each channel lets the calls of all channels
    /// start or resume at once, before the worker fills the stock; 256 envelopes take about 50 ms.
    /// The calls of more than `FIRST_KEYS_MAX` channels do not begin in the same instant.
    fn prime_recorder(&mut self) -> Result<(), DaemonError> {
        let (free, total) = crate::shell::workers::disk::disk_space(&self.data.path);
        self.recorder
            .handle(self.clock.now(), Input::JobDone(Completion::FreeSpace { free, total }));
        let count = self.recorder.channel_count().min(limits::FIRST_KEYS_MAX) + 2;
        let keys = (self.data.recipients.as_slice(), self.config.store.seal);
        let made =
            worker::generate_envelopes(&Kernel, count, keys).map_err(DaemonError::NoDataKey)?;
        let now = self.clock.now();
        for envelope in made {
            self.recorder.handle(now, Input::Envelope(Box::new(envelope)));
        }
        Ok(())
    }

    fn open_inputs(&mut self) -> Result<(), DaemonError> {
        let registry = self.poll.registry();
        let descriptor = self.signals.descriptor();
        registry
            .register(&mut SourceFd(&descriptor), Token(SIGNALS_TOKEN), Interest::READABLE)
            .map_err(system_error("signals"))?;
        let models = self.config.boards.iter().map(crate::shell::board_config::to_board_config);
        for (index, model) in models.enumerate() {
            let first = FIRST_BOARD_TOKEN + index * TOKENS_MAX;
            let (now, tokens) = (self.clock.now(), first..first + TOKENS_MAX);
            let board =
                Board::start(model, now.mono.0, registry, tokens).map_err(system_error("board"))?;
            self.recorder.set_board_loopback(index, board.can_loop_back());
            if let BoardState::Failed { text, .. } = board.state() {
                let trouble = Some(text.clone());
                self.recorder.handle(now, Input::BoardState { board: index, trouble });
            }
            let first = self.recorder.first_channel(index).unwrap_or(ChannelIndex(0));
            self.boards.push(PolledBoard { board, first_channel: first, has_more: true });
        }
        Ok(())
    }
}

fn to_recovered_state(
    config: &Config,
    data: &DataDir,
    (found, box_key): (crate::store::recover::RecoveredStore, BoxSigningKey),
) -> RecoveredState {
    RecoveredState {
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
        anchor: found.needs_checkpoint,
        closed: found.completed,
        screens: found.completed_screens,
        sip_seed: zeroize::Zeroizing::new([0; 32]),
    }
}
