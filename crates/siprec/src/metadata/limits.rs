//! How much of a metadata document is kept.

/// The most participants.
pub const PARTICIPANTS_MAX: usize = 32;

/// The most groups.
pub const GROUPS_MAX: usize = 8;

/// The most communication sessions.
pub const SESSIONS_MAX: usize = 8;

/// The most streams. A transfer may replace both streams of a call several times.
pub const STREAMS_MAX: usize = 32;

/// The most associations of participants and sessions.
pub const PARTICIPANT_SESSIONS_MAX: usize = 2 * PARTICIPANTS_MAX;

/// The most associations of participants and streams.
pub const PARTICIPANT_STREAMS_MAX: usize = PARTICIPANTS_MAX;

/// The most addresses of one participant, and SIP session ids of one session.
pub const NAMES_MAX: usize = 4;

/// The most streams that one participant sends or receives.
pub const STREAMS_PER_PARTICIPANT_MAX: usize = 8;

/// The most bytes of an id.
pub const ID_BYTES_MAX: usize = 128;

/// The most bytes of an address, a name or a SIP session id.
pub const TEXT_BYTES_MAX: usize = 256;

/// The most problems of a document that are told.
pub const PROBLEMS_MAX: usize = 8;

/// The most nodes of the XML tree.
pub const NODES_MAX: u32 = 8_192;

/// The most attributes of one XML element, so that comparing them stays cheap.
pub const ATTRIBUTES_MAX: usize = 64;

/// The most namespace declarations of a document, for the same reason.
pub const NAMESPACES_MAX: usize = 128;
