//! The command line of `hushbox-desktop`.
//!
//! Without a word it is the resident client. With one it speaks to the client that runs, opens a
//! window, or enrols this workstation. Nothing here does any of it.

use clap::Parser;

/// Hushbox's client for agents: an icon in the tray.
#[derive(Debug, Parser)]
#[command(name = "hushbox-desktop", version, about)]
pub struct Cli {
    /// Print how it stands, as the running client knows it
    #[arg(long, group = "what")]
    pub status: bool,
    /// With --status: as JSON
    #[arg(long, requires = "status")]
    pub json: bool,
    /// Have the running client do something: "blackout start", "record stop", "update 1 \"…\"",
    /// "toggle blackout", "reconnect"
    #[arg(long, group = "what", value_name = "COMMAND")]
    pub command: Option<String>,
    /// Enrol this workstation with a technician's one-time code
    #[arg(long, group = "what", value_name = "CODE")]
    pub enrol: Option<String>,
    /// With --enrol: the box; default: the first server of the settings
    #[arg(long, requires = "enrol", value_name = "ADDRESS")]
    pub to: Option<client::Address>,
    /// Have the running client open a window: update, status, settings, about, bar
    #[arg(long, group = "what", value_name = "WINDOW")]
    pub open: Option<String>,
    /// End the running client
    #[arg(long, group = "what")]
    pub quit: bool,
    /// Show one window in this process
    #[arg(long, group = "what", value_name = "WINDOW", hide = true)]
    pub window: Option<String>,
}
