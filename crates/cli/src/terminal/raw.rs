//! The terminal as a page that keys act on: no echo, no lines, no cursor, until it is dropped; or
//! only the keys, below what stands there.
//!
//! The picture lies on the terminal's second screen, so that what was there before comes back.
//! Nothing here knows what is shown.

use crate::error::Failure;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{
    BaudRate, LocalFlags, SetArg, SpecialCharacterIndices, Termios, cfgetospeed, tcgetattr,
    tcsetattr,
};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// A terminal that does not say how large it is.
const SIZE: (usize, usize) = (80, 24);

/// What somebody pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Stop,
    Next,
    Back,
    Other,
}

/// Whether pictures can be painted here at all.
pub fn paints() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !dumb
}

/// Columns and rows.
pub fn size() -> (usize, usize) {
    let size = terminal_size::terminal_size().map(|(columns, rows)| (columns.0, rows.0));
    match size {
        Some((columns, rows)) if columns > 0 && rows > 0 => (columns.into(), rows.into()),
        _ => SIZE,
    }
}

/// How many bits a second the terminal's line takes; a terminal without a line is fast.
pub fn rate() -> u64 {
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

/// The terminal, while every key counts by itself.
pub struct Keys {
    before: Termios,
}

impl Keys {
    pub fn open() -> Result<Keys, Failure> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(|error| Failure::Input(error.into()))?;
        let mut changed = before.clone();
        let echo = LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN;
        changed.local_flags.remove(echo);
        changed.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        changed.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let set = tcsetattr(&stdin, SetArg::TCSADRAIN, &changed);
        set.map_err(|error| Failure::Input(error.into()))?;
        Ok(Keys { before })
    }

    /// What is pressed, within this time.
    pub fn key(&self, within: Duration) -> Result<Option<Key>, Failure> {
        let stdin = std::io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(Failure::Input(error.into())),
        }
        let mut bytes = [0; 16];
        match nix::unistd::read(&stdin, &mut bytes) {
            Ok(count) => Ok(Some(key(&bytes[..count]))),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => Ok(None),
            Err(error) => Err(Failure::Input(error.into())),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // There is nobody left to tell if it fails.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// The terminal, while a page is shown.
pub struct Page {
    keys: Keys,
}

impl Page {
    pub fn open() -> Result<Page, Failure> {
        let page = Page { keys: Keys::open()? };
        page.show(ENTER)?;
        Ok(page)
    }

    /// What is pressed, within this time.
    pub fn key(&self, within: Duration) -> Result<Option<Key>, Failure> {
        self.keys.key(within)
    }

    pub fn show(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
    }
}

/// ^C and ^D stop too, and so does the end of the input.
fn key(bytes: &[u8]) -> Key {
    match bytes {
        [] | [b'q' | b'Q' | 3 | 4, ..] => Key::Stop,
        [b'n' | b' ' | b'\r' | b'\n', ..] | b"\x1b[B" | b"\x1b[C" | b"\x1b[6~" => Key::Next,
        [b'p' | b'b', ..] | b"\x1b[A" | b"\x1b[D" | b"\x1b[5~" => Key::Back,
        _ => Key::Other,
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // There is nobody left to tell if it fails.
        let _ = self.show(LEAVE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        assert_eq!([key(b"q"), key(b"\x03"), key(b"")], [Key::Stop; 3]);
        assert_eq!([key(b"n"), key(b"\x1b[B")], [Key::Next; 2]);
        assert_eq!([key(b"p"), key(b"\x1b[A")], [Key::Back; 2]);
        assert_eq!(key(b"x"), Key::Other);
    }
}
