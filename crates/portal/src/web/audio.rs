//! Sound for the player, in any piece it asks for, and exports.
//!
//! A player seeks by asking for ranges of bytes; what is opened once is served from memory, a piece
//! at a time, and each piece is wiped. Sending stops when the session ends or the box withdraws its
//! permission, also where the browser takes its time. Nothing is kept by the browser. An export is
//! asked for by a form, so that no link of another site makes one, and the box journals it as what
//! it is.

use super::{Fault, LOOK, Portal, records};
use crate::media::cache::Kept;
use crate::media::decode::{Kind, Opened, Opener, VaultError};
use crate::media::memfile::Memory;
use crate::media::playback::Request;
use crate::web::extract::{Member, Posted};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

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

/// What is sent.
enum Sent {
    Played(Arc<Opened>),
    /// Its room is given back when it is sent.
    Exported {
        file: Memory,
        _room: Kept,
    },
}

/// A file on its way to a browser.
struct Sending {
    portal: Arc<Portal>,
    who: Opener,
    id: String,
    sent: Sent,
}

type Pieces = mpsc::Sender<io::Result<Bytes>>;

impl Sending {
    fn file(&self) -> &Memory {
        match &self.sent {
            Sent::Played(opened) => &opened.file,
            Sent::Exported { file, .. } => file,
        }
    }

    /// A part of the file, piece by piece as the browser takes it; each is wiped once sent.
    fn body(self, (from, to): (u64, u64)) -> Body {
        let (out, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            tokio::select! {
                () = self.send((from, to), &out) => {}
                () = self.withdrawn() => {
                    log::info!("recording {}: sending to {} stops", self.id, self.who.user);
                    let error = io::Error::from(io::ErrorKind::PermissionDenied);
                    // A browser that takes nothing is told by the end of the connection.
                    drop(out.try_send(Err(error)));
                }
            }
        });
        Body::from_stream(ReceiverStream::new(pieces))
    }

    async fn send(&self, (mut at, to): (u64, u64), out: &Pieces) {
        while at < to {
            let count = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
            let piece = self.file().read(at, count).map(Bytes::from_owner);
            if out.send(piece).await.is_err() {
                return;
            }
            at += count as u64;
        }
    }

    /// Returns when the session has ended, or the box does not permit this any more.
    async fn withdrawn(&self) {
        let mut ended = self.portal.ended.subscribe();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = ended.changed() => {}
            }
            if !self.is_alive().await || !self.is_permitted().await {
                return;
            }
        }
    }

    async fn is_alive(&self) -> bool {
        match self.portal.session(&self.who.key).await {
            Ok(session) => session.is_some(),
            Err(error) => {
                log::error!("{error}");
                true
            }
        }
    }

    async fn is_permitted(&self) -> bool {
        let vault = &self.portal.vault;
        match &self.sent {
            Sent::Played(opened) => vault.may_continue(&self.who, &self.id, opened).await,
            Sent::Exported { .. } => vault.may_export(&self.who, &self.id).await,
        }
    }
}

pub async fn get(
    State(portal): Shared,
    member: Member,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    records::about("show", &id)?;
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let piece = |size| asked.map_or(Ok(None), |text| range(text, size));
    let request = |size| match piece(size) {
        Ok(None | Some((0, _))) => Request::FromStart,
        Ok(Some(_)) | Err(()) => Request::Continue,
    };
    let who = opener(&member);
    let opened = portal.vault.open(&who, &id, request).await?;
    let size = opened.file.size();
    let Ok(piece) = piece(size) else {
        let all = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, all).into_response());
    };
    let (from, to) = piece.unwrap_or((0, size));
    let kind = [
        (header::CONTENT_TYPE, media(opened.kind, opened.film).to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_LENGTH, (to - from).to_string()),
    ];
    let sending = Sending { portal, who, id, sent: Sent::Played(opened) };
    let answer = (kind, sending.body((from, to)));
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
    let who = opener(&posted.member);
    let (file, _room) = portal.vault.export(&who, &id, kind).await?;
    let size = file.size();
    let headers = [
        (header::CONTENT_TYPE, media(kind, true).to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.{}\"", kind.word())),
    ];
    let sending = Sending { portal, who, id, sent: Sent::Exported { file, _room } };
    Ok((headers, sending.body((0, size))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::sessions::{self, Origin};
    use crate::accounts::{self, Account, token};
    use crate::box_client::fake_box::FakeBox;
    use crate::clock;
    use crate::media::decode::Shape;
    use crate::media::playback::Playback;
    use std::path::Path;
    use std::sync::Weak;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio_stream::StreamExt;

    const SIZE: u64 = 1 << 20;

    /// A portal beside a box that permits plays as long as this is true, and a session.
    fn portal(folder: &Path, permitted: &Arc<AtomicBool>) -> (Arc<Portal>, Opener) {
        let permitted = Arc::clone(permitted);
        let socket = FakeBox::answering(move |line| {
            let text = match line {
                line if line.starts_with("hello") => "ok session=1 rights=records.all,play\n",
                _ if permitted.load(Ordering::SeqCst) => "row what=record\nok\n",
                _ => "err no-such-record \"deleted\"\n",
            };
            text.to_owned()
        });
        let portal = Portal::for_tests(folder, &socket);
        let (name, hash, email) = ("boss".to_owned(), "x".to_owned(), String::new());
        let boss = Account { name, hash, email, disabled: false, made: 0 };
        portal.db.ask(|db| accounts::add(db, &boss)).unwrap();
        let (origin, now) = (Origin::default(), clock::seconds());
        let begin = |db: &_| sessions::begin(db, "boss", ("secret", "csrf"), &origin, now);
        portal.db.ask(begin).unwrap();
        (portal, Opener { key: token::hash("secret"), user: "boss".to_owned() })
    }

    /// A recording that is being sent, and what the browser has not taken of it.
    fn send(portal: &Arc<Portal>, who: &Opener) -> (Weak<Opened>, axum::body::BodyDataStream) {
        let mut file = Memory::new().unwrap();
        file.append(&vec![1; usize::try_from(SIZE).unwrap()]).unwrap();
        let playback = Playback::new(clock::now());
        let opened = Opened::new((file, Kind::Wav), Ok(Shape::default()), playback);
        let opened = Arc::new(opened);
        let weak = Arc::downgrade(&opened);
        let (portal, who, id) = (Arc::clone(portal), who.clone(), "abc".to_owned());
        let sending = Sending { portal, who, id, sent: Sent::Played(opened) };
        (weak, sending.body((0, SIZE)).into_data_stream())
    }

    /// How many bytes come, and whether they end in order.
    async fn rest(mut pieces: axum::body::BodyDataStream) -> (u64, bool) {
        let mut bytes = 0;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => bytes += piece.len() as u64,
                Err(_) => return (bytes, false),
            }
        }
        (bytes, true)
    }

    #[tokio::test(start_paused = true)]
    async fn h6_sending_to_a_slow_browser_stops_with_the_permission() {
        let folder = tempfile::tempdir().unwrap();
        let permitted = Arc::new(AtomicBool::new(true));
        let (portal, who) = portal(folder.path(), &permitted);
        let (opened, pieces) = send(&portal, &who);
        tokio::time::sleep(LOOK * 5).await;
        assert!(opened.upgrade().is_some(), "a pause alone ends nothing");
        assert_eq!(rest(pieces).await, (SIZE, true));
        let (opened, pieces) = send(&portal, &who);
        permitted.store(false, Ordering::SeqCst);
        tokio::time::sleep(LOOK * 2).await;
        assert!(opened.upgrade().is_none(), "it is wiped though the browser took nothing");
        assert!(rest(pieces).await.0 < SIZE);
    }

    #[tokio::test(start_paused = true)]
    async fn c5_sending_stops_with_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let (portal, who) = portal(folder.path(), &Arc::new(AtomicBool::new(true)));
        let (opened, pieces) = send(&portal, &who);
        tokio::time::sleep(LOOK / 2).await;
        portal.db.ask(|db| sessions::end(db, &who.key)).unwrap();
        portal.poke();
        tokio::time::sleep(LOOK / 4).await;
        assert!(opened.upgrade().is_none(), "at once");
        assert!(rest(pieces).await.0 < SIZE);
    }

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
