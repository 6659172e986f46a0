//! The manifest beside an export: what the file is, and the box's word for it.
//!
//! JSON: the call record, the digest of the exported file, the latest signed checkpoint of the
//! journal, and an Ed25519 signature over all of it. What is signed is the document without its
//! member `signature`, as *canonical JSON*: UTF-8, keys sorted, no spaces (in Python:
//! `json.dumps(d, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`), framed as
//! `store::sign` does it: `hushbox export v1`, a zero byte, the length of the box's name (u64,
//! little-endian), the name, the JSON. Nothing here reads or writes a file.

use crate::store::record_json::RecordJson;
use crate::store::store_dir::BoxKeyError;
use data_encoding::HEXLOWER;
use hushbox::store::journal::Checkpoint;
use hushbox::store::sign::{BoxPublicKey, BoxSigningKey, SignaturePurpose};
use serde::Serialize;
use serde_json::{Map, Value};

/// What was exported.
#[derive(Debug, Serialize)]
pub struct ExportInfo {
    /// Name of the file, without its folder.
    pub file: String,
    /// `wav`, `opus`, `webm` or `matroska`.
    pub format: &'static str,
    pub bytes: u64,
    /// Of the exported file.
    pub blake3: String,
    pub at: String,
    pub tool: &'static str,
    #[serde(rename = "box")]
    pub name: String,
    /// The media file is the one that the journal tells of, as far as can be told.
    pub intact: bool,
}

#[derive(Debug, Serialize)]
struct Manifest<'a> {
    hushbox_export: u32,
    export: &'a ExportInfo,
    #[serde(flatten)]
    document: &'a RecordJson,
    checkpoint: Option<CheckpointJson>,
}

#[derive(Debug, Serialize)]
struct CheckpointJson {
    sequence: u64,
    at: String,
    chain: String,
    signature: String,
}

#[derive(Debug, Serialize)]
struct SignatureJson<'a> {
    algorithm: &'static str,
    #[serde(rename = "box")]
    name: &'a str,
    public_key: String,
    value: String,
}

/// Why a manifest does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("it is no manifest: {why}")]
    Malformed { why: String },
    #[error("it is not signed: {why}")]
    Unsigned { why: String },
    #[error("its signature is not that of box {name} over what it says: edited, or of another box")]
    InvalidSignature { name: String },
    #[error("the file has the digest {found}, the manifest says {expected}")]
    DigestMismatch { expected: String, found: String },
}

/// The manifest as text, signed if the key is there.
pub fn build_manifest(
    export: &ExportInfo,
    document: &RecordJson,
    checkpoint: Option<&Checkpoint>,
    key: &Result<BoxSigningKey, BoxKeyError>,
) -> Result<String, serde_json::Error> {
    let checkpoint = checkpoint.map(|checkpoint| CheckpointJson {
        sequence: checkpoint.sequence,
        at: checkpoint.at.to_string(),
        chain: HEXLOWER.encode(&checkpoint.chain),
        signature: HEXLOWER.encode(&checkpoint.signature),
    });
    let manifest = Manifest { hushbox_export: 1, export, document, checkpoint };
    let Value::Object(mut members) = serde_json::to_value(&manifest)? else {
        return Ok(String::new());
    };
    let unsigned = key.as_ref().err().map(BoxKeyError::to_string);
    members.insert("unsigned".to_owned(), unsigned.into());
    let signature = key.as_ref().ok().map(|key| sign_members(&members, key)).transpose()?;
    members.insert("signature".to_owned(), signature.unwrap_or(Value::Null));
    serde_json::to_string_pretty(&members).map(|text| text + "\n")
}

fn sign_members(
    members: &Map<String, Value>,
    key: &BoxSigningKey,
) -> Result<Value, serde_json::Error> {
    let value =
        HEXLOWER.encode(&key.sign(SignaturePurpose::Export, canonical_json(members)?.as_bytes()));
    let public = key.public_key();
    serde_json::to_value(SignatureJson {
        algorithm: "ed25519",
        name: public.name(),
        public_key: HEXLOWER.encode(&public.to_bytes()),
        value,
    })
}

/// What is signed: sorted by key, on every level. (Whether `serde_json`'s maps are so by themselves
/// depends on what else is built with the tool.)
fn canonical_json(members: &Map<String, Value>) -> Result<String, serde_json::Error> {
    let mut sorted = Value::Object(members.clone());
    sorted.sort_all_objects();
    serde_json::to_string(&sorted)
}

/// Whether a manifest is this box's word, for a file with the digest `blake3`.
pub fn verify_manifest(text: &str, blake3: &str, key: &BoxPublicKey) -> Result<(), ManifestError> {
    let no = |why: &dyn std::fmt::Display| ManifestError::Malformed { why: why.to_string() };
    let mut members: Map<String, Value> = serde_json::from_str(text).map_err(|why| no(&why))?;
    let expected = members.get("export").and_then(|export| export.get("blake3"));
    let expected = expected.and_then(Value::as_str).ok_or_else(|| no(&"no export.blake3"))?;
    let expected = expected.to_owned();
    let signature = members.remove("signature").unwrap_or(Value::Null);
    let Some(value) = signature.get("value").and_then(Value::as_str) else {
        let why = members.get("unsigned").and_then(Value::as_str).unwrap_or("no reason given");
        return Err(ManifestError::Unsigned { why: why.to_owned() });
    };
    let signed = canonical_json(&members).map_err(|why| no(&why))?;
    let value = HEXLOWER.decode(value.as_bytes()).ok();
    let value = value.and_then(|value| <[u8; 64]>::try_from(value).ok());
    if !value.is_some_and(|value| key.verify(SignaturePurpose::Export, signed.as_bytes(), &value)) {
        return Err(ManifestError::InvalidSignature { name: key.name().to_owned() });
    }
    if expected != blake3 {
        return Err(ManifestError::DigestMismatch { expected, found: blake3.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h7_what_is_signed_is_sorted_and_without_spaces() {
        let text = "{\"b\": {\"d\": 1, \"c\": \"ä\\n\"}, \"a\": [null, true]}";
        let members: Map<String, Value> = serde_json::from_str(text).unwrap();
        let wanted = "{\"a\":[null,true],\"b\":{\"c\":\"ä\\n\",\"d\":1}}";
        assert_eq!(canonical_json(&members).unwrap(), wanted);
    }

    #[test]
    fn h7_a_manifest_holds_until_a_word_of_it_changes() {
        let key = BoxSigningKey::from_seed(&[7; 32], "box-01");
        let text = "{\"export\":{\"blake3\":\"abc\"},\"agent\":\"jdoe\"}";
        let mut members: Map<String, Value> = serde_json::from_str(text).unwrap();
        let signature = sign_members(&members, &key).unwrap();
        members.insert("signature".to_owned(), signature);
        let text = serde_json::to_string_pretty(&members).unwrap();
        assert_eq!(verify_manifest(&text, "abc", &key.public_key()), Ok(()));
        let digest = verify_manifest(&text, "abd", &key.public_key());
        assert!(matches!(digest, Err(ManifestError::DigestMismatch { .. })), "{digest:?}");
        let edited = verify_manifest(&text.replace("jdoe", "jroe"), "abc", &key.public_key());
        assert_eq!(edited, Err(ManifestError::InvalidSignature { name: "box-01".to_owned() }));
        let other = BoxSigningKey::from_seed(&[8; 32], "box-01").public_key();
        assert!(matches!(
            verify_manifest(&text, "abc", &other),
            Err(ManifestError::InvalidSignature { .. })
        ));
        let unsigned = verify_manifest("{\"export\":{\"blake3\":\"abc\"}}", "abc", &other);
        assert!(matches!(unsigned, Err(ManifestError::Unsigned { .. })));
        assert!(matches!(
            verify_manifest("[]", "abc", &other),
            Err(ManifestError::Malformed { .. })
        ));
    }
}
