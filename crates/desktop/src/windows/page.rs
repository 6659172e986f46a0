//! The contents of a window, and what every page needs.
//!
//! A page draws the newest snapshot and sends requests through its `WindowContext`. It stores only
//! what the agent is editing.

use crate::agent_request::AgentRequest;
use crate::ipc::{RequestKind, Snapshot};
use crate::shell::clock;
use crate::shell::ipc_client::IpcClient;
use eframe::egui::{self, RichText};

/// What a page needs.
pub(super) struct WindowContext {
    pub client: IpcClient,
    pub snapshot: Snapshot,
    /// When the snapshot came.
    pub received_ms: u64,
    /// The replies that the page has not handled: the number of the request, and the reply.
    pub replies: Vec<(u64, Result<String, String>)>,
}

impl WindowContext {
    /// Sends a request, and returns the number of its reply. Without a resident process the window
    /// closes anyway.
    pub(super) fn send_request(&mut self, kind: RequestKind) -> u64 {
        self.client.send_request(kind).unwrap_or(0)
    }

    pub(super) fn send_agent_request(&mut self, request: AgentRequest) -> u64 {
        self.send_request(RequestKind::Agent(request))
    }

    /// How long the blackout has been active.
    pub(super) fn blackout_ms(&self) -> u64 {
        let passed = clock::now_ms().saturating_sub(self.received_ms);
        self.snapshot.blackout_ms + if self.snapshot.blackout_counts { passed } else { 0 }
    }
}

/// The contents of a window.
pub(super) trait Page {
    /// Draws the page. Returns false to close the window.
    fn draw_page(&mut self, ui: &mut egui::Ui, context: &mut WindowContext) -> bool;

    /// The margin around the page.
    fn inner_margin(&self) -> i8 {
        14
    }
}

/// Formats an error, which differs from other messages by more than its colour.
pub(super) fn format_error(text: &str) -> RichText {
    RichText::new(format!("Not accepted: {text}")).strong()
}
