//! The manifest beside an export: what the file is, and the box's word for it.
//!
//! JSON: the call record, the digest of the exported file, the latest signed checkpoint of the
//! journal, and an Ed25519 signature over all of it. What is signed is the document without its
//! member `signature`, as *canonical JSON*: UTF-8, keys sorted, no spaces (in Python:
//! `json.dumps(d, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`), framed as
//! `store::sign` does it: `hushbox export v1`, a zero byte, the length of the box's name (u64,
//! little-endian), the name, the JSON. Nothing here reads or writes a file.

use crate::store::record_json::Document;
use crate::store::store_dir::NoKey;
use data_encoding::HEXLOWER;
use hushbox::store::journal::Checkpoint;
use hushbox::store::sign::{BoxKey, BoxPublic, Purpose};
use serde::Serialize;
use serde_json::{Map, Value};

/// What was exported.
#[derive(Debug, Serialize)]
pub struct Export {
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
    export: &'a Export,
    #[serde(flatten)]
    document: &'a Document,
    checkpoint: Option<CheckpointWords>,
}

#[derive(Debug, Serialize)]
struct CheckpointWords {
    sequence: u64,
    at: String,
    chain: String,
    signature: String,
}

#[derive(Debug, Serialize)]
struct SignatureWords<'a> {
    algorithm: &'static str,
    #[serde(rename = "box")]
    name: &'a str,
    public_key: String,
    value: String,
}

/// Why a manifest does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("it is no manifest: {why}")]
    NoManifest { why: String },
    #[error("it is not signed: {why}")]
    Unsigned { why: String },
    #[error("its signature is not that of box {name} over what it says: edited, or of another box")]
    Signature { name: String },
    #[error("the file has the digest {found}, the manifest says {expected}")]
    Digest { expected: String, found: String },
}

/// The manifest as text, signed if the key is there.
pub fn write(
    export: &Export,
    document: &Document,
    checkpoint: Option<&Checkpoint>,
    key: &Result<BoxKey, NoKey>,
) -> Result<String, serde_json::Error> {
    let checkpoint = checkpoint.map(|checkpoint| CheckpointWords {
        sequence: checkpoint.sequence,
        at: checkpoint.at.to_string(),
        chain: HEXLOWER.encode(&checkpoint.chain),
        signature: HEXLOWER.encode(&checkpoint.signature),
    });
    let manifest = Manifest { hushbox_export: 1, export, document, checkpoint };
    let Value::Object(mut members) = serde_json::to_value(&manifest)? else {
        return Ok(String::new());
    };
    let unsigned = key.as_ref().err().map(NoKey::to_string);
    members.insert("unsigned".to_owned(), unsigned.into());
    let signature = key.as_ref().ok().map(|key| sign(&members, key)).transpose()?;
    members.insert("signature".to_owned(), signature.unwrap_or(Value::Null));
    serde_json::to_string_pretty(&members).map(|text| text + "\n")
}

fn sign(members: &Map<String, Value>, key: &BoxKey) -> Result<Value, serde_json::Error> {
    let value = HEXLOWER.encode(&key.sign(Purpose::Export, canonical(members)?.as_bytes()));
    let public = key.public();
    serde_json::to_value(SignatureWords {
        algorithm: "ed25519",
        name: public.name(),
        public_key: HEXLOWER.encode(&public.bytes()),
        value,
    })
}

/// What is signed: sorted by key, on every level. (Whether `serde_json`'s maps are so by themselves
/// depends on what else is built with the tool.)
fn canonical(members: &Map<String, Value>) -> Result<String, serde_json::Error> {
    let mut sorted = Value::Object(members.clone());
    sorted.sort_all_objects();
    serde_json::to_string(&sorted)
}

/// Whether a manifest is this box's word, for a file with the digest `blake3`.
pub fn check(text: &str, blake3: &str, key: &BoxPublic) -> Result<(), Broken> {
    let no = |why: &dyn std::fmt::Display| Broken::NoManifest { why: why.to_string() };
    let mut members: Map<String, Value> = serde_json::from_str(text).map_err(|why| no(&why))?;
    let expected = members.get("export").and_then(|export| export.get("blake3"));
    let expected = expected.and_then(Value::as_str).ok_or_else(|| no(&"no export.blake3"))?;
    let expected = expected.to_owned();
    let signature = members.remove("signature").unwrap_or(Value::Null);
    let Some(value) = signature.get("value").and_then(Value::as_str) else {
        let why = members.get("unsigned").and_then(Value::as_str).unwrap_or("no reason given");
        return Err(Broken::Unsigned { why: why.to_owned() });
    };
    let signed = canonical(&members).map_err(|why| no(&why))?;
    let value = HEXLOWER.decode(value.as_bytes()).ok();
    let value = value.and_then(|value| <[u8; 64]>::try_from(value).ok());
    if !value.is_some_and(|value| key.verify(Purpose::Export, signed.as_bytes(), &value)) {
        return Err(Broken::Signature { name: key.name().to_owned() });
    }
    if expected != blake3 {
        return Err(Broken::Digest { expected, found: blake3.to_owned() });
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
        assert_eq!(canonical(&members).unwrap(), wanted);
    }

    #[test]
    fn h7_a_manifest_holds_until_a_word_of_it_changes() {
        let key = BoxKey::from_seed(&[7; 32], "box-01");
        let text = "{\"export\":{\"blake3\":\"abc\"},\"agent\":\"jdoe\"}";
        let mut members: Map<String, Value> = serde_json::from_str(text).unwrap();
        let signature = sign(&members, &key).unwrap();
        members.insert("signature".to_owned(), signature);
        let text = serde_json::to_string_pretty(&members).unwrap();
        assert_eq!(check(&text, "abc", &key.public()), Ok(()));
        let digest = check(&text, "abd", &key.public());
        assert!(matches!(digest, Err(Broken::Digest { .. })), "{digest:?}");
        let edited = check(&text.replace("jdoe", "jroe"), "abc", &key.public());
        assert_eq!(edited, Err(Broken::Signature { name: "box-01".to_owned() }));
        let other = BoxKey::from_seed(&[8; 32], "box-01").public();
        assert!(matches!(check(&text, "abc", &other), Err(Broken::Signature { .. })));
        let unsigned = check("{\"export\":{\"blake3\":\"abc\"}}", "abc", &other);
        assert!(matches!(unsigned, Err(Broken::Unsigned { .. })));
        assert!(matches!(check("[]", "abc", &other), Err(Broken::NoManifest { .. })));
    }
}
