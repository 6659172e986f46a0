//! The processes of the windows. Each window is a process of the same program.
//!
//! The resident process stays small, and survives a window that crashes.

use super::event::Event;
use crate::ui::window_kind::WindowKind;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;

/// The windows that are open.
#[derive(Debug, Default)]
pub struct WindowProcesses {
    open: BTreeSet<WindowKind>,
}

impl WindowProcesses {
    /// Whether this window is open.
    #[must_use]
    pub fn is_open(&self, window: WindowKind) -> bool {
        self.open.contains(&window)
    }

    /// Starts the process of a window. `Event::WindowClosed` reports its end.
    pub fn open_window(
        &mut self,
        window: WindowKind,
        events: &Sender<Event>,
    ) -> Result<(), std::io::Error> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--window", window.as_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        self.open.insert(window);
        let events = events.clone();
        let wait = move || {
            match child.wait() {
                Ok(status) if status.success() => {}
                Ok(status) => log::warn!("the window {} ended with {status}", window.as_str()),
                Err(error) => {
                    log::warn!("cannot wait for the window {}: {error}", window.as_str());
                }
            }
            // The resident thread may have ended.
            let _ = events.send(Event::WindowClosed(window));
        };
        std::thread::Builder::new().name("window".to_owned()).spawn(wait)?;
        Ok(())
    }

    /// The process of a window has ended.
    pub fn mark_closed(&mut self, window: WindowKind) {
        self.open.remove(&window);
    }
}
