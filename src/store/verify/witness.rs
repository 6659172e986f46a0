//! What a witness outside the box proves: checkpoints that clients kept must be in the chain.
//!
//! A checkpoint that matches proves everything before it. So the newest that matches says how far
//! the journal is what it was; what the first one after it meets says what became of the rest: it
//! ends before (cut, or an older copy) or goes on otherwise (rewritten, or grown on an older copy).
//! One finding tells it, however many checkpoints there are. Nothing here reads a witness file.

use super::Finding;
use crate::store::journal::Checkpoint;
use crate::store::sign::BoxPublicKey;
use crate::time::WallTime;
use std::collections::BTreeMap;

/// A checkpoint as somebody kept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessCheckpoint {
    pub sequence: u64,
    pub chain: [u8; 32],
    pub signature: [u8; 64],
    /// Without its time its signature cannot be checked, only compared.
    pub at: Option<WallTime>,
}

impl From<Checkpoint> for WitnessCheckpoint {
    fn from(checkpoint: Checkpoint) -> WitnessCheckpoint {
        let Checkpoint { sequence, chain, at, signature } = checkpoint;
        WitnessCheckpoint { sequence, chain, signature, at: Some(at) }
    }
}

impl WitnessCheckpoint {
    /// Whether the box did not sign it, as far as can be said.
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

/// What the witness finds wrong with a journal that has these checkpoints and ends with entry
/// `last`.
pub fn compare_witness(
    witness: &[WitnessCheckpoint],
    key: Option<&BoxPublicKey>,
    (checkpoints, last): (&BTreeMap<u64, Checkpoint>, u64),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut matching, mut other) = (Vec::new(), Vec::new());
    for one in witness {
        let ours = checkpoints.get(&one.sequence);
        if one.is_forged(key, ours) {
            findings.push(Finding::WitnessForged { sequence: one.sequence });
        } else if ours.is_some_and(|ours| ours.chain == one.chain) {
            matching.push(one.sequence);
        } else {
            other.push(one.sequence);
        }
    }
    let (first, newest) = (other.iter().min(), other.iter().max());
    if let (Some(&first), Some(&newest)) = (first, newest) {
        // What matches after a difference proves nothing: the chain could not lead there.
        let common = matching.into_iter().filter(|sequence| *sequence < first).max();
        let common = common.unwrap_or(0);
        findings.push(match first <= last {
            true => Finding::WitnessDiffers { sequence: first, newest, common },
            false => Finding::WitnessBeyond { last, newest, common },
        });
    }
    findings
}
