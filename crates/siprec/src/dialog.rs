//! Dialogs with recording clients (RFC 3261 §12), and their form for storage.

use crate::peer::Peer;
use std::fmt;
use zeroize::Zeroizing;

/// All that a dialog needs to go on after a restart of the box.
///
/// The host stores it sealed: `local_description` may hold SRTP keys.
#[derive(Clone, PartialEq, Eq)]
pub struct DialogSnapshot {
    pub call_id: String,
    pub local_tag: String,
    pub remote_tag: String,
    /// The client's `To`, as it was written, without our tag.
    pub local_address: String,
    /// The client's `From`, as it was written, with its tag.
    pub remote_address: String,
    /// The URI of the client's `Contact`.
    pub remote_target: String,
    /// The client's `Record-Route`, in its order.
    pub routes: Vec<String>,
    /// The number of our last request; 0: none yet.
    pub local_cseq: u32,
    /// The number of the client's last request.
    pub remote_cseq: u32,
    /// Where the client's last request came from.
    pub peer: Peer,
    /// The session interval of RFC 4028 in seconds, if there is one.
    pub interval_s: Option<u32>,
    /// The session description that was answered last.
    pub local_description: Zeroizing<String>,
}

/// A snapshot names no callers, but it may hold keys.
impl fmt::Debug for DialogSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialogSnapshot")
            .field("peer", &self.peer)
            .field("remote_cseq", &self.remote_cseq)
            .field("interval_s", &self.interval_s)
            .finish_non_exhaustive()
    }
}
