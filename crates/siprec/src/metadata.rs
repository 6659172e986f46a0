//! The metadata of a recording session (RFC 7865) in the dialects that recording clients write.

pub mod limits;
mod merge;
mod parse;
mod time;

use std::fmt;

use zeroize::Zeroizing;

use crate::personal::PersonalText;

/// The most bytes of a metadata document that is kept.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024;

/// The dialect that a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 7865: namespace `urn:ietf:params:xml:ns:recording:1`, associations as elements.
    Rfc7865,
    /// The drafts before it, as AudioCodes, Oracle and Ribbon write them: namespace
    /// `urn:ietf:params:xml:ns:recording`, associations inside the participant.
    Legacy,
    /// An early draft, as BroadWorks writes it: `recording_metadata` in
    /// `urn:ietf:params:xml:ns:siprec`.
    BroadWorks,
}

/// How a document relates to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataMode {
    /// The document is the whole state.
    Complete,
    /// The document has what changed.
    Partial,
}

/// A time in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub i64);

/// When an association began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Association {
    /// When it began, if the document says so.
    pub began: Option<UnixMillis>,
    /// When it ended. An ended association is history.
    pub ended: Option<UnixMillis>,
}

/// Calls that belong together, such as a call and its consultation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The id that sessions refer to.
    pub id: PersonalText,
}

/// A communication session: the call that is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The id that streams and participants refer to.
    pub id: PersonalText,
    /// The group that the session belongs to.
    pub group: Option<PersonalText>,
    /// The SIP session id (RFC 7989), or the Call-ID that some clients put there.
    pub sip_session_ids: Vec<PersonalText>,
    /// When it began and ended.
    pub association: Association,
}

/// Whether a participant called or was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRole {
    /// The participant made the call.
    Calling,
    /// The participant was called.
    Called,
}

impl CallRole {
    /// The role of the other party.
    #[must_use]
    pub fn opposite(self) -> CallRole {
        match self {
            CallRole::Calling => CallRole::Called,
            CallRole::Called => CallRole::Calling,
        }
    }
}

/// A name of a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameId {
    /// The address of record as written, such as `sip:2001@example.com`.
    pub address: PersonalText,
    /// The display name.
    pub name: Option<PersonalText>,
}

/// A party of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The id that associations refer to.
    pub id: PersonalText,
    /// Addresses and names, at least none.
    pub names: Vec<NameId>,
    /// What an extension of the document states. RFC 7865 has no element for it.
    pub role: Option<CallRole>,
}

/// A media stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The id that participants refer to.
    pub id: PersonalText,
    /// The session that the stream belongs to.
    pub session: Option<PersonalText>,
    /// The label of the stream in the offer.
    pub label: Option<String>,
}

/// That a participant takes part in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantSession {
    /// The participant.
    pub participant: PersonalText,
    /// The session.
    pub session: PersonalText,
    /// Since when and until when.
    pub association: Association,
}

/// Which streams a participant sends and receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantStream {
    /// The participant.
    pub participant: PersonalText,
    /// Ids of the streams that carry the participant's voice.
    pub send: Vec<PersonalText>,
    /// Ids of the streams that the participant hears.
    pub receive: Vec<PersonalText>,
    /// Since when and until when.
    pub association: Association,
}

/// The content of a metadata document. Every list is bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The dialect of the newest document.
    pub dialect: Dialect,
    /// How the newest document relates to those before it.
    pub data_mode: DataMode,
    /// The groups.
    pub groups: Vec<Group>,
    /// The sessions.
    pub sessions: Vec<Session>,
    /// The participants in the order of the document.
    pub participants: Vec<Participant>,
    /// The streams.
    pub streams: Vec<Stream>,
    /// Who takes part in which session.
    pub participant_sessions: Vec<ParticipantSession>,
    /// Who sends and receives which streams.
    pub participant_streams: Vec<ParticipantStream>,
    /// What was wrong with the newest document. It is an alarm, never the end of the call.
    pub problems: Vec<MetadataProblem>,
}

/// A mistake in a document whose other facts are still used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataProblem {
    /// The document has more of an element than the recorder keeps.
    #[error("the metadata has more than {max} elements `{element}`; the rest is left out")]
    TooMany {
        /// The element.
        element: &'static str,
        /// The limit.
        max: usize,
    },
    /// A text is longer than the recorder keeps.
    #[error("a text of `{element}` in the metadata is longer than {max} bytes; it is left out")]
    TooLong {
        /// The element.
        element: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// An element lacks what makes it useful.
    #[error("an element `{element}` in the metadata has no `{lacks}`; it is left out")]
    Incomplete {
        /// The element.
        element: &'static str,
        /// What it lacks.
        lacks: &'static str,
    },
    /// The document is not UTF-8.
    #[error("the metadata is not UTF-8; unreadable characters are replaced")]
    Encoding,
    /// A time cannot be read.
    #[error("a time in the metadata is not RFC 3339; it is left out")]
    Time,
    /// The data mode is neither `complete` nor `partial`.
    #[error("the data mode of the metadata is neither `complete` nor `partial`; read as complete")]
    DataMode,
    /// The document is longer than the recorder keeps with the record.
    #[error("the metadata has {bytes} bytes; the document is not kept (at most 16384 bytes are)")]
    DocumentNotKept {
        /// Its length.
        bytes: usize,
    },
}

/// Why a document gives no facts at all. None of the texts repeats what the document says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The message has no metadata.
    #[error("the message has no part application/rs-metadata+xml")]
    Absent,
    /// The part is not well-formed XML, or has a document type definition.
    #[error("the metadata is not well-formed XML near line {line}, column {column}")]
    Syntax {
        /// The line, counted from 1.
        line: u32,
        /// The column, counted from 1.
        column: u32,
    },
    /// One element has too many attributes, or the document too many elements or namespaces.
    #[error("the metadata has too many elements, attributes or namespace declarations")]
    TooComplex,
    /// The root element is not one of a known dialect.
    #[error("the root element of the metadata is neither `recording` nor `recording_metadata`")]
    Root,
}

/// A metadata document as it came. It is wiped when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Document(Zeroizing<Vec<u8>>);

impl Document {
    /// The bytes as they came, at most [`DOCUMENT_BYTES_MAX`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes)", self.0.len())
    }
}

impl Metadata {
    /// Reads a document of any dialect.
    ///
    /// # Errors
    /// If it is not XML, or its root element is unknown. Every smaller mistake is a problem in
    /// [`Metadata::problems`].
    pub fn parse(bytes: &[u8]) -> Result<Metadata, MetadataError> {
        parse::parse_document(bytes)
    }
}

impl MetadataReport {
    /// Reads the metadata part of a message.
    #[must_use]
    pub fn parse(part: Option<&[u8]>) -> MetadataReport {
        let Some(bytes) = part else {
            return MetadataReport { document: None, metadata: Err(MetadataError::Absent) };
        };
        let kept = bytes.len() <= DOCUMENT_BYTES_MAX;
        let mut metadata = Metadata::parse(bytes);
        if let Ok(metadata) = &mut metadata
            && !kept
        {
            metadata.problems.push(MetadataProblem::DocumentNotKept { bytes: bytes.len() });
        }
        let document = kept.then(|| Document(Zeroizing::new(bytes.to_vec())));
        MetadataReport { document, metadata }
    }
}

/// What came of the metadata of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataReport {
    /// The document as it came. `None` if there was none, or if it was too long to be kept.
    pub document: Option<Document>,
    /// What it says, or why it says nothing.
    pub metadata: Result<Metadata, MetadataError>,
}
