//! Reads metadata documents of every dialect.
//!
//! Elements are known by their local names, without regard to case, hyphens and underscores, so
//! that `dataMode` is `datamode` and `group-ref` is `groupref`. The dialects differ in where they
//! put an id or an association; each place is looked at, whatever the dialect.

use std::borrow::Cow;

use roxmltree::Node;

use super::limits::{
    ATTRIBUTES_MAX, GROUPS_MAX, ID_BYTES_MAX, NAMES_MAX, NAMESPACES_MAX, NODES_MAX,
    PARTICIPANT_SESSIONS_MAX, PARTICIPANT_STREAMS_MAX, PARTICIPANTS_MAX, PROBLEMS_MAX,
    SESSIONS_MAX, STREAMS_MAX, STREAMS_PER_PARTICIPANT_MAX, TEXT_BYTES_MAX,
};
use super::time::parse_time;
use super::{
    Association, CallRole, DataMode, Dialect, Group, Metadata, MetadataError, MetadataProblem,
    NameId, Participant, ParticipantSession, ParticipantStream, Session, Stream, UnixMillis,
};
use crate::address::Address;
use crate::offer::LABEL_BYTES_MAX;
use crate::personal::PersonalText;

pub(super) fn parse_document(bytes: &[u8]) -> Result<Metadata, MetadataError> {
    let whole = String::from_utf8_lossy(bytes);
    let is_utf8 = matches!(whole, Cow::Borrowed(_));
    let text = whole.trim_start_matches('\u{feff}').trim();
    if is_too_complex(text) {
        return Err(MetadataError::TooComplex);
    }
    let options = roxmltree::ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..roxmltree::ParsingOptions::default()
    };
    let tree = roxmltree::Document::parse_with_options(text, options).map_err(|error| {
        let position = error.pos();
        match error {
            roxmltree::Error::NodesLimitReached => MetadataError::TooComplex,
            _ => MetadataError::Syntax { line: position.row, column: position.col },
        }
    })?;
    let root = tree.root_element();
    let dialect = dialect_of(root).ok_or(MetadataError::Root)?;
    let mut reader = Reader { metadata: empty(dialect) };
    if !is_utf8 {
        reader.note(MetadataProblem::Encoding);
    }
    for element in root.children().filter(Node::is_element) {
        reader.read_element(element);
    }
    for element in root.descendants().filter(Node::is_element) {
        reader.read_extension(element);
    }
    Ok(reader.metadata)
}

/// Whether comparing the attributes or namespaces of the document would take long.
fn is_too_complex(text: &str) -> bool {
    let signs = |part: &str| part.bytes().filter(|byte| *byte == b'=').count();
    text.matches("xmlns").count() > NAMESPACES_MAX
        || text.split('<').any(|part| signs(part) > ATTRIBUTES_MAX)
}

fn empty(dialect: Dialect) -> Metadata {
    Metadata {
        dialect,
        data_mode: DataMode::Complete,
        groups: Vec::new(),
        sessions: Vec::new(),
        participants: Vec::new(),
        streams: Vec::new(),
        participant_sessions: Vec::new(),
        participant_streams: Vec::new(),
        problems: Vec::new(),
    }
}

/// The dialect of a root element. `None` if it is not metadata.
fn dialect_of(root: Node<'_, '_>) -> Option<Dialect> {
    match plain_name(root).as_str() {
        "recordingmetadata" => Some(Dialect::BroadWorks),
        "recording" => match root.tag_name().namespace() {
            Some("urn:ietf:params:xml:ns:recording:1") => Some(Dialect::Rfc7865),
            _ => Some(Dialect::Legacy),
        },
        _ => None,
    }
}

/// The local name of an element in lower case without hyphens and underscores.
fn plain_name(element: Node<'_, '_>) -> String {
    let name = element.tag_name().name();
    name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

/// The child elements with the plain name `name`.
fn children<'a, 'input: 'a>(
    element: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    element.children().filter(move |child| child.is_element() && plain_name(*child) == name)
}

/// The trimmed text of an element, if there is any. BroadWorks wraps some texts in an `id` element.
fn text_of<'a>(element: Node<'a, '_>) -> Option<&'a str> {
    let own = element.text().map(str::trim).filter(|text| !text.is_empty());
    own.or_else(|| children(element, "id").find_map(|inner| inner.text()).map(str::trim))
        .filter(|text| !text.is_empty())
}

/// The first of the attributes `names` that has a text.
fn attribute<'a>(element: Node<'a, '_>, names: &[&str]) -> Option<&'a str> {
    let find = |name: &&str| {
        let mut attributes = element.attributes();
        attributes.find(|attribute| attribute.name() == *name).map(|a| a.value().trim())
    };
    names.iter().find_map(find).filter(|text| !text.is_empty())
}

struct Reader {
    metadata: Metadata,
}

impl Reader {
    fn read_element(&mut self, element: Node<'_, '_>) {
        match plain_name(element).as_str() {
            "datamode" => self.read_data_mode(element),
            "group" => self.read_group(element),
            "session" => self.read_session(element),
            "participant" => self.read_participant(element),
            "stream" => self.read_stream(element),
            "participantsessionassoc" => {
                let participant = self.id(element, "participantsessionassoc", PARTICIPANT_ID);
                let session = self.id(element, "participantsessionassoc", SESSION_REFERENCE);
                if let (Some(participant), Some(session)) = (participant, session) {
                    self.push_participant_session(element, participant, session);
                }
            }
            "participantstreamassoc" => {
                if let Some(id) = self.id(element, "participantstreamassoc", PARTICIPANT_ID) {
                    self.push_participant_stream(element, id);
                }
            }
            _ => {}
        }
    }

    fn read_data_mode(&mut self, element: Node<'_, '_>) {
        match text_of(element).unwrap_or_default().to_ascii_lowercase().as_str() {
            "complete" => self.metadata.data_mode = DataMode::Complete,
            "partial" => self.metadata.data_mode = DataMode::Partial,
            _ => self.note(MetadataProblem::DataMode),
        }
    }

    fn read_group(&mut self, element: Node<'_, '_>) {
        if let Some(id) = self.id(element, "group", GROUP_ID)
            && self.has_room(self.metadata.groups.len(), "group", GROUPS_MAX)
        {
            self.metadata.groups.push(Group { id });
        }
    }

    fn read_session(&mut self, element: Node<'_, '_>) {
        let Some(id) = self.id(element, "session", SESSION_ID) else { return };
        let group = children(element, "groupref").find_map(text_of);
        let group = group.or_else(|| attribute(element, &["group", "group_id"]));
        let group = group.and_then(|group| self.bounded("session", group, ID_BYTES_MAX));
        let mut sip_session_ids = Vec::new();
        for text in children(element, "sipsessionid").filter_map(text_of).take(NAMES_MAX) {
            sip_session_ids.extend(self.bounded("sipSessionID", text, TEXT_BYTES_MAX));
        }
        let association = self.association(element);
        if self.has_room(self.metadata.sessions.len(), "session", SESSIONS_MAX) {
            self.metadata.sessions.push(Session { id, group, sip_session_ids, association });
        }
    }

    fn read_participant(&mut self, element: Node<'_, '_>) {
        let Some(id) = self.id(element, "participant", PARTICIPANT_ID) else { return };
        if !self.has_room(self.metadata.participants.len(), "participant", PARTICIPANTS_MAX) {
            return;
        }
        let names = self.names(element);
        let role = children(element, "role").find_map(text_of).and_then(role_of);
        self.metadata.participants.push(Participant { id: id.clone(), names, role });
        // The drafts before RFC 7865 have the associations here.
        if let Some(session) = attribute(element, SESSION_REFERENCE)
            && let Some(session) = self.bounded("participant", session, ID_BYTES_MAX)
        {
            self.push_participant_session(element, id.clone(), session);
        }
        if children(element, "send").chain(children(element, "recv")).next().is_some() {
            self.push_participant_stream(element, id);
        }
    }

    /// The addresses and names of a participant.
    fn names(&mut self, element: Node<'_, '_>) -> Vec<NameId> {
        let mut names = Vec::new();
        // BroadWorks has `aor` and `name` in the participant itself.
        let places = children(element, "nameid").chain([element]);
        for place in places.take(NAMES_MAX) {
            let address = attribute(place, &["aor"]);
            let address = address.or_else(|| children(place, "aor").find_map(text_of));
            let Some(address) = address else { continue };
            let name = children(place, "name").find_map(text_of);
            let name = name.and_then(|name| self.bounded("name", name, TEXT_BYTES_MAX));
            if let Some(address) = self.bounded("nameID", address, TEXT_BYTES_MAX) {
                names.push(NameId { address, name });
            }
        }
        names
    }

    fn read_stream(&mut self, element: Node<'_, '_>) {
        let Some(id) = self.id(element, "stream", STREAM_ID) else { return };
        let session = attribute(element, SESSION_REFERENCE);
        let session = session.and_then(|session| self.bounded("stream", session, ID_BYTES_MAX));
        let label = children(element, "label").find_map(text_of);
        let label = label.and_then(|label| self.bounded("label", label, LABEL_BYTES_MAX));
        let label = label.map(|label| label.as_str().to_owned());
        if self.has_room(self.metadata.streams.len(), "stream", STREAMS_MAX) {
            self.metadata.streams.push(Stream { id, session, label });
        }
    }

    fn push_participant_session(
        &mut self,
        element: Node<'_, '_>,
        participant: PersonalText,
        session: PersonalText,
    ) {
        let association = self.association(element);
        let count = self.metadata.participant_sessions.len();
        if self.has_room(count, "participantsessionassoc", PARTICIPANT_SESSIONS_MAX) {
            let one = ParticipantSession { participant, session, association };
            self.metadata.participant_sessions.push(one);
        }
    }

    fn push_participant_stream(&mut self, element: Node<'_, '_>, participant: PersonalText) {
        let send = self.stream_ids(element, "send");
        let receive = self.stream_ids(element, "recv");
        let association = self.association(element);
        let count = self.metadata.participant_streams.len();
        if self.has_room(count, "participantstreamassoc", PARTICIPANT_STREAMS_MAX) {
            let one = ParticipantStream { participant, send, receive, association };
            self.metadata.participant_streams.push(one);
        }
    }

    fn stream_ids(&mut self, element: Node<'_, '_>, name: &'static str) -> Vec<PersonalText> {
        let texts = children(element, name).filter_map(text_of);
        let texts: Vec<_> = texts.take(STREAMS_PER_PARTICIPANT_MAX).collect();
        texts.into_iter().filter_map(|text| self.bounded(name, text, ID_BYTES_MAX)).collect()
    }

    /// Reads what only extensions of a vendor say: who called.
    fn read_extension(&mut self, element: Node<'_, '_>) {
        match plain_name(element).as_str() {
            // Oracle: in the extension data of a participant.
            "callingparty" => {
                let role = match text_of(element) {
                    Some("true") => CallRole::Calling,
                    Some("false") => CallRole::Called,
                    _ => return,
                };
                let parent = element.ancestors().find(|a| plain_name(*a) == "participant");
                let id = parent.and_then(|parent| attribute(parent, PARTICIPANT_ID));
                self.set_role(role, |participant| Some(participant.id.as_str()) == id);
            }
            // Ribbon: the headers of the call.
            "fromhdr" => self.set_role_of(text_of(element), CallRole::Calling),
            "tohdr" => self.set_role_of(text_of(element), CallRole::Called),
            // BroadWorks: the user that is recorded, and whether that user called.
            "calltype" => {
                let owner = element.parent().and_then(|p| children(p, "userid").find_map(text_of));
                if children(element, "origcall").next().is_some() {
                    self.set_role_of(owner, CallRole::Calling);
                } else if children(element, "termcall").next().is_some() {
                    self.set_role_of(owner, CallRole::Called);
                }
            }
            _ => {}
        }
    }

    /// Sets the role of the participant whose address has the user part of `address`.
    fn set_role_of(&mut self, address: Option<&str>, role: CallRole) {
        let wanted = Address::parse(address.unwrap_or_default());
        let Some(user) = wanted.user() else { return };
        let is_wanted = |participant: &Participant| {
            participant
                .names
                .iter()
                .any(|n| Address::parse(n.address.as_str()).user() == Some(user))
        };
        self.set_role(role, is_wanted);
    }

    fn set_role(&mut self, role: CallRole, is_wanted: impl Fn(&Participant) -> bool) {
        let participants = &mut self.metadata.participants;
        if let Some(participant) = participants.iter_mut().find(|one| is_wanted(one)) {
            participant.role = Some(role);
        }
    }

    fn association(&mut self, element: Node<'_, '_>) -> Association {
        let mut time = |names: [&'static str; 2]| -> Option<UnixMillis> {
            let text = names.iter().find_map(|name| children(element, name).find_map(text_of))?;
            let time = parse_time(text);
            if time.is_none() {
                self.note(MetadataProblem::Time);
            }
            time
        };
        let began = time(["associatetime", "starttime"]);
        let ended = time(["disassociatetime", "stoptime"]);
        Association { began, ended }
    }

    /// The id in one of the attributes `names`; without one, the element is left out.
    fn id(
        &mut self,
        element: Node<'_, '_>,
        name: &'static str,
        names: &'static [&'static str],
    ) -> Option<PersonalText> {
        let Some(text) = attribute(element, names) else {
            self.note(MetadataProblem::Incomplete { element: name, lacks: names[0] });
            return None;
        };
        self.bounded(name, text, ID_BYTES_MAX)
    }

    fn bounded(&mut self, element: &'static str, text: &str, max: usize) -> Option<PersonalText> {
        if text.len() > max {
            self.note(MetadataProblem::TooLong { element, max });
            return None;
        }
        Some(PersonalText::from(text))
    }

    fn has_room(&mut self, count: usize, element: &'static str, max: usize) -> bool {
        if count >= max {
            self.note(MetadataProblem::TooMany { element, max });
        }
        count < max
    }

    /// Notes a problem once.
    fn note(&mut self, problem: MetadataProblem) {
        let problems = &mut self.metadata.problems;
        if problems.len() < PROBLEMS_MAX && !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

const GROUP_ID: &[&str] = &["group_id", "id"];
const SESSION_ID: &[&str] = &["session_id", "id"];
const SESSION_REFERENCE: &[&str] = &["session_id", "session"];
const PARTICIPANT_ID: &[&str] = &["participant_id", "id"];
const STREAM_ID: &[&str] = &["stream_id", "id"];

/// The role that the word of a `role` element means.
fn role_of(word: &str) -> Option<CallRole> {
    match word.to_ascii_lowercase().as_str() {
        "calling" | "caller" => Some(CallRole::Calling),
        "called" | "callee" => Some(CallRole::Called),
        _ => None,
    }
}
