//! The desktop client for agents: a tray icon, notifications and a few windows.
//!
//! `core` is the state machine and `ui` holds the views as values. Both are pure and never import
//! `shell` or `windows`. `shell` has the sockets, the desktop's services and the processes of the
//! windows; `windows` draws. The box alone decides what an agent may do: `can` enables a command,
//! and nothing else does (requirement A13).
//!
//! This crate imports `client` and `protocol`, and no other crate of the box.

pub mod agent_request;
pub mod cli;
pub mod core;
pub mod hotkey;
pub mod ipc;
pub mod settings;
pub mod shell;
pub mod ui;
pub mod windows;
