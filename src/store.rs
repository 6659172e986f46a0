//! The record store: facts in a journal, audio in one sealed file per recording.
//!
//! All code here is pure: it encodes facts and audio to bytes and decodes them. The disk thread
//! (`shell::disk`) moves the bytes. `docs/record-format.md` draws the formats.

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
