//! The agents' client: a tray icon, balloons, and a few windows.
//!
//! `core` is its mind and `model` its face; both are pure, as is everything here but `shell`, which
//! has the sockets, the desktop's own services and the processes of the windows. What an agent may
//! do is decided by the box alone: `can` enables, and nothing else does (requirement A13).
//!
//! Nothing here imports anything of the box but `client` and `protocol`.

pub mod action;
pub mod cli;
pub mod core;
pub mod ipc;
pub mod keys;
pub mod settings;
pub mod shell;
pub mod ui;
pub mod windows;
