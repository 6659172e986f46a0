//! The command line of `hushbox-desktop`.
//!
//! Without an option the program is the resident client. With an option it sends a request to the
//! running client, shows a window, or enrols this workstation.

use clap::Parser;

/// Hushbox's desktop client for agents: an icon in the tray
#[derive(Debug, Parser)]
#[command(name = "hushbox-desktop", version, about)]
pub struct Cli {
    /// Print the status of the running client
    #[arg(long, group = "what")]
    pub status: bool,
    /// With --status: print JSON
    #[arg(long, requires = "status")]
    pub json: bool,
    /// Send a command through the running client: "record start", "record stop", "screen start",
    /// "screen stop", "blackout start", "blackout stop", "update 1 \"VALUE\"", "toggle blackout",
    /// "toggle recording" or "reconnect"
    #[arg(long, group = "what", value_name = "COMMAND")]
    pub command: Option<String>,
    /// Enrol this workstation with a technician's one-time code
    #[arg(long, group = "what", value_name = "CODE")]
    pub enrol: Option<String>,
    /// With --enrol: address of the box [default: the first server in the settings]
    #[arg(long, requires = "enrol", value_name = "ADDRESS")]
    pub to: Option<client::Address>,
    /// Open a window of the running client: update, status, settings, about or bar
    #[arg(long, group = "what", value_name = "WINDOW")]
    pub open: Option<String>,
    /// Quit the running client
    #[arg(long, group = "what")]
    pub quit: bool,
    /// Show one window in this process
    #[arg(long, group = "what", value_name = "WINDOW", hide = true)]
    pub window: Option<String>,
}
