//! Every bound of the box, with its arithmetic.
//!
//! What the configuration may change has its bounds in `config::bounds`; what stands here is fixed.
//! Nothing is allocated on the audio path after start-up because everything is bounded here.

use crate::audio::ring::RUNS_MAX;

/// Audio leaves the ring in stretches of 20 ms, counted from the recording's first frame: one Opus
/// packet each.
pub const GRID_MS: u64 = 20;

/// Grid frames in one chunk of a media file: 25 × 20 ms = 0.5 s (H3).
pub const CHUNK_GRIDS: u32 = 25;
const _: () = assert!(CHUNK_GRIDS as u64 * GRID_MS <= 500);

/// Runs in one chunk; a chunk with more fates than that is cut short.
pub const CHUNK_RUNS_MAX: usize = 64;
const _: () = assert!(RUNS_MAX * 2 <= CHUNK_RUNS_MAX);

/// How much longer than the holdback a ring is: a disk may stall this long before audio is lost.
pub const RING_SLACK_MS: u64 = 3000;

/// Audio is synced after this long at the latest; with a chunk of 0.5 s before it, and the sync
/// itself, not more than holdback + 1 s is lost when the plug is pulled (H3).
pub const SYNC_MS: u64 = 400;
const _: () = assert!(SYNC_MS + CHUNK_GRIDS as u64 * GRID_MS < 1000);

/// Grid frames that are encoded in one turn over all recordings: 128 × 70 µs (Opus, complexity 5)
/// is 9 ms, less than half a period.
pub const GRIDS_PER_TURN: u32 = 128;

/// Calls that are known at once, over all devices, those in wrap-up included.
pub const CALLS_MAX: usize = 2048;

/// Above so many the oldest wrap-ups are cut short, so that there is always room for a new call.
pub const CALLS_SOFT_MAX: usize = CALLS_MAX / 4 * 3;

/// Calls that are known of one device at once (customers on hold, consults).
pub const CALLS_PER_DEVICE_MAX: usize = 8;

/// Recordings that are open at once: every channel's running one, its held ones, and one that
/// closes.
pub const RECORDINGS_MAX: usize = 1024;

/// Above so many, those in wrap-up included, the oldest wrap-ups are cut short.
pub const RECORDINGS_SOFT_MAX: usize = RECORDINGS_MAX / 4 * 3;

/// Commands of one session that wait for their answer; then its lines are not read (protocol).
pub const PENDING_REPLIES_MAX: usize = 64;

/// Free room a session's output must have before its next line is taken: the longest short reply.
pub const REPLY_RESERVE_BYTES: usize = 8 * 1024;

/// Bytes waiting to be sent to one session, at most.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(OUTPUT_BYTES_MAX > 4 * REPLY_RESERVE_BYTES);

/// A session that says nothing for so long is closed (protocol).
pub const SESSION_IDLE_MS: u64 = 90_000;

/// Time for a session to say hello (protocol).
pub const HELLO_TIMEOUT_MS: u64 = 10_000;

/// Refused hellos before a session is closed (protocol).
pub const HELLO_TRIES: u8 = 3;

/// A client that does not take what is sent is dropped after this long (protocol).
pub const DRAIN_TIMEOUT_MS: u64 = 60_000;

/// A blackout's durable receipt waits this long before `err storage masked=yes` (protocol).
pub const RECEIPT_TIMEOUT_MS: u64 = 2000;

/// One piece of a media file on its way to a client, and its data block; far below the protocol's
/// 1 MiB.
pub const READ_BYTES: usize = 16 * 1024;
const _: () = assert!(READ_BYTES * 2 < OUTPUT_BYTES_MAX);

/// Events remembered for `watch`.
pub const EVENTS_MAX: usize = 256;

/// Rows of `records` when no limit is asked, and at most.
pub const RECORDS_DEFAULT: usize = 100;
pub const RECORDS_MAX: usize = 100_000;

/// Frames of one 20 ms grid stretch at `rate`.
#[must_use]
pub fn grid_frames(rate: u32) -> u64 {
    u64::from(rate) * GRID_MS / 1000
}

/// How long a recording is kept when no schedule says.
pub const RETENTION_DEFAULT_DAYS: u32 = 90;

/// Wrong PINs, or wrong codes, in a row before their source is locked out, and for how long: each
/// lock twice the one before. At five tries an hour a PIN of four digits stands for months.
pub const LOCKOUT_ATTEMPTS: u32 = 5;
pub const LOCKOUT_MS: u64 = 60_000;
pub const LOCKOUT_MS_MAX: u64 = 3_600_000;

/// A source that has been quiet for so long, locks included, is forgotten. Waiting for it gains
/// nothing: the six locks below an hour allow 30 guesses, and 24 locks of an hour allow 120.
pub const GUESSER_MS: u64 = 24 * 3_600_000;

/// Sources of wrong guesses that are known at once; the one that has been quiet for longest makes
/// room. Sources of PINs are users, machines and ports, which a guesser cannot add to. Networks a
/// guesser can change, but a code has 60 secret bits and 15 minutes: at a million guesses a second
/// one of 64 codes is found with a chance of 10^-7.
pub const GUESSERS_MAX: usize = 256;

/// How long an enrolment code can be used (protocol), and how many wait at once.
pub const ENROLMENT_CODE_MS: u64 = 15 * 60_000;
pub const ENROLMENT_CODES_MAX: usize = 64;
const _: () =
    assert!(ENROLMENT_CODES_MAX as u128 * ENROLMENT_CODE_MS as u128 * 1000 * 10_000_000 < 1 << 60);

/// A request for a certificate: a key of any usual kind and some names, in PEM.
pub const CSR_BYTES_MAX: usize = 8 * 1024;

/// Handshakes that are under way at once; the oldest makes room, for an honest one takes
/// milliseconds. And how long one may take.
pub const HANDSHAKES_MAX: usize = 256;
pub const HANDSHAKE_TIMEOUT_MS: u64 = 5000;

/// Handshakes that are carried on in one turn: 8 × 1 ms of elliptic curves, less than half a period
/// (on a small box ten times that: the card's buffer still holds).
pub const HANDSHAKES_PER_TURN: usize = 8;

/// Losses come with every period; the log has one line a second of them.
pub const LOSS_LOG_MS: u64 = 1000;

/// A step of the wall clock that is worth an alarm. Steering by a time service stays far below.
pub const CLOCK_STEP_MS: u64 = 2000;

/// Memory for calls that are kept back (recall), over all channels; then the oldest audio goes.
/// 64 channels × 60 min of Opus at 16 kbit/s are 64 × 7.2 MB = 461 MB.
pub const RECALL_BYTES_MAX: usize = 512 << 20;

/// How often the box looks for what is past its retention (H6: within an hour), and how many
/// recordings it deletes in one turn. 4 a turn, five turns a second while there are more, are
/// 72,000 an hour: 64 channels with a call every three seconds each.
pub const RETENTION_INTERVAL_MS: u64 = 60_000;
pub const RETENTION_BACKLOG_MS: u64 = 200;
pub const DELETIONS_PER_TURN: usize = 4;

/// Expired records of closed days that are looked up ahead of their deletion, and rows of closed
/// days that one turn may go through for it.
pub const EXPIRED_PREFETCH: usize = 32;
pub const ROWS_PER_TURN: usize = 256;

/// The longest piece of a summary that is read at once. The ids of a day are the longest: 6 bytes
/// for each of at most 65,536 pages × 128 rows, 50 MB. A page has 16 KiB, a directory 0.2 KiB for
/// each page. More is not what a box has written, whatever the checksums say.
pub const SUMMARY_READ_BYTES_MAX: usize = 64 << 20;
const _: () = assert!(SUMMARY_READ_BYTES_MAX > (1 << 16) * 128 * 6);
const _: () = assert!(RETENTION_INTERVAL_MS < 3_600_000);

/// A file that could not be removed, or a call key that could not be replaced, is tried again.
pub const REMOVE_RETRY_MS: u64 = 5000;

/// The wall clock may jump ahead by so much before deletion waits for somebody to look.
pub const CLOCK_JUMP_MS: u64 = 60_000;
/// So long it waits, unless the clock is set back.
pub const CLOCK_HOLDOFF_MS: u64 = 3_600_000;

/// A disk that failed is tried again after this long.
pub const DISK_RETRY_MS: u64 = 1000;

/// Facts that wait in memory for a disk to come back; above it the call feed is refused too. A busy
/// box notes 100 bytes a fact and 10 facts a call: this is 4000 calls.
pub const UNSYNCED_FACT_BYTES_MAX: usize = 4 << 20;

/// A stop that the disk does not take ends without it after this long.
pub const PENDING_STOP_TIMEOUT_MS: u64 = 3000;

/// Screens: a piece of video waits for the holdback and this much more, a blackout hides so much
/// more on either side, and no piece may lie further ahead of the box's clock than twice of it:
/// what the clocks of a workstation and the box may differ by after a `ping`.
pub const SCREEN_MARGIN_MS: u64 = 250;
pub const SCREEN_AHEAD_MS: u64 = 2 * SCREEN_MARGIN_MS;

/// When the box's clock steps by this much, screen capture clients have to come back and measure it
/// anew: the margin covers the rest.
pub const SCREEN_STEP_MS: u64 = SCREEN_MARGIN_MS / 2;

/// A piece that is older than this and twice the holdback cannot be sorted in any more: the client
/// holds it back for lead and margin, it lasts up to half a minute, and a network may be slow.
pub const SCREEN_LATE_MS: u64 = 45_000;

/// A gap that is shorter is none: the picture from before still stands. Five pictures at the
/// slowest rate that is usual, and what a client needs to begin.
pub const SCREEN_GAP_MIN_MS: u64 = 1000;

/// Longest piece of video. What has no video is written down after `SCREEN_GAP_FLUSH_MS`, in parts of
/// at most `SCREEN_GAP_CHUNK_MS_MAX`.
pub const SCREEN_SEGMENT_MS_MAX: u32 = 40_000;
pub const SCREEN_GAP_FLUSH_MS: u64 = 5000;
pub const SCREEN_GAP_CHUNK_MS_MAX: u64 = 600_000;
const _: () = assert!((SCREEN_SEGMENT_MS_MAX as u64) + SCREEN_GAP_MIN_MS < 60_000);
const _: () = assert!(SCREEN_GAP_CHUNK_MS_MAX < crate::store::media::MAX_CHUNK_FRAMES);

/// Video that waits in memory, of one screen and of all: 100 kbit/s are 12.5 kB a second, and
/// seven seconds of it wait.
pub const SCREEN_QUEUE_BYTES_MAX: usize = 8 << 20;
pub const SCREENS_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Video that the disk was given and has not made durable; more waits, so that audio never does.
pub const SCREENS_UNSYNCED_BYTES_MAX: usize = 16 << 20;

/// A request to a worker thread that fails, or for which no thread can be started, is tried again
/// after a pause, each twice the one before.
pub const WORKER_AGAIN_MS: u64 = 100;
pub const WORKER_AGAIN_MS_MAX: u64 = 10_000;

/// A session waits for such a request so long, then it is refused: the client is still there, and a
/// technician has time to say hello once more.
pub const WORKER_WAIT_MS: u64 = 5000;
const _: () = assert!(WORKER_WAIT_MS < HELLO_TIMEOUT_MS);

/// Failures in a row from which on there is an alarm: after 0.7 s.
pub const WORKER_FAILURES: u32 = 3;

/// Closing days that failed is tried again after a pause, each twice the one before: it reads whole
/// days from a disk that may be the reason.
pub const SUMMARY_AGAIN_MS: u64 = 5000;
pub const SUMMARY_AGAIN_MS_MAX: u64 = 600_000;

/// No data key in stock for so long is an alarm. A burst of calls empties the stock for less.
pub const NO_KEY_MS: u64 = 2000;
