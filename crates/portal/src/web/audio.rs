//! Sound for the player, in any piece it asks for, and exports.
//!
//! A player seeks by asking for ranges of bytes; what is opened once is served from memory, a piece
//! at a time, and each piece is wiped. Nothing is kept by the browser. An export is asked for by a
//! form, so that no link of another site makes one, and the box journals it as what it is.

use super::{Fault, Portal, records};
use crate::media::decode::{Kind, Opener, VaultError};
use crate::media::memfile::Memory;
use crate::web::extract::{Member, Posted};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

type Shared = State<Arc<Portal>>;

/// What is read at a time.
const PIECE: usize = 64 << 10;

impl From<VaultError> for Fault {
    fn from(error: VaultError) -> Fault {
        match error {
            VaultError::Box(error) => Fault::Box(error),
            VaultError::Tool { .. }
            | VaultError::Memory(_)
            | VaultError::Envelope(_)
            | VaultError::Nonsense => Fault::Inside(error.to_string()),
            VaultError::Closed(_)
            | VaultError::Slow
            | VaultError::Large { .. }
            | VaultError::Full => Fault::Bad(error.to_string()),
        }
    }
}

fn opener(member: &Member) -> Opener {
    Opener { key: member.session.key.clone(), user: member.session.user.clone() }
}

/// What a `Range` asks for of so many bytes: from and to, exclusive. `Err`: it cannot be given.
fn range(text: &str, size: u64) -> Result<Option<(u64, u64)>, ()> {
    // Several ranges at once, or other units: all of it is a right answer too.
    let Some(text) = text.strip_prefix("bytes=").filter(|text| !text.contains(',')) else {
        return Ok(None);
    };
    let (first, last) = text.split_once('-').ok_or(())?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| ());
    let (from, to) = match (first, last) {
        ("", last) => (size.saturating_sub(number(last)?), size),
        (first, "") => (number(first)?, size),
        (first, last) => (number(first)?, number(last)?.saturating_add(1).min(size)),
    };
    if from < to && to <= size { Ok(Some((from, to))) } else { Err(()) }
}

/// What a browser calls it.
fn media(kind: Kind, film: bool) -> &'static str {
    match (kind, film) {
        (Kind::Wav, _) => "audio/wav",
        (Kind::Opus, _) => "audio/ogg",
        (Kind::Webm, true) => "video/webm",
        (Kind::Webm, false) => "audio/webm",
        (Kind::Shape | Kind::Facts, _) => "application/json",
    }
}

/// A part of what lies in memory, piece by piece as the browser takes it; each is wiped once sent.
/// `held` stays until the last piece is gone.
fn body<T: Send + 'static>(
    held: T,
    file: impl Fn(&T) -> &Memory + Send + 'static,
    (from, to): (u64, u64),
) -> Body {
    let mut at = from;
    let pieces = std::iter::from_fn(move || {
        let left = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
        let read = |size| file(&held).read(at, size);
        let piece = (left > 0).then(|| read(left))?;
        at += left as u64;
        Some(piece.map(Bytes::from_owner))
    });
    Body::from_stream(tokio_stream::iter(pieces))
}

pub async fn get(
    State(portal): Shared,
    member: Member,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    records::about("show", &id)?;
    let opened = portal.vault.open(&opener(&member), &id).await?;
    let size = opened.file.size();
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Ok(piece) = asked.map_or(Ok(None), |text| range(text, size)) else {
        let all = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, all).into_response());
    };
    let (from, to) = piece.unwrap_or((0, size));
    let kind = [
        (header::CONTENT_TYPE, media(opened.kind, opened.film).to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_LENGTH, (to - from).to_string()),
    ];
    let answer = (kind, body(opened, |opened| &opened.file, (from, to)));
    if piece.is_none() {
        return Ok(answer.into_response());
    }
    let place = [(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", to - 1))];
    Ok((StatusCode::PARTIAL_CONTENT, place, answer).into_response())
}

pub async fn export(
    State(portal): Shared,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, Fault> {
    records::about("show", &id)?;
    let kind = match posted.fields.get("kind") {
        "wav" => Kind::Wav,
        "webm" => Kind::Webm,
        _ => Kind::Opus,
    };
    let made = portal.vault.export(&opener(&posted.member), &id, kind).await?;
    let size = made.0.size();
    let headers = [
        (header::CONTENT_TYPE, media(kind, true).to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.{}\"", kind.word())),
    ];
    Ok((headers, body(made, |made| &made.0, (0, size))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_the_player_asked_for() {
        for (text, wanted) in [
            ("bytes=0-", Ok(Some((0, 100)))),
            ("bytes=10-19", Ok(Some((10, 20)))),
            ("bytes=10-500", Ok(Some((10, 100)))),
            ("bytes=-10", Ok(Some((90, 100)))),
            ("bytes=-500", Ok(Some((0, 100)))),
            ("bytes=0-1,5-6", Ok(None)),
            ("lines=1-2", Ok(None)),
            ("bytes=100-", Err(())),
            ("bytes=20-10", Err(())),
            ("bytes=x-", Err(())),
            ("bytes=-0", Err(())),
            ("bytes=99999999999999999999-", Err(())),
        ] {
            assert_eq!(range(text, 100), wanted, "{text}");
        }
    }
}
