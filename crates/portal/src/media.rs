//! Recordings in memory only: fetched encrypted, decoded by `hushbox decode`, and cached with a
//! bound.

pub mod cache;
pub mod decode_service;
pub mod decoder;
pub mod fetch;
pub mod identity;
pub mod memfile;
pub mod playback;
pub mod sealed_facts;
