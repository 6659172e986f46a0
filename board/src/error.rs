//! Errors from opening a board, with the values a technician needs and the remedy.
//!
//! The texts are for a person at the console: what was found, what was expected, what to do. A
//! board that fails later reports the same texts in its `BoardState`.

use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum BoardError {
    /// The configuration is invalid.
    #[error("board `{board}`: {wrong}")]
    Config { board: String, wrong: BoardConfigError },
    /// A simulated board's WAV file cannot be played.
    #[error(
        "board `{board}`, channel {channel}: {}: {wrong}{}",
        path.display(),
        wrong.suggest_fix(path)
    )]
    Wav { board: String, channel: u16, path: PathBuf, wrong: WavError },
    /// The system provided no timer.
    #[error("board `{board}`: no timer from the system: {errno}")]
    Timer { board: String, errno: nix::errno::Errno },
    /// A port of an RTP board cannot be bound.
    #[error(
        "board `{board}`: {address} port {port}: cannot be bound: {errno}{}",
        suggest_for_port(*errno)
    )]
    RtpPort { board: String, address: std::net::IpAddr, port: u16, errno: nix::errno::Errno },
    /// The interface of a mirror port cannot be read.
    #[error(
        "board `{board}`: interface {interface}: cannot be read: {errno}{}",
        suggest_for_interface(*errno)
    )]
    Capture { board: String, interface: String, errno: nix::errno::Errno },
    /// The system provided no epoll set.
    #[error("board `{board}`: no epoll set from the system: {errno}")]
    Epoll { board: String, errno: nix::errno::Errno },
    /// No capture PCM of that name exists at present.
    #[error("board `{board}`: there is no capture PCM `{pcm}` ({reason}); {}", list_known(known))]
    NoPcm { board: String, pcm: String, reason: String, known: Vec<String> },
    /// Another program uses the PCM.
    #[error(
        "board `{board}`: PCM `{pcm}` is in use by another program: stop that one \
         (`fuser -v /dev/snd/*` names it)"
    )]
    Busy { board: String, pcm: String },
    /// The daemon's user may not open the PCM.
    #[error("board `{board}`: no right to open PCM `{pcm}`: put the user into group `audio`")]
    PermissionDenied { board: String, pcm: String },
    /// The card does not support the requested rate.
    #[error(
        "board `{board}`: PCM `{pcm}` does not run at {wanted} Hz; it offers {offered}. Set `rate` \
         to one of these, or use a converting PCM (`plughw:…` instead of `hw:…`)"
    )]
    Rate { board: String, pcm: String, wanted: u32, offered: String },
    /// The card has too few slots.
    #[error(
        "board `{board}`: PCM `{pcm}` has {offered} slot(s), but `slots` names one that needs \
         {wanted}"
    )]
    Slots { board: String, pcm: String, wanted: u16, offered: u32 },
    /// The card does not deliver 16-bit interleaved samples.
    #[error(
        "board `{board}`: PCM `{pcm}` gives no 16-bit interleaved samples: use a converting PCM \
         (`plughw:…` instead of `hw:…`)"
    )]
    Format { board: String, pcm: String },
    /// Any other ALSA error.
    #[error("board `{board}`: PCM `{pcm}`: {doing}: {reason}")]
    Pcm { board: String, pcm: String, doing: &'static str, reason: String },
}

/// Error in a board's configuration.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BoardConfigError {
    /// There are no channels.
    #[error("it has no channels")]
    NoChannels,
    /// Sample rate out of bounds.
    #[error("rate is {rate} Hz, allowed are 4000 to 192000")]
    Rate { rate: u32 },
    /// Buffer length out of bounds.
    #[error("buffer_ms is {buffer_ms}, allowed are 20 to 10000")]
    Buffer { buffer_ms: u32 },
    /// The buffer does not hold two periods.
    #[error("period_ms is {period_ms}, allowed are 1 to half of buffer_ms ({buffer_ms})")]
    Period { period_ms: u32, buffer_ms: u32 },
    /// Neither mono nor stereo.
    #[error("channel {channel} has {sides} sides, allowed are 1 (mono) and 2 (stereo)")]
    Sides { channel: u16, sides: u8 },
    /// The number of slots differs from the number of sides.
    #[error("channel {channel} has {sides} side(s) but {slots} slot(s): name one slot per side")]
    Slots { channel: u16, sides: u8, slots: usize },
    /// Slot number out of bounds.
    #[error("channel {channel} names slot {slot}, the last possible is {max}")]
    Slot { channel: u16, slot: u16, max: u16 },
    /// A simulated channel has no file.
    #[error("channel {channel} has no `source`: name the WAV file it shall play")]
    NoSource { channel: u16 },
    /// An RTP board at a rate that no codec of its has.
    #[error("rate is {rate} Hz, a board for calls from the network has 8000 or 16000")]
    RtpRate { rate: u32 },
    /// Slots and channels of an RTP board differ.
    #[error("{slots} slots for {channels} channels: there must be as many")]
    RtpSlots { slots: usize, channels: usize },
    /// The port range of an RTP board is impossible.
    #[error(
        "{slots} slots from port {first_port} on: begin at an even port, 4 ports for each slot"
    )]
    RtpPorts { first_port: u16, slots: usize },
    /// A channel of an RTP board that is not stereo.
    #[error("channel {channel} has {sides} side(s), a call from the network has 2")]
    RtpSides { channel: u16, sides: u8 },
}

#[derive(Debug, Error)]
pub enum WavError {
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// Not a WAV file.
    #[error("is no WAV file ({reason}), wanted is {wanted}")]
    Header { reason: String, wanted: ExpectedFormat },
    /// The format differs from the expected one.
    #[error("holds {found}, wanted is {wanted}")]
    WrongFormat { found: String, wanted: ExpectedFormat },
    /// The file has no audio.
    #[error("holds no frame at all, wanted is {wanted}")]
    Empty { wanted: ExpectedFormat },
    /// The file is shorter than its header says.
    #[error("is cut: its header promises {promised} bytes of audio, {present} are there")]
    Truncated { promised: u64, present: u64, wanted: ExpectedFormat },
}

/// Format that a simulated channel plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedFormat {
    /// Sample rate in frames per second.
    pub rate: u32,
    /// Samples per frame.
    pub sides: u8,
}

impl std::fmt::Display for ExpectedFormat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sides = if self.sides == 1 { "mono" } else { "stereo" };
        write!(out, "16-bit PCM, {sides}, {} Hz", self.rate)
    }
}

impl WavError {
    /// Returns the command that converts the file, as the end of the message.
    pub(crate) fn suggest_fix(&self, path: &std::path::Path) -> String {
        let wanted = match self {
            WavError::Read(_) => return String::new(),
            WavError::Empty { .. } => return ": name a file with audio in it".to_owned(),
            WavError::Header { wanted, .. }
            | WavError::WrongFormat { wanted, .. }
            | WavError::Truncated { wanted, .. } => wanted,
        };
        format!(
            ": convert it with `sox '{}' -b 16 -e signed-integer -r {} -c {} converted.wav`",
            path.display(),
            wanted.rate,
            wanted.sides
        )
    }
}

fn suggest_for_port(errno: nix::errno::Errno) -> &'static str {
    use nix::errno::Errno;
    match errno {
        Errno::EADDRINUSE => ": another program has it (`ss -lunp`): choose other `ports`",
        Errno::EADDRNOTAVAIL => ": this machine does not have the address (`ip address`)",
        Errno::EMFILE | Errno::ENFILE => {
            ": too many open files: raise LimitNOFILE, or lower `calls`"
        }
        _ => "",
    }
}

fn suggest_for_interface(errno: nix::errno::Errno) -> &'static str {
    use nix::errno::Errno;
    match errno {
        Errno::ENODEV => ": there is none of that name (`ip link` lists the interfaces)",
        Errno::EPERM | Errno::EACCES => ": the program needs the capability CAP_NET_RAW",
        _ => "",
    }
}

fn list_known(known: &[String]) -> String {
    if known.is_empty() {
        return "there is none at all: is the card plugged in and its driver loaded \
                (`arecord -l`)?"
            .to_owned();
    }
    format!("there are: {} (`arecord -L` explains them)", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_wav_comes_with_the_command_that_mends_it() {
        let wanted = ExpectedFormat { rate: 8000, sides: 1 };
        let error = BoardError::Wav {
            board: "demo".to_owned(),
            channel: 3,
            path: PathBuf::from("a/b.wav"),
            wrong: WavError::WrongFormat {
                found: "24-bit, 2 channels, 44100 Hz".to_owned(),
                wanted,
            },
        };
        assert_eq!(
            error.to_string(),
            "board `demo`, channel 3: a/b.wav: holds 24-bit, 2 channels, 44100 Hz, wanted is \
             16-bit PCM, mono, 8000 Hz: convert it with \
             `sox 'a/b.wav' -b 16 -e signed-integer -r 8000 -c 1 converted.wav`"
        );
    }

    #[test]
    fn a_missing_pcm_lists_what_there_is() {
        let error = |known: Vec<String>| BoardError::NoPcm {
            board: "b".to_owned(),
            pcm: "hw:9".to_owned(),
            reason: "No such device".to_owned(),
            known,
        };
        assert!(error(vec!["cap".to_owned(), "x".to_owned()]).to_string().contains("cap, x ("));
        assert!(error(Vec::new()).to_string().contains("is the card plugged in"));
    }
}
