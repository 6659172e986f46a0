//! Fixed limits of the box, with their arithmetic.
//!
//! `config::bounds` has the limits that the configuration may change. Because of these limits,
//! the audio path allocates nothing after startup.

use crate::audio::ring::RUNS_MAX;

/// Length of a grid frame in ms, counted from the recording's first frame: one Opus packet.
pub const GRID_MS: u64 = 20;

/// Grid frames in one chunk of a media file: 25 × 20 ms = 0.5 s (H3).
pub const CHUNK_GRIDS: u32 = 25;
const _: () = assert!(CHUNK_GRIDS as u64 * GRID_MS <= 500);

/// Maximum number of runs in one chunk; the chunk ends early at this number.
pub const CHUNK_RUNS_MAX: usize = 64;
const _: () = assert!(RUNS_MAX * 2 <= CHUNK_RUNS_MAX);

/// Ring size beyond the holdback, in ms: how long the disk may stall before audio is lost.
pub const RING_SLACK_MS: u64 = 3000;

/// Maximum delay of an audio sync, in ms. With a 0.5 s chunk and the sync itself, a power cut
/// loses at most holdback + 1 s (H3).
pub const SYNC_MS: u64 = 400;
const _: () = assert!(SYNC_MS + CHUNK_GRIDS as u64 * GRID_MS < 1000);

/// Time for encoding per turn over all recordings, in microseconds: less than half a period. By
/// `Encoder::grid_cost_us` these are 128 grid frames of Opus, or 1,500 of µ-law, of which 1,000
/// calls bring 1,000 in each period.
pub const ENCODING_US_PER_TURN: u32 = 9000;

/// Grid frames released per turn, whatever they cost: some, and some more for each stream. Their
/// chunks are fewer than the buffers, which are two for each channel.
pub const GRIDS_PER_TURN: usize = 128;
pub const GRIDS_PER_STREAM: usize = 2;

/// How long before a typed digit its mask begins, and how long after the last one it ends, in ms.
/// Gateways let up to 60 ms of a tone pass before they name it, and the event itself takes as long
/// as a reorder window.
pub const DIGIT_LEAD_MS: u32 = 300;
pub const DIGIT_TAIL_MS: u64 = 3000;

/// Maximum known calls over all devices, including wrap-up: on every channel one live call and
/// three in wrap-up.
pub const CALLS_MAX: usize = 8192;

/// Number of calls above which the oldest wrap-ups end early, so that a new call always fits.
pub const CALLS_SOFT_MAX: usize = CALLS_MAX / 4 * 3;

/// Maximum known calls per device (customers on hold, consultations).
pub const CALLS_PER_DEVICE_MAX: usize = 8;

/// Time after which a call on hold whose `call resume` and `call stop` never came is ended, in s.
pub const HELD_CALL_S: u32 = 24 * 3600;

/// Length of a call that raises an alarm, in ms: its `call stop` was probably lost.
pub const LONG_CALL_MS: u64 = 12 * 3_600_000;

/// Maximum open recordings: for every channel one running, and one on hold or closing.
pub const RECORDINGS_MAX: usize = 4096;

/// Maximum buffers for chunks on their way to the disk. Above it a slow disk leaves audio in the
/// rings a little earlier: 1,000 calls write 2,000 chunks a second, so these last half a second.
pub const BLOCKS_MAX: usize = 1024;

/// Data keys made before the first turn: for the calls of so many channels that begin at once.
pub const FIRST_KEYS_MAX: usize = 512;

/// Number of recordings, including wrap-up, above which the oldest wrap-ups end early.
pub const RECORDINGS_SOFT_MAX: usize = RECORDINGS_MAX / 4 * 3;

/// Pending commands of one session; at this number reading its lines pauses (protocol).
pub const PENDING_REPLIES_MAX: usize = 64;

/// Output space that a session needs before its next line is read: the longest short reply.
pub const REPLY_RESERVE_BYTES: usize = 8 * 1024;

/// Maximum bytes queued for one session.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(OUTPUT_BYTES_MAX > 4 * REPLY_RESERVE_BYTES);

/// A session without input for this many ms is closed (protocol).
pub const SESSION_IDLE_MS: u64 = 90_000;

/// Time for a session to say hello, in ms (protocol).
pub const HELLO_TIMEOUT_MS: u64 = 10_000;

/// Refused hellos before a session is closed (protocol).
pub const HELLO_TRIES: u8 = 3;

/// A client that accepts no output for this many ms is dropped (protocol).
pub const DRAIN_TIMEOUT_MS: u64 = 60_000;

/// Maximum wait for a blackout's durable receipt, in ms, before `err storage masked=yes`
/// (protocol).
pub const RECEIPT_TIMEOUT_MS: u64 = 2000;

/// Size of one media read for a client, and of its data block; far below the protocol's 1 MiB.
pub const READ_BYTES: usize = 16 * 1024;
const _: () = assert!(READ_BYTES * 2 < OUTPUT_BYTES_MAX);

/// Events kept for `watch`.
pub const EVENTS_MAX: usize = 256;

/// Default and maximum number of rows of `records`.
pub const RECORDS_DEFAULT: usize = 100;
pub const RECORDS_MAX: usize = 100_000;

/// Supported sample rates, in frames per second.
pub const RATE_MIN: u32 = 4_000;
pub const RATE_MAX: u32 = 192_000;

/// Whole frames in a 20 ms grid frame at `rate`.
#[must_use]
pub fn grid_frames(rate: u32) -> u64 {
    u64::from(rate) * GRID_MS / 1000
}

/// Retention of recordings without a schedule, in days.
pub const RETENTION_DEFAULT_DAYS: u32 = 90;

/// Consecutive wrong PINs or codes before a lockout, and its first and maximum length; it doubles
/// each time. At five tries an hour a four-digit PIN withstands months.
pub const LOCKOUT_ATTEMPTS: u32 = 5;
pub const LOCKOUT_MS: u64 = 60_000;
pub const LOCKOUT_MS_MAX: u64 = 3_600_000;

/// A source that has been quiet for this many ms, lockouts included, is dropped. Waiting for that
/// gains an attacker nothing: the six lockouts below an hour allow 30 guesses, 24 of an hour
/// allow 120.
pub const GUESSER_MS: u64 = 24 * 3_600_000;

/// Maximum sources of wrong guesses; the one quiet longest is dropped. Sources of PINs are users,
/// machines and ports, which an attacker cannot multiply. An attacker can change networks, but a
/// code has 60 secret bits and lasts 15 minutes. A million guesses a second find one of 64 codes
/// with probability 10^-7.
pub const GUESSERS_MAX: usize = 256;

/// Validity of an enrolment code in ms (protocol), and the maximum number of pending codes.
pub const ENROLMENT_CODE_MS: u64 = 15 * 60_000;
pub const ENROLMENT_CODES_MAX: usize = 64;
const _: () =
    assert!(ENROLMENT_CODES_MAX as u128 * ENROLMENT_CODE_MS as u128 * 1000 * 10_000_000 < 1 << 60);

/// Maximum size of a certificate request: any usual key type and some names, in PEM.
pub const CSR_BYTES_MAX: usize = 8 * 1024;

/// Concurrent TLS handshakes, above which the oldest is closed, and the maximum length of one. An
/// honest handshake takes milliseconds.
pub const HANDSHAKES_MAX: usize = 256;
pub const HANDSHAKE_TIMEOUT_MS: u64 = 5000;

/// Handshakes advanced per turn: 8 × 1 ms of elliptic-curve arithmetic, less than half a period.
/// A small box takes ten times that, which the capture buffer still covers.
pub const HANDSHAKES_PER_TURN: usize = 8;

/// Interval between log lines about lost audio, in ms; losses may occur every period.
pub const LOSS_LOG_MS: u64 = 1000;

/// Interval between log lines about a feed's lines, in ms; a wrong feed sends many.
pub const FEED_LOG_MS: u64 = 1000;

/// Maximum feeds with counters of their own.
pub const FEEDS_MAX: usize = 16;

/// Length of a call's list of altered details above which no more are added, in bytes.
pub const ALTERED_BYTES_MAX: usize = 200;

/// Step of the wall clock, in ms, that is noted in the journal and raises an alarm; corrections by
/// a time service are far smaller.
pub const CLOCK_STEP_MS: u64 = 2000;

/// The box at rest looks at its clock this often, in milliseconds.
pub const CLOCK_CHECK_MS: u64 = 1000;

/// Time between looks at stale calls and wrap-ups while a call is known, in milliseconds.
pub const CALLS_CHECK_MS: u64 = 200;

/// Longest time between looks at screen captures, in milliseconds.
pub const SCREENS_CHECK_MS: u64 = 1000;

/// Time between looks at the free space, in milliseconds.
pub const SPACE_CHECK_MS: u64 = 5000;

/// Memory for recall over all channels; above it the oldest audio is dropped. 64 channels × 60
/// min of Opus at 16 kbit/s are 64 × 7.2 MB = 461 MB.
pub const RECALL_BYTES_MAX: usize = 512 << 20;

/// Interval between retention checks in ms (H6: within an hour), and deletions per turn. 4 per
/// turn at five turns a second are 72,000 an hour: 64 channels with a call every three seconds
/// each.
pub const RETENTION_INTERVAL_MS: u64 = 60_000;
pub const RETENTION_BACKLOG_MS: u64 = 200;
pub const DELETIONS_PER_TURN: usize = 4;

/// Expired records of finished days that are prefetched for deletion, and rows of finished days
/// scanned per turn for that.
pub const EXPIRED_PREFETCH: usize = 32;
pub const ROWS_PER_TURN: usize = 256;

/// Maximum size of one read from a summary. The ids of a day are the largest part: 6 bytes for
/// each of at most 65,536 pages × 128 rows, 50 MB. A page has 16 KiB, a directory 0.2 KiB per
/// page. A larger size is corrupt even if its checksum matches.
pub const SUMMARY_READ_BYTES_MAX: usize = 64 << 20;
const _: () = assert!(SUMMARY_READ_BYTES_MAX > (1 << 16) * 128 * 6);
const _: () = assert!(RETENTION_INTERVAL_MS < 3_600_000);

/// Bytes of a file that is written again without a range: in one read, and not yet durable. The
/// loop checks and hashes a piece in less than a millisecond, and a sync of four pieces of a slow
/// disk (10 MB/s) takes 50 ms, so audio is not delayed.
pub const REDACTION_PIECE_BYTES: usize = 128 << 10;
pub const REDACTION_UNSYNCED_BYTES_MAX: usize = 4 * REDACTION_PIECE_BYTES;

/// How much a removed range is widened in the screen, in ms: card and system have clocks of their
/// own. Also a thousandth of the time since the screen began.
pub const REDACTION_MARGIN_MS: u64 = 1000;

/// The latest end of a removed range after the recording's start, in ms: 1000 days.
pub const REDACTION_MS_MAX: u64 = 1000 * 24 * 3_600_000;
const _: () = assert!((REDACTION_MS_MAX as u128) * (RATE_MAX as u128) < 1 << 63);

/// Retry interval in ms for removing a file or replacing a call key.
pub const REMOVE_RETRY_MS: u64 = 5000;

/// Time between the stamps of two runs, in ms, above which it does not count as passed.
pub const START_GAP_MS: u64 = 60_000;

/// Retry interval in ms after a disk failure.
pub const DISK_RETRY_MS: u64 = 1000;

/// Maximum bytes of facts kept in memory while the disk is down; above it the call feed is
/// refused too. At 100 bytes a fact and 10 facts a call this is 4000 calls.
pub const UNSYNCED_FACT_BYTES_MAX: usize = 4 << 20;

/// Time in ms after which a blackout stop that the disk does not store takes effect without it.
pub const PENDING_STOP_TIMEOUT_MS: u64 = 3000;

/// Tolerance in ms between the clocks of a workstation and the box after a `ping`. A video
/// segment waits for holdback and margin, and a blackout is widened by the margin on each side. A
/// segment may lie at most twice the margin ahead of the box's clock.
pub const SCREEN_MARGIN_MS: u64 = 250;
pub const SCREEN_AHEAD_MS: u64 = 2 * SCREEN_MARGIN_MS;

/// A step of the box's clock by this many ms disconnects screen clients, so that they measure it
/// again. The margin covers smaller steps.
pub const SCREEN_STEP_MS: u64 = SCREEN_MARGIN_MS / 2;

/// A segment older than this and twice the holdback is rejected. A client delays it by lead and
/// margin, it lasts up to half a minute, and the network may be slow.
pub const SCREEN_LATE_MS: u64 = 45_000;

/// A shorter gap is ignored and the previous picture stays. It covers five pictures at the
/// slowest usual rate, and a client's startup.
pub const SCREEN_GAP_MIN_MS: u64 = 1000;

/// Maximum length of a video segment. A gap without video is recorded after
/// `SCREEN_GAP_FLUSH_MS`, in parts of at most `SCREEN_GAP_CHUNK_MS_MAX`.
pub const SCREEN_SEGMENT_MS_MAX: u32 = 40_000;
pub const SCREEN_GAP_FLUSH_MS: u64 = 5000;
pub const SCREEN_GAP_CHUNK_MS_MAX: u64 = 600_000;
const _: () = assert!((SCREEN_SEGMENT_MS_MAX as u64) + SCREEN_GAP_MIN_MS < 60_000);
const _: () = assert!(SCREEN_GAP_CHUNK_MS_MAX < crate::store::media::MAX_CHUNK_FRAMES);

/// Maximum video waiting in memory, of one screen and in total. 100 kbit/s are 12.5 kB a second,
/// and seven seconds of it wait.
pub const SCREEN_QUEUE_BYTES_MAX: usize = 8 << 20;
pub const SCREENS_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Video submitted to the disk but not durable; more waits, so that audio is never delayed.
pub const SCREENS_UNSYNCED_BYTES_MAX: usize = 16 << 20;

/// First retry pause of a worker request, and of starting a thread, in ms; it doubles each time.
pub const WORKER_AGAIN_MS: u64 = 100;
pub const WORKER_AGAIN_MS_MAX: u64 = 10_000;

/// Time in ms that a session waits for such a request before it is refused. The client is still
/// connected then, and a technician has time for another hello.
pub const WORKER_WAIT_MS: u64 = 5000;
const _: () = assert!(WORKER_WAIT_MS < HELLO_TIMEOUT_MS);

/// Consecutive failures that raise an alarm: after 0.7 s.
pub const WORKER_FAILURES: u32 = 3;

/// First retry pause for summarising days, in ms; it doubles each time. Each attempt reads whole
/// days from a disk that may be failing.
pub const SUMMARY_AGAIN_MS: u64 = 5000;
pub const SUMMARY_AGAIN_MS_MAX: u64 = 600_000;

/// Time in ms without a data key in stock that raises an alarm. A burst of calls empties the
/// stock for less.
pub const NO_KEY_MS: u64 = 2000;
