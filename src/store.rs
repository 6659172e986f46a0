//! The record store: facts in a journal, audio in one sealed file per recording.
//!
//! Everything here is pure: it turns facts and audio into bytes and bytes back into facts and
//! audio. The disk thread (`shell::disk`) moves the bytes. `docs/record-format.md` draws them.

pub mod archive;
mod bytes;
pub mod damage;
pub mod day;
pub mod fact;
pub mod index;
pub mod journal;
pub mod journal_files;
pub mod layout;
pub mod media;
pub mod recover;
pub mod seal;
pub mod sign;
mod sliding_buffer;
pub mod verify;
