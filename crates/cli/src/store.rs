//! Reading a record store offline: folders, keys, records, manifests and checkpoints.

pub mod facts;
pub mod manifest;
pub mod record_json;
pub mod seekable;
pub mod store_dir;
pub mod unseal;
pub mod witness;
