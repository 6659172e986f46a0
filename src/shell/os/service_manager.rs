//! The boot service (systemd, or whoever gave `NOTIFY_SOCKET`): it is told when the box is ready,
//! how it is, and, by the second, that audio moves.
//!
//! Whether audio moves is decided in `pulse`. While it does, the watchdog is fed; before `ready`
//! and while the box stops there is no watchdog, and the time allowed is extended instead. When
//! it does not, nothing is said but why, and the boot service does what its unit says. Without a
//! boot service nothing is told to anybody.
//!
//! The protocol is a datagram of `NAME=value` lines. Crates for it wait until it is taken; the loop
//! never waits: a datagram that cannot be sent is left out, and the next follows in a second.

use crate::shell::event_loop::{BoardPlace, Daemon};
use crate::time::{Mono, Now};
use crate::watchdog::{Health, Pulse, Sight, Stall};
use board::State;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// How often the box is looked at.
const LOOK_MS: u64 = 1000;

/// What is asked for at a time, while there is no watchdog: 15 s.
const EXTEND: &str = "EXTEND_TIMEOUT_USEC=15000000";

/// What is asked for recovery, which does not count its steps: 10 min. A day's journal takes
/// seconds.
const EXTEND_LONG: &str = "EXTEND_TIMEOUT_USEC=600000000";

const FEED: &str = "WATCHDOG=1";

/// Where the unit leaves word how the run before ended; below the service's runtime folder.
const ENDED: &str = "ended";

/// What the kernel says of the last start of the machine.
const BOOT_STATUS: &str = "/sys/class/watchdog/watchdog0/bootstatus";

/// `WDIOF_CARDRESET`: it was the watchdog's doing.
const CARD_RESET: u32 = 0x20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Stopping,
}

/// What was told, and what is to be told next.
pub struct BootService {
    /// Its end, if there is one.
    socket: Option<UnixDatagram>,
    stage: Stage,
    /// `READY=1` is still to be told.
    owes_ready: bool,
    pulse: Pulse,
    next: Mono,
    status: String,
    stall: Option<Stall>,
}

impl BootService {
    /// Says in the log why the run before ended, as far as anybody knows.
    #[must_use]
    pub fn start(now: Now, boards: usize) -> BootService {
        say_how_it_ended();
        let service = BootService {
            socket: std::env::var_os("NOTIFY_SOCKET").and_then(|place| {
                let socket = connect(place.as_bytes());
                socket.inspect_err(|error| log::error!("no way to the boot service: {error}")).ok()
            }),
            owes_ready: false,
            stage: Stage::Starting,
            pulse: Pulse::new(now, boards),
            next: now.mono,
            status: String::new(),
            stall: None,
        };
        service.tell(&format!("STATUS=recovering what the disk holds\n{EXTEND_LONG}"));
        service
    }

    /// Capture runs, and the store is recovered.
    pub fn ready(&mut self) {
        if self.stage == Stage::Starting {
            self.stage = Stage::Ready;
            self.owes_ready = !self.tell("READY=1");
        }
    }

    /// It was asked to stop.
    pub fn stopping(&mut self) {
        self.stage = Stage::Stopping;
        self.tell("STOPPING=1");
    }

    fn look(&mut self, now: Now, boards: &[BoardPlace], behind_ms: u64) {
        let sights = boards.iter().map(|place| Sight {
            position: place.board.position(),
            health: match place.board.state() {
                State::Running | State::Waiting => Health::In,
                State::Failed { mute: false, .. } => Health::Out,
                State::Failed { mute: true, .. } => Health::Mute,
            },
        });
        let stall = self.pulse.look(now, sights, behind_ms).err();
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

    /// False: it could not be told now.
    fn tell(&self, what: &str) -> bool {
        let Some(socket) = &self.socket else { return true };
        let told = socket.send(what.as_bytes());
        told.inspect_err(|error| log::debug!("the boot service was not told: {error}")).is_ok()
    }
}

impl Daemon {
    /// Looks at the box once a second, and feeds the watchdog if audio moves.
    pub(in crate::shell) fn tell_boot_service(&mut self, now: Now) {
        if now.mono < self.boot_service.next {
            return;
        }
        let Daemon { boot_service, boards, recorder, .. } = self;
        boot_service.next = now.mono.after_ms(LOOK_MS);
        boot_service.look(now, boards, recorder.behind_ms());
        let status = match &boot_service.stall {
            Some(why) => format!("{why}; {}", recorder.in_a_line()),
            None => match boot_service.stage {
                Stage::Starting => format!("waiting for audio; {}", recorder.in_a_line()),
                Stage::Ready | Stage::Stopping => recorder.in_a_line(),
            },
        };
        if boot_service.owes_ready {
            boot_service.owes_ready = !boot_service.tell("READY=1");
        }
        if boot_service.status != status && boot_service.tell(&format!("STATUS={status}")) {
            boot_service.status = status;
        }
        if boot_service.stall.is_none() {
            boot_service.tell(match boot_service.stage {
                Stage::Ready => FEED,
                Stage::Starting | Stage::Stopping => EXTEND,
            });
        }
    }
}

/// A socket that never waits. A place that begins with `@` is an abstract one.
fn connect(place: &[u8]) -> io::Result<UnixDatagram> {
    let address = match place.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(place)))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What the unit wrote when the run before ended, or what the kernel says if the machine was reset.
fn say_how_it_ended() {
    let folder = std::env::var_os("RUNTIME_DIRECTORY");
    let ended = folder.map(|folder| std::fs::read_to_string(Path::new(&folder).join(ENDED)));
    match ended.and_then(Result::ok).as_deref().map(str::trim) {
        Some(word) if word.starts_with("watchdog") || word.starts_with("timeout") => {
            log::error!("the watchdog ended the run before: no audio moved");
        }
        Some("success exited 0") => {}
        Some(word) => log::warn!("the run before ended so: {word}"),
        None => say_who_reset_the_machine(),
    }
}

fn say_who_reset_the_machine() {
    let bits = std::fs::read_to_string(BOOT_STATUS).ok();
    let bits = bits.and_then(|text| text.trim().parse::<u32>().ok());
    if bits.is_some_and(|bits| bits & CARD_RESET != 0) {
        log::error!("the machine's watchdog reset it");
    }
}
