//! The command line: subcommands, options and help texts.
//!
//! Subcommands and options are a stable interface for scripts.

use clap::{Args, Parser, Subcommand, ValueEnum};
use client::Address;
use hushbox::export::waveform::PEAKS_MAX;
use hushbox::id::RecordingId;
use protocol::Kind;
use std::path::PathBuf;

/// Command-line tool for Hushbox, the call recorder
///
/// Online commands (send, agent, console, meters, selftest, enrol) talk to a running recorder. They
/// connect to --to ADDR, else to the `[[listen]]` addresses in the configuration, else to
/// 127.0.0.1:7440.
///
/// Offline commands (records, show, export, verify) read the data directory named by the
/// configuration, whether or not the daemon is running. The configuration is --config FILE, else
/// ./config.toml, else /etc/hushbox/config.toml.
///
/// `hushbox help COMMAND` shows the options and examples of a command.
#[derive(Debug, Parser)]
#[command(name = "hushbox", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
Examples:
  hushbox check-config config.toml        check a configuration before you install it
  hushbox send \"record start\" status      start recording your call, show the status
  hushbox agent --to box-01 --user jdoe   control recording interactively, follow events
  hushbox records today --agent jdoe      list today's recordings of an agent
  hushbox show ID                         show everything about one recording
  hushbox export ID --to call.wav         write an audio file and its signed manifest
  hushbox verify                          check that no record was altered or removed
  hushbox enrol --to box-01 --code CODE   get a certificate for this workstation

Exit status: 0 success, 1 rejected or not clean, 2 wrong usage, 66 no such file or record,
69 recorder unreachable, 73 or 74 file error, 77 sealed, 78 invalid configuration.";

#[derive(Debug, Subcommand)]
pub enum Command {
    Send(SendArgs),
    Agent(AgentArgs),
    Console(ConsoleArgs),
    Meters(MetersArgs),
    Selftest(SelftestArgs),
    VerifyReport(VerifyReportArgs),
    Records(RecordsArgs),
    Show(ShowArgs),
    Export(ExportArgs),
    Decode(DecodeArgs),
    Redact(RedactArgs),
    Verify(VerifyArgs),
    CheckConfig(CheckConfigArgs),
    /// Hash a technician's PIN for the configuration
    ///
    /// Prompts twice without echo, or reads one line if stdin is not a terminal. Prints an argon2id
    /// hash for `pin = "…"` under `[[technician]]`.
    #[command(after_help = "Example:\n  hushbox pin >> pin.txt")]
    Pin,
    Keygen(KeygenArgs),
    Enrol(EnrolArgs),
    /// List this machine's sound cards with a configuration proposal for each
    ///
    /// For every card that can capture, prints the matching profile, the wiring, the mixer settings
    /// and a [[board]] section to copy. A card in use by a running daemon cannot be queried.
    #[command(after_help = "Example:\n  hushbox boards")]
    Boards,
    /// Write the manual pages of this tool into a folder
    #[command(hide = true)]
    Manual {
        folder: PathBuf,
    },
}

/// Location of the configuration.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Recorder configuration [default: ./config.toml, then /etc/hushbox/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Address of the recorder.
#[derive(Args, Debug)]
pub struct ServerArgs {
    /// Recorder address: HOST, HOST:PORT, `tls:HOST[:PORT]` or unix:PATH. Repeat to try several in
    /// order
    #[arg(long = "to", value_name = "ADDR")]
    pub servers: Vec<Address>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// User options.
#[derive(Args, Debug)]
pub struct UserArgs {
    /// System username [default: the user logged in here]
    #[arg(long)]
    pub user: Option<String>,
    /// Domain of the user
    #[arg(long)]
    pub domain: Option<String>,
    /// Name of this workstation [default: the host name; over TLS the name in the certificate]
    #[arg(long)]
    pub machine: Option<String>,
}

/// Send commands to a recorder and print the replies
///
/// Logs in with `hello`, sends each CMD in order and prints every reply line. Stops at the first
/// `err` with exit status 1. `help`, `ping` and `quit` need no login. A CMD that starts with
/// `hello` replaces the automatic login.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox send help
  hushbox send \"record start\" \"update 1 \\\"Jane Roe\\\"\"
  hushbox send --kind cti \"call start device=1001 call=c1 ani=5551234\"
  hushbox send --kind technician --user field status
  hushbox send --kind supervisor --user boss --out call.hbm \"media ID\"")]
pub struct SendArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub user: UserArgs,
    /// Session kind: agent, screen, cti, supervisor, technician or monitor [default: agent]
    #[arg(long, value_parser = parse_kind)]
    pub kind: Option<Kind>,
    /// Technician PIN. Other users of this machine can see it; omit it to be prompted
    #[arg(long)]
    pub pin: Option<String>,
    /// Act for another program: only `portal`, and only from the portal's system user
    #[arg(long, value_parser = ["portal"])]
    pub via: Option<String>,
    /// Write the data of a reply (`media`) to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the data of a reply to stdout, unmodified
    #[arg(long, conflicts_with = "out")]
    pub raw: bool,
    /// Commands to send, each quoted as one argument
    #[arg(required = true, value_name = "CMD")]
    pub commands: Vec<String>,
}

fn parse_kind(word: &str) -> Result<Kind, String> {
    let words = Kind::ALL.map(Kind::as_str).join(", ");
    Kind::parse(word).ok_or_else(|| format!("allowed: {words}"))
}

/// Control recording as an agent, interactively
///
/// Sends each line you type as a command. The prompt and one line per change show the state. If the
/// connection is lost, retries every 10 s, and after ten retries at growing intervals. Type
/// `reconnect` to retry at once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox agent --user jdoe
  hushbox agent --to box-01 --to box-02 --user jdoe --domain ACME
Then type, for example:
  record start
  blackout start
  blackout stop
  update 1 \"Jane Roe\"
  quit")]
pub struct AgentArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub user: UserArgs,
    /// Stop retrying after ten failed retries, until you type `reconnect`
    #[arg(long)]
    pub strict: bool,
}

/// Open a technician's console on a recorder
///
/// Prompts for user and PIN, then accepts commands; type `help` for a list. On a terminal, replies
/// are shown as tables; otherwise as protocol lines.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox console
  hushbox console --to unix:data/hushbox.sock --user field
  hushbox console /dev/ttyUSB0 --rate 9600")]
pub struct ConsoleArgs {
    /// Serial port connected to the recorder, for example /dev/ttyUSB0
    #[arg(value_name = "TTY", conflicts_with = "servers")]
    pub tty: Option<PathBuf>,
    /// Serial speed in bit/s; must match `baud` in the recorder's configuration
    #[arg(long, value_name = "N", default_value_t = 115_200)]
    pub rate: u32,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Technician name [default: prompt]
    #[arg(long)]
    pub user: Option<String>,
}

/// Show live level meters of all channels
///
/// Prompts for user and PIN like `console`. Bars range from -60 to 0 dB; | marks the peak of the
/// last two seconds. Press n or p to change the page, q to quit. If stdout is not a terminal,
/// prints the levels once, as a table.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox meters
  hushbox meters /dev/ttyUSB0 --rate 9600 --user field")]
pub struct MetersArgs {
    #[command(flatten)]
    pub console: ConsoleArgs,
}

/// Test a running recorder and write a signed report
///
/// Prompts for user and PIN like `console`. The test takes ten seconds and does not disturb
/// recordings. It checks the level and noise of every channel, board clocks, sealing and the disk.
/// On a board with loopback and an idle channel, it also records a test tone with a blackout, and
/// checks that no masked audio is on disk. Exit status 1 if a test failed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox selftest
  hushbox selftest /dev/ttyUSB0 --user field --report box-01.txt
  hushbox verify-report box-01.txt --key box.pub")]
pub struct SelftestArgs {
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// Write the signed report to this new file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Verify the signature of a self-test report
///
/// Needs the recorder's public key: a copy of its keys/box.pub, or its configuration. Exit status 1
/// if the report was changed or signed by another recorder.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  hushbox verify-report box-01.txt --key box.pub")]
pub struct VerifyReportArgs {
    /// Self-test report
    pub file: PathBuf,
    /// Copy of the recorder's public key [default: keys/box.pub in the data directory]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// List recordings, newest first
///
/// Phone numbers are shown if an identity can open them. A + after a length marks a running
/// recording, counted up to the last audio on disk.
///
/// Days and times are those of the site's time zone (`time_zone` in the configuration). T is a
/// day, a time such as 2026-11-22T14:00, or a time with an offset such as
/// 2026-11-22T14:00:00+01:00, which works in the hour that happens twice when summer time ends.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox records today
  hushbox records --last 20
  hushbox records a4dq
  hushbox records --agent jdoe --from 2026-11-22 --to 2026-11-24
  hushbox records yesterday --ani withheld --identity identity.txt --json")]
pub struct RecordsArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only the recordings of this day (`today`, `yesterday` or 2026-11-22), or those whose ID
    /// begins with these characters
    #[arg(value_name = "DAY|ID", conflicts_with_all = ["from", "to"])]
    pub which: Option<String>,
    /// Only recordings that began at or after T: a day, or a time
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Only recordings that began before T
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Only recordings of this user
    #[arg(long, value_name = "USER")]
    pub agent: Option<String>,
    /// Only recordings of this extension
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Only recordings of this call
    #[arg(long, value_name = "ID")]
    pub call: Option<String>,
    /// Only recordings with this calling number; `withheld` for those without one
    #[arg(long, value_name = "NUMBER")]
    pub ani: Option<String>,
    /// Only recordings with this called number; `withheld` for those without one
    #[arg(long, value_name = "NUMBER")]
    pub dnis: Option<String>,
    /// List only the newest N recordings
    #[arg(long, value_name = "N", visible_alias = "last")]
    pub limit: Option<usize>,
    /// Private key that opens phone numbers [default: keys/identity.txt, if present]
    #[arg(long, value_name = "KEY")]
    pub identity: Option<PathBuf>,
    /// Print JSON with all details
    #[arg(long)]
    pub json: bool,
}

/// Show everything about a recording
///
/// Shows the call, the fields and their history, blackouts, audio that is not stored and why, and
/// exact sample counts.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  hushbox show ID --identity identity.txt")]
pub struct ShowArgs {
    /// Recording ID, or its first characters
    pub id: String,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Private key that opens phone numbers and fields [default: keys/identity.txt, if present]
    #[arg(long, value_name = "KEY")]
    pub identity: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Export a recording to an audio or video file
///
/// Writes FILE, and FILE.json with the call record, the spans, the sample counts and the recorder's
/// signature. Masked, held and lost audio becomes silence, so the length is exact. Only the owner
/// can read FILE.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox export ID --to call.wav
  hushbox export ID --to call.opus --identity identity.txt
  hushbox verify --export call.opus")]
pub struct ExportArgs {
    /// Recording ID, or its first characters
    pub id: String,
    /// Output file; the extension selects the format: .wav (16-bit PCM), .opus or .ogg (Ogg Opus),
    /// .webm or .mkv (with screen)
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Private key that opens the recording [default: keys/identity.txt, if present]
    #[arg(long, value_name = "KEY")]
    pub identity: Option<PathBuf>,
    /// Overwrite FILE, and export even if the recording does not match the journal
    #[arg(long)]
    pub force: bool,
}

/// Output formats of `decode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecodeFormat {
    /// Ogg Opus, for players
    Opus,
    /// 16-bit PCM
    Wav,
    /// Audio, with the screen if there is one, for browsers and players
    Webm,
    /// JSON: peaks per side, and masked, held and lost spans, for drawing a waveform
    Shape,
    /// JSON: phone numbers and fields, from the JSON and base64 output of `show ID sealed=on`
    Facts,
}

/// Decode a media file from stdin to stdout, without a store
///
/// For programs that fetched the file with `media ID`. Masked, held and lost audio becomes silence.
/// Nothing is written to disk. --identity and --screen accept pipes, such as /dev/fd/3. With
/// --recording and --digest, the file must be the one that the journal means; without them, it
/// must at least be whole.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox decode --as opus --identity identity.txt < ID.hbm > call.opus
  hushbox decode --as webm --screen ID.hbv --identity identity.txt < ID.hbm > call.webm
  hushbox decode --as shape --peaks 800 --identity identity.txt < ID.hbm")]
pub struct DecodeArgs {
    /// Output format
    #[arg(long = "as", value_name = "KIND", default_value = "opus")]
    pub kind: DecodeFormat,
    /// Number of peaks per side, for --as shape
    #[arg(long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(PEAKS_MAX)))]
    pub peaks: u32,
    /// Screen file of the call (from `media ID part=screen`), for --as webm
    #[arg(long, value_name = "FILE")]
    pub screen: Option<PathBuf>,
    /// Private key that opens the recording
    #[arg(long, value_name = "KEY")]
    pub identity: Option<PathBuf>,
    /// Refuse the file of any other recording
    #[arg(long, value_name = "ID", value_parser = parse_recording)]
    pub recording: Option<RecordingId>,
    /// Refuse a file with another digest than the `ok` of `media ID` had
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    pub digest: Option<[u8; 32]>,
    /// Refuse a screen file with another digest
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    pub screen_digest: Option<[u8; 32]>,
    /// Decode even if the file is damaged, cut short or changed
    #[arg(long)]
    pub force: bool,
}

fn parse_recording(word: &str) -> Result<RecordingId, String> {
    RecordingId::parse(word).ok_or_else(|| "not a recording ID".to_owned())
}

fn parse_digest(word: &str) -> Result<[u8; 32], String> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(word.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "not a digest: expected 64 hexadecimal digits".to_owned())
}

/// Remove a range of a recording for good
///
/// Asks the recorder, as a supervisor with the permission `redact`. The recorder removes the whole
/// half seconds that the range touches, and the screen of that time, and says what is gone. Nobody
/// can restore it. The record keeps who removed it, when and why. Exit status 1 if the recorder
/// refuses.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox redact ID 0:00:31 0:00:37 --reason \"card data, blackout came late\" --user boss
  hushbox redact ID 31.5 37 --reason \"card data\" --to unix:data/hushbox.sock")]
pub struct RedactArgs {
    /// Recording ID
    pub id: String,
    /// Start of the range, counted from the start of the recording: seconds, M:SS or H:MM:SS
    #[arg(value_name = "FROM", value_parser = parse_offset)]
    pub from_ms: u64,
    /// End of the range
    #[arg(value_name = "TO", value_parser = parse_offset)]
    pub to_ms: u64,
    /// Why it is removed; the text stays in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub user: UserArgs,
}

/// Parses `37`, `37.5`, `0:37` or `0:00:37.5` as milliseconds.
fn parse_offset(text: &str) -> Result<u64, String> {
    let wrong = || "expected seconds, M:SS or H:MM:SS, such as 37.5 or 0:00:37.5".to_owned();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = whole.split(':').collect();
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() > 3 || parts.iter().any(|part| part.is_empty() || !is_plain(part)) {
        return Err(wrong());
    }
    if fraction.len() > 3 || !is_plain(fraction) || text.ends_with('.') {
        return Err(wrong());
    }
    let mut seconds = 0_u64;
    for part in parts {
        let next = part.parse::<u64>().ok().filter(|part| *part < 1_000_000).ok_or_else(wrong)?;
        seconds = seconds * 60 + next;
    }
    let ms: u64 = format!("{fraction:0<3}").parse().map_err(|_| wrong())?;
    Ok(seconds * 1000 + ms)
}

/// Check that no record was altered or removed
///
/// Follows the hash chain through all journal files, checks the recorder's signatures, and compares
/// every media file with the journal. Needs no private key, and works while the daemon is running.
/// Exit status 1 if there are findings.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox verify
  hushbox verify --witness checkpoints.txt --box-key box.pub
  hushbox verify --export call.wav")]
pub struct VerifyArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Checkpoints kept by a client (`event what=checkpoint …`); each must be in the chain
    #[arg(long, value_name = "FILE")]
    pub witness: Option<PathBuf>,
    /// Copy of the recorder's public key [default: keys/box.pub in the data directory]
    #[arg(long, value_name = "FILE")]
    pub box_key: Option<PathBuf>,
    /// Check this exported file and its manifest instead of the store
    #[arg(long, value_name = "FILE", conflicts_with = "witness")]
    pub export: Option<PathBuf>,
}

/// Check a configuration and report all errors
///
/// Prints one line per error or warning: FILE:LINE:COLUMN, what was found and what is allowed. Exit
/// status 1 if there is an error; warnings do not change it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  hushbox check-config /etc/hushbox/config.toml")]
pub struct CheckConfigArgs {
    /// Configuration to check
    pub file: PathBuf,
}

/// Generate a key pair for sealing recordings
///
/// Prints the public key, for `recipients = […]` under `[store]`. Anyone with the identity file can
/// listen to the recordings: keep it off the recorder, and keep a backup.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox keygen --out identity.txt
  hushbox export ID --to call.wav --identity identity.txt")]
pub struct KeygenArgs {
    /// Write the private key to this new file, with mode 0600 [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Enrol this workstation with a recorder
///
/// Uses the one-time code that a technician created with `enrol MACHINE` in the last 15 minutes.
/// The private key is generated here and never leaves this machine. Key and certificate are stored
/// in hushbox/boxes in the user's configuration folder, readable only by this user. Later
/// connections with --to use TLS and accept only this recorder.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  hushbox enrol --to box-01 --code 7QF4-K2MD-…
  hushbox agent --to tls:box-01 --user jdoe")]
pub struct EnrolArgs {
    /// Recorder: HOST or HOST:PORT, as clients will address it [port: 7441]
    #[arg(long = "to", value_name = "BOX", value_parser = tls_address)]
    pub server: Address,
    /// One-time code; case, spaces and hyphens are ignored
    #[arg(long, value_name = "CODE")]
    pub code: String,
}

fn tls_address(text: &str) -> Result<Address, client::AddressError> {
    format!("tls:{}", text.strip_prefix("tls:").unwrap_or(text)).parse()
}

#[cfg(test)]
mod tests {
    use super::parse_offset;

    #[test]
    fn offsets_are_read_as_players_show_them() {
        for (text, ms) in [
            ("0", 0),
            ("37", 37_000),
            ("37.5", 37_500),
            ("1:07", 67_000),
            ("2:00:01.25", 7_201_250),
            ("0:00:00.007", 7),
        ] {
            assert_eq!(parse_offset(text), Ok(ms), "{text}");
        }
        for bad in ["", "-1", "1:", ":5", "1.2345", "5.", "1:2:3:4", "1,5", "x", "9999999"] {
            assert!(parse_offset(bad).is_err(), "{bad}");
        }
    }
}
