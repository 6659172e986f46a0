//! Comparison with an external witness: checkpoints that clients kept must be in the chain.
//!
//! A matching checkpoint proves everything before it, so the newest match says how far the journal
//! is unchanged. The first mismatch after it says what happened to the rest. The journal either
//! ends earlier (truncated, or an older copy) or continues differently (rewritten, or an extended
//! older copy). All mismatches give kept finding.

use super::Finding;
use crate::store::journal::Checkpoint;
use crate::store::sign::BoxPublicKey;
use crate::time::WallTime;
use std::collections::BTreeMap;

/// A checkpoint from a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessCheckpoint {
    pub sequence: u64,
    pub chain: [u8; 32],
    pub signature: [u8; 64],
    /// Time of the checkpoint. Without it the signature can only be compared, not verified.
    pub at: Option<WallTime>,
}

impl From<Checkpoint> for WitnessCheckpoint {
    fn from(checkpoint: Checkpoint) -> WitnessCheckpoint {
        let Checkpoint { sequence, chain, at, signature } = checkpoint;
        WitnessCheckpoint { sequence, chain, signature, at: Some(at) }
    }
}

impl WitnessCheckpoint {
    /// Whether the checkpoint is known not to be signed by this recorder.
    fn is_forged(&self, key: Option<&BoxPublicKey>, ours: Option<&Checkpoint>) -> bool {
        let &WitnessCheckpoint { sequence, chain, signature, at } = self;
        match (key, at, ours) {
            (Some(key), Some(at), _) => {
                !Checkpoint { sequence, chain, at, signature }.is_signed_by(key)
            }
            (_, None, Some(ours)) => ours.chain == chain && ours.signature != signature,
            _ => false,
        }
    }
}

/// Compares the witness with a journal that has these checkpoints and ends with entry `last`.
pub fn compare_witness(
    witness: &[WitnessCheckpoint],
    key: Option<&BoxPublicKey>,
    (checkpoints, last): (&BTreeMap<u64, Checkpoint>, u64),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut matching, mut other) = (Vec::new(), Vec::new());
    for kept in witness {
        let ours = checkpoints.get(&kept.sequence);
        if kept.is_forged(key, ours) {
            findings.push(Finding::WitnessForged { sequence: kept.sequence });
        } else if ours.is_some_and(|ours| ours.chain == kept.chain) {
            matching.push(kept.sequence);
        } else {
            other.push(kept.sequence);
        }
    }
    let (first, newest) = (other.iter().min(), other.iter().max());
    if let (Some(&first), Some(&newest)) = (first, newest) {
        // A match after a mismatch proves nothing: the chain could not lead there.
        let common = matching.into_iter().filter(|sequence| *sequence < first).max();
        let common = common.unwrap_or(0);
        findings.push(match first <= last {
            true => Finding::WitnessDiffers { sequence: first, newest, common },
            false => Finding::WitnessBeyond { last, newest, common },
        });
    }
    findings
}
