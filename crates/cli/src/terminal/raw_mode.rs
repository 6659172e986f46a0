//! Raw terminal modes: single keys without echo, and a full-screen page on the alternate screen.
//! Both are restored on drop.

use crate::error::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{
    BaudRate, LocalFlags, SetArg, SpecialCharacterIndices, Termios, cfgetospeed, tcgetattr,
    tcsetattr,
};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

const ENTER_SCREEN: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J";
const LEAVE_SCREEN: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// Size assumed if the terminal does not report one.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// The action of a key press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAction {
    Stop,
    Next,
    Back,
    Other,
}

/// Whether the terminal supports full-screen output.
pub fn can_paint() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !dumb
}

/// Returns columns and rows.
pub fn screen_size() -> (usize, usize) {
    let size = terminal_size::terminal_size().map(|(columns, rows)| (columns.0, rows.0));
    match size {
        Some((columns, rows)) if columns > 0 && rows > 0 => (columns.into(), rows.into()),
        _ => DEFAULT_SIZE,
    }
}

/// Returns the terminal's line speed in bit/s; terminals without a serial line count as fast.
pub fn line_rate() -> u64 {
    let speed = tcgetattr(std::io::stdout()).map(|modes| cfgetospeed(&modes));
    match speed {
        Ok(BaudRate::B1200) => 1200,
        Ok(BaudRate::B2400) => 2400,
        Ok(BaudRate::B4800) => 4800,
        Ok(BaudRate::B9600) => 9600,
        Ok(BaudRate::B19200) => 19_200,
        Ok(BaudRate::B57600) => 57_600,
        Ok(_) | Err(_) => 115_200,
    }
}

/// The terminal in raw mode; the previous mode is restored on drop.
pub struct RawMode {
    saved_modes: Termios,
}

impl RawMode {
    pub fn enable() -> Result<RawMode, Error> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(|error| Error::Stdin(error.into()))?;
        let mut changed = before.clone();
        let echo = LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN;
        changed.local_flags.remove(echo);
        changed.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        changed.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let set = tcsetattr(&stdin, SetArg::TCSADRAIN, &changed);
        set.map_err(|error| Error::Stdin(error.into()))?;
        Ok(RawMode { saved_modes: before })
    }

    /// Waits for a key for at most `within`.
    pub fn parse_key(&self, within: Duration) -> Result<Option<KeyAction>, Error> {
        let stdin = std::io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(Error::Stdin(error.into())),
        }
        let mut bytes = [0; 16];
        match nix::unistd::read(&stdin, &mut bytes) {
            Ok(count) => Ok(Some(key(&bytes[..count]))),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => Ok(None),
            Err(error) => Err(Error::Stdin(error.into())),
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A failure cannot be reported any more.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.saved_modes);
    }
}

/// The terminal on its alternate screen.
pub struct AlternateScreen {
    raw_mode: RawMode,
}

impl AlternateScreen {
    pub fn enter() -> Result<AlternateScreen, Error> {
        let page = AlternateScreen { raw_mode: RawMode::enable()? };
        page.write_text(ENTER_SCREEN)?;
        Ok(page)
    }

    /// Waits for a key for at most `within`.
    pub fn read_key(&self, within: Duration) -> Result<Option<KeyAction>, Error> {
        self.raw_mode.parse_key(within)
    }

    pub fn write_text(&self, text: &str) -> Result<(), Error> {
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Stdout)
    }
}

/// Maps a key. Ctrl-C, Ctrl-D and the end of input stop.
fn key(bytes: &[u8]) -> KeyAction {
    match bytes {
        [] | [b'q' | b'Q' | 3 | 4, ..] => KeyAction::Stop,
        [b'n' | b' ' | b'\r' | b'\n', ..] | b"\x1b[B" | b"\x1b[C" | b"\x1b[6~" => KeyAction::Next,
        [b'p' | b'b', ..] | b"\x1b[A" | b"\x1b[D" | b"\x1b[5~" => KeyAction::Back,
        _ => KeyAction::Other,
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        // A failure cannot be reported any more.
        let _ = self.write_text(LEAVE_SCREEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_map_to_actions() {
        assert_eq!([key(b"q"), key(b"\x03"), key(b"")], [KeyAction::Stop; 3]);
        assert_eq!([key(b"n"), key(b"\x1b[B")], [KeyAction::Next; 2]);
        assert_eq!([key(b"p"), key(b"\x1b[A")], [KeyAction::Back; 2]);
        assert_eq!(key(b"x"), KeyAction::Other);
    }
}
