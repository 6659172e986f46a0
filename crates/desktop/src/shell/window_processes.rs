//! The windows, each a process of its own of the same program.
//!
//! So the resident process stays small, and a window that crashes takes nothing with it. Nothing
//! here knows what a window shows.

use super::Event;
use crate::ui::model::Window;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;

/// Which windows are open.
#[derive(Debug, Default)]
pub struct Children {
    open: BTreeSet<Window>,
}

impl Children {
    /// Whether this one is.
    #[must_use]
    pub fn has(&self, window: Window) -> bool {
        self.open.contains(&window)
    }

    /// Opens one; its end will be told.
    pub fn open(&mut self, window: Window, events: &Sender<Event>) -> Result<(), std::io::Error> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--window", window.word()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        self.open.insert(window);
        let events = events.clone();
        let wait = move || {
            match child.wait() {
                Ok(status) if status.success() => {}
                Ok(status) => log::warn!("the window {} ended with {status}", window.word()),
                Err(error) => log::warn!("the window {} was lost: {error}", window.word()),
            }
            // Nobody hears us when the program ends.
            let _ = events.send(Event::Closed(window));
        };
        std::thread::Builder::new().name("window".to_owned()).spawn(wait)?;
        Ok(())
    }

    /// One has ended.
    pub fn closed(&mut self, window: Window) {
        self.open.remove(&window);
    }
}
