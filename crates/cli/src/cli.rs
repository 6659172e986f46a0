//! The command line: words, flags, and the help that teaches them.
//!
//! `config.md`'s words and flags are a contract; scripts rely on them. Nothing here acts.

use clap::{Args, Parser, Subcommand, ValueEnum};
use client::Address;
use hushbox::export::waveform::PEAKS_MAX;
use protocol::Kind;
use std::path::PathBuf;

/// The tool for a Hushbox: talk to a running box, and read its records.
///
/// A box is found by --to, else by the [[listen]] of its configuration, else at 127.0.0.1:7440.
/// A store is found by --config FILE, else ./config.toml, else /etc/hushbox/config.toml; it is read
/// whether or not the box runs.
#[derive(Debug, Parser)]
#[command(name = "hushbox", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
Examples:
  hushbox check-config config.toml        what is wrong with a configuration, line by line
  hushbox send \"record start\" status      as the agent that you are logged in as
  hushbox agent --to box-01 --user jdoe   the same, and the news as they come
  hushbox records --agent jdoe --limit 5  what there is
  hushbox show ID                         all about one recording
  hushbox export ID --to call.wav         a file that anything plays, and its signed manifest
  hushbox verify                          is anything edited, missing or cut?
  hushbox enrol --to box-01 --code CODE   this workstation's certificate

Exit status: 0 done, 1 refused or not clean, 2 wrong usage, 66 no such file or record,
69 no box answers, 73 or 74 a file cannot be written or read, 77 sealed, 78 bad configuration.";

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
    Verify(VerifyArgs),
    CheckConfig(CheckConfigArgs),
    /// Make the hash of a technician's PIN, for the configuration
    ///
    /// Asks twice and echoes nothing; or reads one line where stdin is no terminal. Prints an
    /// argon2id hash for `pin = "…"` under [[technician]].
    #[command(after_help = "Example:\n  hushbox pin >> pin.txt")]
    Pin,
    Keygen(KeygenArgs),
    Enrol(EnrolArgs),
    /// List this machine's sound cards, and what to write into the configuration for each
    ///
    /// For every card that can capture: the profile that suits it, how it is wired, how its mixer
    /// is set, and a [[board]] to copy. A card in use by a running box cannot be asked.
    #[command(after_help = "Example:\n  hushbox boards")]
    Boards,
    /// Write the manual pages of this tool into a folder
    #[command(hide = true)]
    Manual {
        folder: PathBuf,
    },
}

/// Where the configuration is.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// The box's configuration [default: ./config.toml, then /etc/hushbox/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Where the box is.
#[derive(Args, Debug)]
pub struct ServerArgs {
    /// A box: HOST, HOST:PORT, tls:HOST[:PORT], or unix:PATH; several are tried in order
    #[arg(long = "to", value_name = "ADDR")]
    pub servers: Vec<Address>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Who one is.
#[derive(Args, Debug)]
pub struct UserArgs {
    /// System username [default: who is logged in]
    #[arg(long)]
    pub user: Option<String>,
    /// Domain of the user
    #[arg(long)]
    pub domain: Option<String>,
    /// Name of this workstation [default: the host's name; over TLS its certificate's]
    #[arg(long)]
    pub machine: Option<String>,
}

/// Send commands to a box and print its answers
///
/// Says hello, sends each CMD in order, prints every line of the answers, and stops at the first
/// err with exit status 1. `help`, `ping` and `quit` need no hello; a CMD that is a hello itself
/// replaces ours.
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
    /// What the session is: agent, screen, cti, supervisor, technician or monitor [default: agent]
    #[arg(long, value_parser = parse_kind)]
    pub kind: Option<Kind>,
    /// PIN of a technician; others on this machine can see it here, so leave it out to be asked
    #[arg(long)]
    pub pin: Option<String>,
    /// On whose behalf: only `portal`, and only from the portal's own user
    #[arg(long, value_parser = ["portal"])]
    pub via: Option<String>,
    /// Write the data that comes with an answer (`media`) into this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the data that comes with an answer to stdout as it is
    #[arg(long, conflicts_with = "out")]
    pub raw: bool,
    /// One command each, quoted for the shell
    #[arg(required = true, value_name = "CMD")]
    pub commands: Vec<String>,
}

fn parse_kind(word: &str) -> Result<Kind, String> {
    let words = Kind::ALL.map(Kind::as_str).join(", ");
    Kind::parse(word).ok_or_else(|| format!("allowed: {words}"))
}

/// Be an agent's client: type commands, see the state as it changes
///
/// Lines are sent as they are typed. The prompt and a line for each change tell the state. A lost
/// box is tried again every 10 s, after ten tries ever more rarely; `reconnect` tries at once.
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
    /// After ten failed retries only `reconnect` tries again
    #[arg(long)]
    pub strict: bool,
}

/// Log in at a box as a technician
///
/// Asks for user and PIN, then takes commands (`help` lists them). Answers are shown as tables on a
/// terminal, line by line elsewhere.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox console
  hushbox console --to unix:data/hushbox.sock --user field
  hushbox console /dev/ttyUSB0 --rate 9600")]
pub struct ConsoleArgs {
    /// A serial port, /dev/ttyUSB0, that leads to the box
    #[arg(value_name = "TTY", conflicts_with = "servers")]
    pub tty: Option<PathBuf>,
    /// The serial port's speed, bit/s, as `baud` of the box's configuration says
    #[arg(long, value_name = "N", default_value_t = 115_200)]
    pub rate: u32,
    #[command(flatten)]
    pub server: ServerArgs,
    /// The technician's name [default: asked for]
    #[arg(long)]
    pub user: Option<String>,
}

/// Show the levels of all channels, live
///
/// Asks for user and PIN as `console` does. Bars reach from -60 to 0 dB, | is the peak of the last
/// two seconds; n and p turn the page, q stops. Where nothing can be painted (stdout is no
/// terminal, or a dumb one), prints the levels once, as a table.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox meters
  hushbox meters /dev/ttyUSB0 --rate 9600 --user field")]
pub struct MetersArgs {
    #[command(flatten)]
    pub console: ConsoleArgs,
}

/// Test a running box, and write a report that it signs
///
/// Asks for user and PIN as `console` does. Takes ten seconds and disturbs no recording: every
/// channel's level and noise, the boards' clocks, sealing, the disk; and, where a board can loop
/// back and has an idle channel, a tone through the whole way of a recording, with a blackout of it
/// that must be nowhere on the disk. Exit status 1 if a test failed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox selftest
  hushbox selftest /dev/ttyUSB0 --user field --report box-01.txt
  hushbox verify-report box-01.txt --key box.pub")]
pub struct SelftestArgs {
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// Write the signed report into this file; it must not exist
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Check that a self-test's report is as the box wrote it
///
/// Needs the box's public key: a copy of its keys/box.pub, or its configuration. Exit status 1 if a
/// byte was changed, or if another box signed it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  hushbox verify-report box-01.txt --key box.pub")]
pub struct VerifyReportArgs {
    /// The report
    pub file: PathBuf,
    /// A copy of the box's public key [default: keys/box.pub of the box's data directory]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// List the records, newest first
///
/// Numbers are shown where an identity opens them. A length with + is that of a recording that
/// still runs, as far as it is on the disk.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox records --limit 20
  hushbox records --agent jdoe --from 2026-11-22 --to 2026-11-23
  hushbox records --ani 5551234 --identity identity.txt --json")]
pub struct RecordsArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only what began at this time or later: RFC 3339, or a day
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Only what began before this time
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Only of this user
    #[arg(long, value_name = "USER")]
    pub agent: Option<String>,
    /// Only on this extension
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Only of this call
    #[arg(long, value_name = "ID")]
    pub call: Option<String>,
    /// Only with this calling number
    #[arg(long, value_name = "NUMBER")]
    pub ani: Option<String>,
    /// Only with this called number
    #[arg(long, value_name = "NUMBER")]
    pub dnis: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The private key that opens numbers [default: keys/identity.txt, if it was left on the box]
    #[arg(long, value_name = "KEY")]
    pub identity: Option<PathBuf>,
    /// As JSON, with all there is
    #[arg(long)]
    pub json: bool,
}

/// Show all that is known of a recording
///
/// The call, fields and their history, blackouts, what is not stored and why, and the ledger, exact
/// to the sample.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  hushbox show ID --identity identity.txt")]
pub struct ShowArgs {
    /// The recording
    pub id: String,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The private key that opens numbers and fields [default: keys/identity.txt, if it is there]
    #[arg(long, value_name = "KEY")]
    pub identity: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Export a recording into a file that anything plays
///
/// Writes FILE and FILE.json beside it: the call record, spans, ledger, and the box's signature.
/// What was masked, held or lost is silence; the length is exact. FILE is readable by its owner
/// only.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox export ID --to call.wav
  hushbox export ID --to call.opus --identity identity.txt
  hushbox verify --export call.opus")]
pub struct ExportArgs {
    /// The recording
    pub id: String,
    /// Where to; .wav is 16-bit PCM, .opus or .ogg is Ogg Opus, .webm or .mkv has the screen too
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The private key that opens it [default: keys/identity.txt, if it was left on the box]
    #[arg(long, value_name = "KEY")]
    pub identity: Option<PathBuf>,
    /// Overwrite FILE; and export even what is not as the journal tells
    #[arg(long)]
    pub force: bool,
}

/// What `decode` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecodeFormat {
    /// Ogg Opus, for players
    Opus,
    /// 16-bit PCM
    Wav,
    /// Sound, and the screen where there is one, for browsers and players
    Webm,
    /// JSON: peaks per side, and the masked, held and lost stretches, to draw
    Shape,
    /// JSON: numbers and fields, of what `show ID sealed=on` said, in JSON and base64
    Facts,
}

/// Decode a media file from stdin to stdout, without a store
///
/// For programs that fetched it with `media ID`: what was masked, held or lost is silence, and
/// nothing is written to a disk. --identity and --screen may be pipes, as in /dev/fd/3. Whether the
/// file is the one that the box wrote is not checked here; `export` and `verify` do.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox decode --as opus --identity identity.txt < ID.hbm > call.opus
  hushbox decode --as webm --screen ID.hbv --identity identity.txt < ID.hbm > call.webm
  hushbox decode --as shape --peaks 800 --identity identity.txt < ID.hbm")]
pub struct DecodeArgs {
    /// What to make
    #[arg(long = "as", value_name = "KIND", default_value = "opus")]
    pub kind: DecodeFormat,
    /// Of a shape: how many peaks per side
    #[arg(long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(PEAKS_MAX)))]
    pub peaks: u32,
    /// Of a film: the file of the call's screen, from `media ID part=screen`
    #[arg(long, value_name = "FILE")]
    pub screen: Option<PathBuf>,
    /// The private key that opens it
    #[arg(long, value_name = "KEY")]
    pub identity: Option<PathBuf>,
    /// Decode even a damaged file
    #[arg(long)]
    pub force: bool,
}

/// Check that nothing is edited, missing or cut
///
/// Follows the hash chain through all journal files, checks the box's signatures, and holds every
/// media file against the journal. Needs no private key, and works while the box runs. Exit status
/// 1 if anything is found.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox verify
  hushbox verify --witness checkpoints.txt --box-key box.pub
  hushbox verify --export call.wav")]
pub struct VerifyArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Lines `event what=checkpoint …` that a client kept: each must be in the chain
    #[arg(long, value_name = "FILE")]
    pub witness: Option<PathBuf>,
    /// A copy of the box's public key [default: keys/box.pub]
    #[arg(long, value_name = "FILE")]
    pub box_key: Option<PathBuf>,
    /// Check this exported file and its manifest instead
    #[arg(long, value_name = "FILE", conflicts_with = "witness")]
    pub export: Option<PathBuf>,
}

/// Say what is wrong with a configuration, all of it at once
///
/// One line each, FILE:LINE:COLUMN: what was found and what is allowed. Exit status 1 if there is
/// an error; warnings alone do no harm.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  hushbox check-config /etc/hushbox/config.toml")]
pub struct CheckConfigArgs {
    /// The configuration to check
    pub file: PathBuf,
}

/// Make a key pair that recordings can be sealed to
///
/// Prints the public key, for `recipients = […]` under [store]. Whoever has the identity file can
/// hear the recordings: keep it away from the box, and keep a copy.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hushbox keygen --out identity.txt
  hushbox export ID --to call.wav --identity identity.txt")]
pub struct KeygenArgs {
    /// Where the identity goes (mode 0600); it must not exist [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Get this workstation its certificate from a box
///
/// Takes the code that a technician got with `enrol MACHINE` within the last quarter of an hour.
/// The private key is made here and never leaves; it is kept with the certificate, readable by this
/// user only, under hushbox/boxes in the user's configuration folder. From then on --to BOX is
/// spoken to in TLS, and no other box is trusted in its place.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  hushbox enrol --to box-01 --code 7QF4-K2MD-…
  hushbox agent --to tls:box-01 --user jdoe")]
pub struct EnrolArgs {
    /// The box: HOST or HOST:PORT, as its clients will name it [port: 7441]
    #[arg(long = "to", value_name = "BOX", value_parser = tls_address)]
    pub server: Address,
    /// The one-time code; case, spaces and hyphens do not matter
    #[arg(long, value_name = "CODE")]
    pub code: String,
}

fn tls_address(text: &str) -> Result<Address, client::AddressError> {
    format!("tls:{}", text.strip_prefix("tls:").unwrap_or(text)).parse()
}
