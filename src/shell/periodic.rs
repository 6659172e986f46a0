//! Parts of the loop that run by the clock: time synchronisation, serial consoles, and the service
//! manager.

use crate::recorder::{Input, TimeSyncReport};
use crate::shell::event_loop::{Daemon, PolledBoard};
use crate::shell::net::listener::Listener;
use crate::shell::serial::port::PortChange;
use crate::shell::workers::worker::WorkerRequest;
use crate::time::Now;
use crate::watchdog::{BoardHealth, BoardProgress};
use board::BoardState;

/// Time between queries of the clock's synchronisation, in milliseconds.
const TIME_SYNC_INTERVAL_MS: u64 = 60_000;

impl Daemon {
    /// Starts a query at startup and once a minute, unless one is running.
    pub(in crate::shell) fn poll_time_sync(&mut self, now: Now) {
        if self.next_time_sync.is_some_and(|at| at <= now.mono) {
            self.next_time_sync = None;
            self.external_worker.submit(now.mono, WorkerRequest::QueryTimeSync { now });
        }
    }

    pub(in crate::shell) fn handle_time_sync(&mut self, now: Now, found: TimeSyncReport) {
        self.next_time_sync = Some(now.mono.after_ms(TIME_SYNC_INTERVAL_MS));
        self.recorder.handle_time_sync(now, found);
    }

    /// Polls the serial consoles, and raises or clears their alarms.
    pub(in crate::shell) fn poll_serial_ports(&mut self, now: Now) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Listener::Serial(console) = listener else { continue };
            let trouble = match console.poll_port(now.mono, self.poll.registry()) {
                PortChange::Unchanged => continue,
                PortChange::Opened => None,
                PortChange::Lost(error) => Some(error.to_string()),
            };
            self.accept_ready[index] |= trouble.is_none();
            let place = console.path().display().to_string();
            self.recorder.handle(now, Input::ConsoleState { place, trouble });
        }
    }

    /// Checks the daemon once a second, and sends the watchdog ping if audio moves.
    pub(in crate::shell) fn notify_service_manager(&mut self, now: Now) {
        if self.service_manager.is_check_due(now) {
            let boards = self.boards.iter().map(board_progress);
            self.service_manager.check(now, boards, &self.recorder);
        }
    }
}

fn board_progress(place: &PolledBoard) -> BoardProgress {
    let health = match place.board.state() {
        BoardState::Running | BoardState::Waiting => BoardHealth::Running,
        BoardState::Failed { mute: false, .. } => BoardHealth::Down,
        BoardState::Failed { mute: true, .. } => BoardHealth::Silent,
    };
    BoardProgress { position: place.board.position(), health }
}
