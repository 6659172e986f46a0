//! The signed manifest of an export.
//!
//! A JSON document with the call record, the digest of the exported file, the latest signed
//! checkpoint of the journal, and an Ed25519 signature over all of it.
//!
//! The signature covers the document without its member `signature`, as *canonical JSON*: UTF-8,
//! sorted keys, no spaces. In Python: `json.dumps(d, sort_keys=True, separators=(",", ":"),
//! ensure_ascii=False)`. `store::sign` frames it: `hushbox export v1`, a zero byte, the length of
//! the recorder's name (u64, little-endian), the name, the JSON.

use crate::store::record_json::RecordJson;
use crate::store::store_dir::BoxKeyError;
use data_encoding::HEXLOWER;
use hushbox::store::journal::Checkpoint;
use hushbox::store::sign::{BoxPublicKey, BoxSigningKey, SignaturePurpose};
use serde::Serialize;
use serde_json::{Map, Value};

/// The exported file.
#[derive(Debug, Serialize)]
pub struct ExportInfo {
    /// Name of the file, without its folder.
    pub file: String,
    /// `wav`, `opus`, `webm` or `matroska`.
    pub format: &'static str,
    pub bytes: u64,
    /// Digest of the exported file.
    pub blake3: String,
    pub at: String,
    pub tool: &'static str,
    #[serde(rename = "box")]
    pub name: String,
    /// Whether the media file matches the journal.
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

/// The reason why a manifest is not authentic.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("not a manifest: {why}")]
    Malformed { why: String },
    #[error("not signed: {why}")]
    Unsigned { why: String },
    #[error("the signature is not that of recorder {name}: edited, or from another recorder")]
    InvalidSignature { name: String },
    #[error("the file has digest {found}, but the manifest has {expected}")]
    DigestMismatch { expected: String, found: String },
}

/// Builds the manifest, signed if the key is available.
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

/// Serializes the signed members with sorted keys on every level. (Whether `serde_json` sorts by
/// itself depends on features of other crates in the build.)
fn canonical_json(members: &Map<String, Value>) -> Result<String, serde_json::Error> {
    let mut sorted = Value::Object(members.clone());
    sorted.sort_all_objects();
    serde_json::to_string(&sorted)
}

/// Verifies that this recorder signed the manifest for a file with digest `blake3`.
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
    fn h7_signed_json_is_sorted_and_compact() {
        let text = "{\"b\": {\"d\": 1, \"c\": \"ä\\n\"}, \"a\": [null, true]}";
        let members: Map<String, Value> = serde_json::from_str(text).unwrap();
        let wanted = "{\"a\":[null,true],\"b\":{\"c\":\"ä\\n\",\"d\":1}}";
        assert_eq!(canonical_json(&members).unwrap(), wanted);
    }

    #[test]
    fn h7_any_change_invalidates_the_manifest() {
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
