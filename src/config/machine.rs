//! Checks against the machine that the configuration is for: folders, sockets, WAV files, disk.
//!
//! What no start could work with is an error, such as a socket path that is too long. What may
//! still change, such as a missing WAV file, is a warning: the box starts and raises an alarm.
//! This module touches no file itself: the shell implements `Machine`.

use super::bounds::SOCKET_PATH_BYTES_MAX;
use super::error::Diagnostics;
use super::parse::ConfigDraft;
use super::{BoardKind, ListenSettings};
use std::path::Path;

/// A machine, as the check of a configuration sees it. Errors are texts for people.
pub trait Machine {
    /// Absolute folder of the file, from which relative paths start.
    fn folder(&self) -> &Path;
    /// Why the path cannot be the data folder; `None` if it is a folder or can become one.
    fn data_folder_error(&self, data: &Path) -> Option<String>;
    /// Size of the disk that holds the data folder, in MiB.
    fn disk_mib(&self, data: &Path) -> Option<u64>;
    /// Why no socket can be created at the path.
    fn socket_error(&self, socket: &Path) -> Option<String>;
    /// Why a simulated board cannot play the file.
    fn wav_error(&self, wav: &Path, rate: u32, sides: u8) -> Option<String>;
}

/// Checks the paths and sizes of a draft.
pub(super) fn check_machine(draft: &ConfigDraft, machine: &dyn Machine, notes: &mut Diagnostics) {
    check_data_folder(draft, machine, notes);
    check_sockets(draft, machine, notes);
    check_wav_files(draft, machine, notes);
}

fn check_data_folder(draft: &ConfigDraft, machine: &dyn Machine, notes: &mut Diagnostics) {
    let data = machine.folder().join(draft.data_folder());
    if let Some(error) = machine.data_folder_error(&data) {
        notes.push_conflict(draft.data_at, "[box] data", error);
        return;
    }
    let reserve = u64::from(draft.reserve_mb());
    if let Some(disk) = machine.disk_mib(&data).filter(|disk| *disk <= reserve) {
        let text = format!(
            "found {reserve}, but the disk of the data folder has {disk} MB: the box would \
             refuse every recording; allowed less than the disk"
        );
        notes.push_warning(draft.reserve_at, "[store] reserve_mb", text);
    }
}

fn check_sockets(draft: &ConfigDraft, machine: &dyn Machine, notes: &mut Diagnostics) {
    for listen in &draft.listen {
        let ListenSettings::Unix { path } = &listen.value else { continue };
        let path = machine.folder().join(path);
        let bytes = path.as_os_str().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            let text = format!(
                "found a path of {bytes} bytes with the folder of this file, allowed \
                 {SOCKET_PATH_BYTES_MAX}; move the socket to a shorter folder, such as /run"
            );
            notes.push_conflict(listen.offset, "[[listen]] unix", text);
        } else if let Some(error) = machine.socket_error(&path) {
            notes.push_warning(listen.offset, "[[listen]] unix", error);
        }
    }
}

fn check_wav_files(draft: &ConfigDraft, machine: &dyn Machine, notes: &mut Diagnostics) {
    for board in draft.boards.iter().filter(|board| *board.kind() == BoardKind::Sim) {
        for channel in &board.channels {
            let Some(source) = &channel.source else { continue };
            let wav = machine.folder().join(&source.value);
            if let Some(error) = machine.wav_error(&wav, board.rate(), channel.sides()) {
                let text = format!("{error}; the box starts without this board (alarm 101)");
                notes.push_warning(source.offset, "[[board]] channels.source", text);
            }
        }
    }
}
