//! Bodies of SIP messages: a session description, metadata, or both in a multipart body (RFC 2046).
//!
//! Parts are found by their type, wherever they stand. The first of a type counts. Nothing is
//! copied; the texts stay in the message.

/// The most parts of a body, nested ones included.
pub const PARTS_MAX: usize = 8;

/// How deep multipart bodies may stand in one another.
const DEPTH_MAX: usize = 2;

/// The most bytes of a boundary (RFC 2046 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// The parts of a body that a recorder reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body<'a> {
    /// The session description, `application/sdp`.
    pub sdp: Option<&'a [u8]>,
    /// The metadata, `application/rs-metadata+xml` or `application/rs-metadata` (RFC 9806).
    pub metadata: Option<&'a [u8]>,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The message has a body, but its header does not say of which type.
    #[error("the message has a body, but no Content-Type; name the type")]
    NoType,
    /// The type of the body is none that a recorder reads.
    #[error(
        "the type of the body is not application/sdp, application/rs-metadata+xml or multipart"
    )]
    UnsupportedType,
    /// A multipart type has no boundary, or one that RFC 2046 forbids.
    #[error("the multipart type has no boundary of 1 to {BOUNDARY_BYTES_MAX} characters")]
    NoBoundary,
    /// The boundary stands nowhere in the body.
    #[error("the multipart body does not contain its boundary")]
    NoParts,
    /// The body ends inside the session description.
    #[error("the body ends inside the session description: the closing boundary is missing")]
    Truncated,
    /// There are more parts than a recorder reads.
    #[error("the body has more than {PARTS_MAX} parts, or multipart bodies too deep in each other")]
    TooManyParts,
}

/// The type of a body or of a part, as far as a recorder reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Sdp,
    Metadata,
    Multipart { boundary: Option<&'a str> },
    Other,
}

impl<'a> Body<'a> {
    /// Reads the body of a message whose `Content-Type` is `content_type`.
    ///
    /// # Errors
    /// If the body has no usable type, or a multipart body is malformed.
    pub fn parse(content_type: Option<&str>, bytes: &'a [u8]) -> Result<Body<'a>, BodyError> {
        let mut body = Body::default();
        if bytes.is_empty() {
            return Ok(body);
        }
        match kind_of(content_type.ok_or(BodyError::NoType)?) {
            Kind::Sdp => body.sdp = Some(bytes),
            Kind::Metadata => body.metadata = Some(bytes),
            Kind::Multipart { boundary } => {
                let mut parts_left = PARTS_MAX;
                body.read_parts(boundary, bytes, DEPTH_MAX, &mut parts_left)?;
            }
            Kind::Other => return Err(BodyError::UnsupportedType),
        }
        Ok(body)
    }

    /// Reads the parts of a multipart body.
    fn read_parts(
        &mut self,
        boundary: Option<&str>,
        bytes: &'a [u8],
        depth_left: usize,
        parts_left: &mut usize,
    ) -> Result<(), BodyError> {
        let boundary = boundary.ok_or(BodyError::NoBoundary)?;
        let mut parts = Parts::new(boundary, bytes).ok_or(BodyError::NoParts)?;
        while let Some(part) = parts.next() {
            *parts_left = parts_left.checked_sub(1).ok_or(BodyError::TooManyParts)?;
            let Some((headers, content)) = split_headers(part) else { continue };
            let content_type = header_value(headers).unwrap_or("text/plain");
            match kind_of(content_type) {
                Kind::Sdp if parts.truncated => return Err(BodyError::Truncated),
                Kind::Sdp => self.sdp = self.sdp.or(Some(content)),
                Kind::Metadata => self.metadata = self.metadata.or(Some(content)),
                Kind::Multipart { boundary } => {
                    let depth_left = depth_left.checked_sub(1).ok_or(BodyError::TooManyParts)?;
                    self.read_parts(boundary, content, depth_left, parts_left)?;
                }
                Kind::Other => {}
            }
        }
        Ok(())
    }
}

/// The parts between the boundaries of a multipart body.
struct Parts<'a, 'b> {
    boundary: &'b str,
    /// What follows the boundary before the next part; `None` after the closing boundary.
    rest: Option<&'a [u8]>,
    /// Whether the last part ran to the end of the body without a boundary.
    truncated: bool,
}

impl<'a, 'b> Parts<'a, 'b> {
    /// The parts of `bytes`; `None` if the boundary stands nowhere.
    fn new(boundary: &'b str, bytes: &'a [u8]) -> Option<Parts<'a, 'b>> {
        let first = find_delimiter(bytes, boundary)?;
        Some(Parts { boundary, rest: first.after, truncated: false })
    }

    /// The next part: its headers and its content, without the line break before the boundary.
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        if let Some(delimiter) = find_delimiter(rest, self.boundary) {
            self.rest = delimiter.after;
            return Some(delimiter.before);
        }
        self.truncated = true;
        Some(rest)
    }
}

/// A line that consists of a boundary.
struct Delimiter<'a> {
    /// What stands before it, without its line break.
    before: &'a [u8],
    /// What stands after its line; `None` if it closes the body.
    after: Option<&'a [u8]>,
}

/// The first line of `bytes` that is the delimiter of `boundary`.
fn find_delimiter<'a>(bytes: &'a [u8], boundary: &str) -> Option<Delimiter<'a>> {
    let mut start = 0;
    loop {
        let line = bytes.get(start..).filter(|line| !line.is_empty())?;
        let length = line.iter().position(|byte| *byte == b'\n').map_or(line.len(), |at| at + 1);
        let text = line[..length].trim_ascii_end();
        if let Some(end) =
            text.strip_prefix(b"--").and_then(|t| t.strip_prefix(boundary.as_bytes()))
        {
            let before = without_line_break(&bytes[..start]);
            match end {
                b"" => return Some(Delimiter { before, after: Some(&line[length..]) }),
                b"--" => return Some(Delimiter { before, after: None }),
                _ => {}
            }
        }
        start += length;
    }
}

/// The bytes without one line break at their end.
fn without_line_break(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// The headers of a part and its content. `None` if no empty line separates them.
fn split_headers(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut start = 0;
    loop {
        let line = part.get(start..)?;
        let length = line.iter().position(|byte| *byte == b'\n')? + 1;
        if line[..length].trim_ascii().is_empty() {
            return Some((&part[..start], &line[length..]));
        }
        start += length;
    }
}

/// The value of `Content-Type` (compact form `c`) in the headers of a part, if it is text.
/// A value that goes on in the next line is read from its first line and its continuations.
fn header_value(headers: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(headers).ok()?;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let at = start;
        start += line.len();
        let Some((name, _)) = line.split_once(':') else { continue };
        let name = name.trim();
        if name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("c") {
            let value = &text[at..];
            let value = &value[value.find(':')? + 1..];
            return Some(value[..end_of_header(value)].trim());
        }
    }
    None
}

/// Where a header's value ends: at the first line break that no space or tab follows.
fn end_of_header(value: &str) -> usize {
    let bytes = value.as_bytes();
    let ends = |at: usize| bytes[at] == b'\n' && !matches!(bytes.get(at + 1), Some(b' ' | b'\t'));
    (0..bytes.len()).find(|at| ends(*at)).unwrap_or(bytes.len())
}

/// What a `Content-Type` says.
fn kind_of(content_type: &str) -> Kind<'_> {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let media_type = media_type.trim();
    let is = |name: &str| media_type.eq_ignore_ascii_case(name);
    if is("application/sdp") {
        Kind::Sdp
    } else if is("application/rs-metadata+xml") || is("application/rs-metadata") {
        Kind::Metadata
    } else if media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/")) {
        Kind::Multipart { boundary: boundary_of(parameters) }
    } else {
        Kind::Other
    }
}

/// The boundary among the parameters of a type, quoted or not. A quoted boundary with an escaped
/// character is refused: no boundary needs one (RFC 2046 5.1.1).
fn boundary_of(parameters: &str) -> Option<&str> {
    let mut rest = parameters;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_start_matches([' ', '\t', '\r', '\n', ';']).trim_end();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(';').unwrap_or((after, "")),
        };
        if name.eq_ignore_ascii_case("boundary") {
            let value = if after.starts_with('"') { value } else { value.trim() };
            let fits = (1..=BOUNDARY_BYTES_MAX).contains(&value.len()) && !value.contains('\\');
            return fits.then_some(value);
        }
        rest = next;
    }
}
