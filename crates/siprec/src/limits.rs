//! What bounds the memory and the work of the server (`docs/architecture.md`, limits).
//!
//! The counts that depend on the size of the box are in `Settings`; these are fixed.

use std::time::Duration;

/// Bytes of one message, head and body. Larger datagrams do not exist; a stream that announces
/// more is closed.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Bytes of the head of one message. Each transaction may keep a copy of a head.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Header fields of one message, folded lines counted once.
pub const HEADERS_MAX: usize = 128;

/// Bytes of one Call-ID, tag or branch.
pub const IDENTIFIER_BYTES_MAX: usize = 256;

/// Bytes of one URI that a dialog keeps.
pub const URI_BYTES_MAX: usize = 1 << 10;

/// Entries of a dialog's route set.
pub const ROUTES_MAX: usize = 8;

/// Server transactions for each session that `Settings` allows.
pub const TRANSACTIONS_PER_SESSION: usize = 4;

/// Peers that have counters and a rate of their own. The one not seen for longest gives way.
pub const PEERS_MAX: usize = 64;

/// Problems that wait for the host. Further ones are counted, not told.
pub const PROBLEMS_WAITING_MAX: usize = 64;

/// Estimated round trip (RFC 3261 §17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);

/// Longest interval between retransmissions (RFC 3261 §17.1.2.2).
pub const T2: Duration = Duration::from_secs(4);

/// Longest life of a message in the network (RFC 3261 §17.1.2.2).
pub const T4: Duration = Duration::from_secs(5);

/// 64 × T1: how long a transaction waits for the other side (timers F, H, J, L).
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(32);

/// The shortest session interval that is accepted, in seconds (RFC 4028 §4).
pub const MIN_SESSION_INTERVAL_S: u32 = 90;

const _: () = assert!(HEAD_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(TRANSACTION_TIMEOUT.as_millis() == 64 * T1.as_millis());
