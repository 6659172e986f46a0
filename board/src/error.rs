//! Why a board cannot be opened, with the numbers a technician needs and the way out.
//!
//! The texts are meant for a person at the console: what was found, what is wanted, what to do.
//! A board that opened once reports later trouble in its `State`, with the same texts.

use std::path::PathBuf;
use thiserror::Error;

/// Why a board did not open.
#[derive(Debug, Error)]
pub enum BoardError {
    /// The model itself makes no sense.
    #[error("board `{board}`: {wrong}")]
    Config { board: String, wrong: BoardConfigError },
    /// A simulated board's WAV file cannot be played.
    #[error(
        "board `{board}`, channel {channel}: {}: {wrong}{}",
        path.display(),
        wrong.suggest_fix(path)
    )]
    Wav { board: String, channel: u16, path: PathBuf, wrong: WavError },
    /// The system gave no timer.
    #[error("board `{board}`: no timer from the system: {errno}")]
    Timer { board: String, errno: nix::errno::Errno },
    /// There is no capture PCM of that name, now.
    #[error("board `{board}`: there is no capture PCM `{pcm}` ({reason}); {}", list_known(known))]
    NoPcm { board: String, pcm: String, reason: String, known: Vec<String> },
    /// Somebody else has the PCM.
    #[error(
        "board `{board}`: PCM `{pcm}` is in use by another program: stop that one \
         (`fuser -v /dev/snd/*` names it)"
    )]
    Busy { board: String, pcm: String },
    /// The daemon's user may not open the PCM.
    #[error("board `{board}`: no right to open PCM `{pcm}`: put the user into group `audio`")]
    PermissionDenied { board: String, pcm: String },
    /// The card cannot run at the rate asked for.
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
    /// The card gives no 16-bit interleaved samples.
    #[error(
        "board `{board}`: PCM `{pcm}` gives no 16-bit interleaved samples: use a converting PCM \
         (`plughw:…` instead of `hw:…`)"
    )]
    Format { board: String, pcm: String },
    /// Anything else ALSA says.
    #[error("board `{board}`: PCM `{pcm}`: {doing}: {reason}")]
    Pcm { board: String, pcm: String, doing: &'static str, reason: String },
}

impl BoardError {
    /// Whether a card that is plugged in, or let go by another program, would make an end of it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            BoardError::NoPcm { .. } | BoardError::Busy { .. } | BoardError::Pcm { .. } => true,
            BoardError::Config { .. } | BoardError::Wav { .. } | BoardError::Timer { .. } => false,
            BoardError::PermissionDenied { .. } | BoardError::Rate { .. } => false,
            BoardError::Slots { .. } | BoardError::Format { .. } => false,
        }
    }
}

/// What is wrong with a model.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BoardConfigError {
    /// No audio could come from it.
    #[error("it has no channels")]
    NoChannels,
    /// Frames per second out of bounds.
    #[error("rate is {rate} Hz, allowed are 4000 to 192000")]
    Rate { rate: u32 },
    /// Milliseconds out of bounds.
    #[error("buffer_ms is {buffer_ms}, allowed are 20 to 10000")]
    Buffer { buffer_ms: u32 },
    /// A period must fit into the buffer twice.
    #[error("period_ms is {period_ms}, allowed are 1 to half of buffer_ms ({buffer_ms})")]
    Period { period_ms: u32, buffer_ms: u32 },
    /// Neither mono nor stereo.
    #[error("channel {channel} has {sides} sides, allowed are 1 (mono) and 2 (stereo)")]
    Sides { channel: u16, sides: u8 },
    /// One slot per side.
    #[error("channel {channel} has {sides} side(s) but {slots} slot(s): name one slot per side")]
    Slots { channel: u16, sides: u8, slots: usize },
    /// No card has that many.
    #[error("channel {channel} names slot {slot}, the last possible is {max}")]
    Slot { channel: u16, slot: u16, max: u16 },
    /// A simulated channel plays a file.
    #[error("channel {channel} has no `source`: name the WAV file it shall play")]
    NoSource { channel: u16 },
}

/// What is wrong with a WAV file.
#[derive(Debug, Error)]
pub enum WavError {
    /// It does not open or read.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// It is no WAV file.
    #[error("is no WAV file ({reason}), wanted is {wanted}")]
    Header { reason: String, wanted: ExpectedFormat },
    /// It is one of another kind.
    #[error("holds {found}, wanted is {wanted}")]
    WrongFormat { found: String, wanted: ExpectedFormat },
    /// It has no audio.
    #[error("holds no frame at all, wanted is {wanted}")]
    Empty { wanted: ExpectedFormat },
    /// It ends before its header says.
    #[error("is cut: its header promises {promised} bytes of audio, {present} are there")]
    Truncated { promised: u64, present: u64, wanted: ExpectedFormat },
}

/// The one form a simulated channel plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedFormat {
    /// Frames per second.
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
    /// The command that makes a file right, as an end of the message.
    fn suggest_fix(&self, path: &std::path::Path) -> String {
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
