//! Notifications to the service manager (systemd, or any that sets `NOTIFY_SOCKET`): readiness,
//! status and a watchdog ping every second.
//!
//! The ping is sent only while `watchdog` finds that audio moves; otherwise only the reason is
//! sent and the unit's watchdog acts. Before `ready` and during shutdown the start or stop
//! timeout is extended instead. Without a service manager nothing is sent.
//!
//! The protocol is a datagram of `NAME=value` lines. Existing crates block on send; the loop must
//! not. A datagram that cannot be sent is dropped, and the next follows within a second.

use crate::recorder::Recorder;
use crate::time::{MonoTime, Now};
use crate::watchdog::{BoardProgress, ProgressWatchdog, StallError};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

const CHECK_INTERVAL_MS: u64 = 1000;

/// Timeout extension before `ready` and during shutdown: 15 s.
const EXTEND_TIMEOUT: &str = "EXTEND_TIMEOUT_USEC=15000000";

/// Timeout extension for recovery, which reports no progress: 10 min. A day's journal takes
/// seconds.
const EXTEND_TIMEOUT_RECOVERY: &str = "EXTEND_TIMEOUT_USEC=600000000";

const WATCHDOG_PING: &str = "WATCHDOG=1";

/// File in the service's runtime directory where the unit records how the previous run ended.
const PREVIOUS_EXIT_FILE: &str = "ended";

/// Kernel file with the cause of the last machine reset.
const BOOT_STATUS_PATH: &str = "/sys/class/watchdog/watchdog0/bootstatus";

/// `WDIOF_CARDRESET`: the hardware watchdog reset the machine.
const WDIOF_CARDRESET: u32 = 0x20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServiceState {
    Starting,
    Ready,
    Stopping,
}

/// State of the notifications.
pub struct ServiceManager {
    /// Notification socket, if there is a service manager.
    socket: Option<UnixDatagram>,
    state: ServiceState,
    /// `READY=1` has not been sent yet.
    is_ready_pending: bool,
    watchdog: ProgressWatchdog,
    next_check: MonoTime,
    status: String,
    stall: Option<StallError>,
}

impl ServiceManager {
    /// Connects to the service manager, and logs why the previous run ended, if known.
    #[must_use]
    pub fn start(now: Now, boards: usize) -> ServiceManager {
        log_previous_exit();
        let service = ServiceManager {
            socket: std::env::var_os("NOTIFY_SOCKET").and_then(|place| {
                let socket = connect_notify_socket(place.as_bytes());
                socket.inspect_err(|error| log::error!("no way to the boot service: {error}")).ok()
            }),
            is_ready_pending: false,
            state: ServiceState::Starting,
            watchdog: ProgressWatchdog::new(now, boards),
            next_check: now.mono,
            status: String::new(),
            stall: None,
        };
        service.send_notification(&format!(
            "STATUS=recovering what the disk holds\n{EXTEND_TIMEOUT_RECOVERY}"
        ));
        service
    }

    /// Reports that capture runs and the store is recovered.
    pub fn notify_ready(&mut self) {
        if self.state == ServiceState::Starting {
            self.state = ServiceState::Ready;
            self.is_ready_pending = !self.send_notification("READY=1");
        }
    }

    /// Reports that the daemon is stopping.
    pub fn notify_stopping(&mut self) {
        self.state = ServiceState::Stopping;
        self.send_notification("STOPPING=1");
    }

    /// Whether a second has passed since the last check.
    pub fn is_check_due(&self, now: Now) -> bool {
        now.mono >= self.next_check
    }

    /// Checks whether audio moves and becomes durable. Sends the watchdog ping if so, and the
    /// status if it changed.
    pub fn check(
        &mut self,
        now: Now,
        boards: impl ExactSizeIterator<Item = BoardProgress>,
        recorder: &Recorder,
    ) {
        self.next_check = now.mono.after_ms(CHECK_INTERVAL_MS);
        self.check_progress(now, boards, recorder.durability_lag_ms());
        let status = match &self.stall {
            Some(why) => format!("{why}; {}", recorder.status_line()),
            None => match self.state {
                ServiceState::Starting => format!("waiting for audio; {}", recorder.status_line()),
                ServiceState::Ready | ServiceState::Stopping => recorder.status_line(),
            },
        };
        if self.is_ready_pending {
            self.is_ready_pending = !self.send_notification("READY=1");
        }
        if self.status != status && self.send_notification(&format!("STATUS={status}")) {
            self.status = status;
        }
        if self.stall.is_none() {
            self.send_notification(match self.state {
                ServiceState::Ready => WATCHDOG_PING,
                ServiceState::Starting | ServiceState::Stopping => EXTEND_TIMEOUT,
            });
        }
    }

    fn check_progress(
        &mut self,
        now: Now,
        boards: impl ExactSizeIterator<Item = BoardProgress>,
        behind_ms: u64,
    ) {
        let stall = self.watchdog.check_progress(now, boards, behind_ms).err();
        match (&stall, &self.stall) {
            (Some(why), None) if self.socket.is_some() => {
                log::error!("{why}: the watchdog is not fed, so the box will be started again");
            }
            (Some(why), None) => log::error!("{why}; there is no boot service to start it again"),
            (None, Some(_)) => log::warn!("audio moves again"),
            _ => {}
        }
        self.stall = stall;
    }

    /// Sends a datagram. Returns false if it could not be sent now.
    fn send_notification(&self, what: &str) -> bool {
        let Some(socket) = &self.socket else { return true };
        let told = socket.send(what.as_bytes());
        told.inspect_err(|error| log::debug!("the boot service was not told: {error}")).is_ok()
    }
}

/// Connects a non-blocking socket. A path that begins with `@` is an abstract address.
fn connect_notify_socket(place: &[u8]) -> io::Result<UnixDatagram> {
    let address = match place.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(place)))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Logs what the unit recorded about the previous run, or a hardware watchdog reset.
fn log_previous_exit() {
    let folder = std::env::var_os("RUNTIME_DIRECTORY");
    let ended =
        folder.map(|folder| std::fs::read_to_string(Path::new(&folder).join(PREVIOUS_EXIT_FILE)));
    match ended.and_then(Result::ok).as_deref().map(str::trim) {
        Some(word) if word.starts_with("watchdog") || word.starts_with("timeout") => {
            log::error!("the watchdog ended the run before: no audio moved");
        }
        Some("success exited 0") => {}
        Some(word) => log::warn!("the run before ended so: {word}"),
        None => log_watchdog_reset(),
    }
}

fn log_watchdog_reset() {
    let bits = std::fs::read_to_string(BOOT_STATUS_PATH).ok();
    let bits = bits.and_then(|text| text.trim().parse::<u32>().ok());
    if bits.is_some_and(|bits| bits & WDIOF_CARDRESET != 0) {
        log::error!("the machine's watchdog reset it");
    }
}
