//! Witness files: checkpoints kept by clients.
//!
//! A file holds lines that a client received, `event what=checkpoint seq=N digest=… sig=…` in
//! hexadecimal, with `at=` if sent, or lines written by `Checkpoint::to_line`. Other lines are
//! skipped, so a whole transcript is accepted. The signature includes the time, so a line without
//! `at=` can only be compared with the journal.

use crate::error::Error;
use data_encoding::HEXLOWER_PERMISSIVE;
use hushbox::store::journal::Checkpoint;
use hushbox::store::verify::WitnessCheckpoint;
use hushbox::time::WallTime;
use protocol::Line;
use std::path::Path;

/// The content of a witness file.
#[derive(Debug, Default)]
pub struct WitnessFile {
    pub checkpoints: Vec<WitnessCheckpoint>,
}

impl WitnessFile {
    /// Reads a witness file, which must contain a checkpoint.
    pub fn read_file(path: &Path) -> Result<WitnessFile, Error> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|error| Error::Read { path: path.to_owned(), error })?;
        let mut witness = WitnessFile::default();
        for (line, text) in (1_usize..).zip(text.trim_start_matches('\u{feff}').lines()) {
            witness.parse_line(text).map_err(|why| Error::InvalidWitness {
                path: path.to_owned(),
                line,
                why,
            })?;
        }
        if witness.checkpoints.is_empty() {
            return Err(Error::NoWitness { path: path.to_owned() });
        }
        Ok(witness)
    }

    fn parse_line(&mut self, text: &str) -> Result<(), &'static str> {
        if text.starts_with("hushbox-checkpoint ") {
            let checkpoint = Checkpoint::parse_line(text).ok_or("not a complete checkpoint")?;
            self.checkpoints.push(checkpoint.into());
            return Ok(());
        }
        let Ok(line) = Line::parse(text) else { return Ok(()) };
        if line.bare(0) != Some("event") || line.get("what") != Some("checkpoint") {
            return Ok(());
        }
        let number = line.get("seq").and_then(|text| text.parse().ok());
        let sequence = number.ok_or("seq= is missing or not a number")?;
        let chain = decode_hex(line.get("digest")).ok_or("digest= is not 64 hexadecimal digits")?;
        let signature = decode_hex(line.get("sig")).ok_or("sig= is not 128 hexadecimal digits")?;
        let time = |at| WallTime::parse(at).ok_or("at= is not an RFC 3339 time");
        let at = line.get("at").map(time).transpose()?;
        self.checkpoints.push(WitnessCheckpoint { sequence, chain, signature, at });
        Ok(())
    }
}

fn decode_hex<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
    HEXLOWER_PERMISSIVE.decode(text?.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcript_lines_are_parsed_as_checkpoints() {
        let (digest, sig) = ("0a".repeat(32), "FF".repeat(64));
        let mut witness = WitnessFile::default();
        let line = format!("event what=checkpoint seq=7 digest={digest} sig={sig}");
        for text in ["ok", "", "# note", "event seq=1 what=call", "state \"", line.as_str()] {
            assert_eq!(witness.parse_line(text), Ok(()), "{text}");
        }
        let kept =
            WitnessCheckpoint { sequence: 7, chain: [10; 32], signature: [255; 64], at: None };
        assert_eq!(witness.parse_line(&format!("{line} at=2026-11-22T12:00:00Z")), Ok(()));
        let at = Some(WallTime(1_795_348_800_000));
        let timed = WitnessCheckpoint { at, ..kept.clone() };
        assert_eq!(witness.checkpoints, [kept, timed]);
        assert!(witness.parse_line("event what=checkpoint seq=7 digest=0a sig=00").is_err());
        assert!(witness.parse_line("hushbox-checkpoint 7").is_err());
    }
}
