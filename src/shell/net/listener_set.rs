//! The daemon's listeners: opened at the start, retried, and replaced by a reload.
//!
//! A listener that cannot be opened raises an alarm and is retried; the others work without it.

use super::listener::{
    ClosedListener, ListenTarget, Listener, OpenListenerRequest, OpenedSocket, Socket,
};
use crate::config::ListenSettings;
use crate::recorder::Input;
use crate::shell::event_loop::{Daemon, FIRST_LISTENER_TOKEN};
use crate::shell::workers::worker::WorkerRequest;
use crate::time::{MonoTime, Now};
use mio::Token;

impl Daemon {
    /// Opens every listener at the start, which may wait. `poll_listeners` retries what fails.
    pub(in crate::shell) fn open_listeners(&mut self) {
        let now = self.clock.now();
        for index in 0..self.listeners.len() {
            if let Some(request) = self.begin_opening(index, now) {
                let result = request.open().map_err(|error| error.to_string());
                self.finish_opening(now, request.token, result);
            }
        }
    }

    /// Opens serial ports, and retries the listeners that are closed.
    pub(in crate::shell) fn poll_listeners(&mut self) {
        let now = self.clock.now();
        self.poll_serial_ports(now);
        for index in 0..self.listeners.len() {
            if let Some(request) = self.begin_opening(index, now) {
                self.external_worker.submit(now.mono, WorkerRequest::OpenListener(request));
            }
        }
    }

    fn begin_opening(&mut self, index: usize, now: Now) -> Option<OpenListenerRequest> {
        let Listener::Closed(closed) = &mut self.listeners[index] else { return None };
        if closed.is_opening || closed.is_removed || !closed.backoff.is_due(now.mono) {
            return None;
        }
        closed.is_opening = true;
        let secure = matches!(closed.settings, ListenSettings::Tcp { tls: true, .. });
        let (token, target) = (closed.token, ListenTarget::Clients(closed.settings.clone()));
        Some(self.open_listener_request(token, target, (secure, now)))
    }

    /// What a worker needs to open a listener, with TLS if that is `secure` and not open yet.
    pub(super) fn open_listener_request(
        &self,
        token: Token,
        target: ListenTarget,
        (secure, now): (bool, Now),
    ) -> OpenListenerRequest {
        let tls = (secure && self.tls.is_none())
            .then(|| (self.data.path.clone(), self.config.name.clone(), now.wall));
        OpenListenerRequest { token, target, tls }
    }

    /// Takes TLS into service, if a worker has just opened it, and returns the socket.
    pub(super) fn install_tls(&mut self, opened: OpenedSocket) -> Socket {
        let OpenedSocket { socket, tls } = opened;
        if let Some(tls) = tls {
            self.recorder.enable_enrolment(tls.authority().fingerprint());
            self.tls = Some(tls);
        }
        socket
    }

    /// Takes an opened socket into service, or raises the alarm about it.
    pub(in crate::shell) fn finish_opening(
        &mut self,
        now: Now,
        token: Token,
        result: Result<OpenedSocket, String>,
    ) {
        if let Some(index) = self.sip_listener_of(token) {
            return self.finish_opening_sip(now, index, result);
        }
        let waits = |listener: &Listener| match listener {
            Listener::Closed(closed) => closed.token == token,
            _ => false,
        };
        let Some(index) = self.listeners.iter().position(waits) else { return };
        if let Listener::Closed(ClosedListener { is_removed: true, .. }) = self.listeners[index] {
            if let Ok(OpenedSocket { socket: Socket::Unix { path, .. }, .. }) = result {
                drop(std::fs::remove_file(path));
            }
            self.listeners[index] = Listener::Vacant;
            return;
        }
        let result = result.and_then(|opened| {
            let socket = self.install_tls(opened);
            socket.register(self.poll.registry(), token).map_err(|error| error.to_string())
        });
        let place = self.listeners[index].address_text();
        let trouble = match result {
            Ok(open) => {
                self.listeners[index] = open;
                self.accept_ready[index] = true;
                None
            }
            Err(text) => {
                if let Listener::Closed(closed) = &mut self.listeners[index] {
                    closed.is_opening = false;
                    closed.backoff.fail(now.mono);
                }
                Some(text)
            }
        };
        self.recorder.handle(now, Input::ListenerState { place, trouble });
        self.publish_addresses();
    }

    fn publish_addresses(&mut self) {
        let open = self.listeners.iter().filter(|listener| listener.is_open());
        self.recorder.set_listen_addresses(open.map(Listener::address_text).collect());
    }

    /// Closes the listeners that a reload removed, and adds the new ones, which `poll_listeners`
    /// opens. Sessions that are open stay.
    pub(in crate::shell) fn replace_listeners(&mut self, now: Now, wanted: &[ListenSettings]) {
        for index in 0..self.listeners.len() {
            if self.is_configured(index) && !wanted.contains(&self.config.listen[index]) {
                self.remove_listener(now, index);
            }
        }
        for settings in wanted {
            let is_there =
                |index| self.is_configured(index) && self.config.listen[index] == *settings;
            if !(0..self.listeners.len()).any(is_there) {
                self.add_listener(settings);
            }
        }
        self.publish_addresses();
    }

    /// Whether the slot has a listener that no reload has removed.
    fn is_configured(&self, index: usize) -> bool {
        match &self.listeners[index] {
            Listener::Vacant => false,
            Listener::Closed(closed) => !closed.is_removed,
            Listener::Tcp { .. } | Listener::Unix { .. } | Listener::Serial(_) => true,
        }
    }

    fn remove_listener(&mut self, now: Now, index: usize) {
        let listener = &mut self.listeners[index];
        let place = listener.address_text();
        let input = match listener {
            Listener::Serial(_) => Input::ConsoleState { place, trouble: None },
            _ => Input::ListenerState { place, trouble: None },
        };
        match listener {
            Listener::Closed(closed) if closed.is_opening => closed.is_removed = true,
            listener => *listener = Listener::Vacant,
        }
        self.accept_ready[index] = false;
        self.recorder.handle(now, input);
    }

    fn add_listener(&mut self, settings: &ListenSettings) {
        let is_vacant = |listener: &Listener| matches!(listener, Listener::Vacant);
        let vacant = self.listeners.iter().position(is_vacant);
        let index = vacant.unwrap_or(self.listeners.len());
        let listener = Listener::new(settings, Token(FIRST_LISTENER_TOKEN + index));
        if vacant.is_some() {
            self.listeners[index] = listener;
            self.config.listen[index] = settings.clone();
        } else {
            self.listeners.push(listener);
            self.config.listen.push(settings.clone());
            self.accept_ready.push(false);
        }
    }

    /// Time at which `poll_listeners` has work.
    pub(in crate::shell) fn next_listener_poll_at(&self) -> Option<MonoTime> {
        let deadline = |listener: &Listener| match listener {
            Listener::Serial(console) => console.deadline(),
            Listener::Closed(closed) => {
                let waits = !closed.is_opening && !closed.is_removed;
                waits.then(|| closed.backoff.again())
            }
            Listener::Tcp { .. } | Listener::Unix { .. } | Listener::Vacant => None,
        };
        self.listeners.iter().filter_map(deadline).min()
    }
}
