//! Audio for the player, by byte range, and exports.
//!
//! An opened recording is served from memory in chunks, and each chunk is wiped after use. A
//! transfer stops when the session ends or the recorder withdraws permission, even if the browser
//! reads slowly. Responses are not cached.
//!
//! An export is a form, so that a link on another site cannot start one. The recorder journals it
//! as an export.

use super::{AppError, AppState, RECHECK_INTERVAL, records};
use crate::media::cache::MemoryReservation;
use crate::media::decode_service::{DecodeFormat, DecodedRecording, MediaError, Requester};
use crate::media::memfile::MemFile;
use crate::media::playback::PlaybackRequest;
use crate::web::extract::{AuthedForm, CurrentUser};
use crate::web::session_watch::SessionStatus;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

type SharedState = State<Arc<AppState>>;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;

impl From<MediaError> for AppError {
    fn from(error: MediaError) -> AppError {
        match error {
            MediaError::Connection(error) => AppError::Connection(error),
            MediaError::Spawn { .. }
            | MediaError::MemFile(_)
            | MediaError::Facts(_)
            | MediaError::UnexpectedOutput => AppError::Internal(error.to_string()),
            MediaError::DecodeFailed(_)
            | MediaError::TimedOut
            | MediaError::TooLarge { .. }
            | MediaError::MemoryFull => AppError::BadRequest(error.to_string()),
        }
    }
}

fn to_requester(member: &CurrentUser) -> Requester {
    Requester { session_key: member.session.key.clone(), user: member.session.user.clone() }
}

/// Parses a `Range` header for a file of `size` bytes into start and exclusive end. `Err` means
/// that the range cannot be satisfied.
fn parse_range(text: &str, size: u64) -> Result<Option<(u64, u64)>, ()> {
    // Several ranges or other units: the whole file is a valid response.
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

/// Media type of a format.
fn media_type(kind: DecodeFormat, film: bool) -> &'static str {
    match (kind, film) {
        (DecodeFormat::Wav, _) => "audio/wav",
        (DecodeFormat::Opus, _) => "audio/ogg",
        (DecodeFormat::Webm, true) => "video/webm",
        (DecodeFormat::Webm, false) => "audio/webm",
        (DecodeFormat::Waveform | DecodeFormat::Facts, _) => "application/json",
    }
}

/// File to send.
enum SentFile {
    Played(Arc<DecodedRecording>),
    /// Its memory is released after the transfer.
    Exported {
        file: MemFile,
        _room: MemoryReservation,
    },
}

/// Transfer of a file to a browser.
struct FileTransfer {
    portal: Arc<AppState>,
    requester: Requester,
    id: String,
    sent_file: SentFile,
}

type StatusReceiver = watch::Receiver<SessionStatus>;

type ChunkSender = mpsc::Sender<io::Result<Bytes>>;

impl FileTransfer {
    fn file(&self) -> &MemFile {
        match &self.sent_file {
            SentFile::Played(opened) => &opened.file,
            SentFile::Exported { file, .. } => file,
        }
    }

    /// Streams a range of the file at the browser's pace and wipes each chunk after sending.
    /// It counts as a stream of the session.
    fn into_body(self, session: StatusReceiver, (from, to): (u64, u64)) -> Body {
        let (out, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            tokio::select! {
                () = self.start_transfer((from, to), &out) => {}
                () = self.wait_for_withdrawal(session) => {
                    log::info!("recording {}: sending to {} stops", self.id, self.requester.user);
                    let error = io::Error::from(io::ErrorKind::PermissionDenied);
                    // If the channel is full, closing the connection signals the error.
                    drop(out.try_send(Err(error)));
                }
            }
        });
        Body::from_stream(ReceiverStream::new(pieces))
    }

    async fn start_transfer(&self, (mut at, to): (u64, u64), out: &ChunkSender) {
        while at < to {
            let count = usize::try_from(to - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let piece = self.file().read(at, count).map(Bytes::from_owner);
            if out.send(piece).await.is_err() {
                return;
            }
            at += count as u64;
        }
    }

    /// Returns when the session has ended or the recorder withdraws permission.
    async fn wait_for_withdrawal(&self, mut session: StatusReceiver) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RECHECK_INTERVAL) => {}
                changed = session.changed() => if changed.is_err() { return },
            }
            if *session.borrow() == SessionStatus::Ended || !self.is_permitted().await {
                return;
            }
        }
    }

    async fn is_permitted(&self) -> bool {
        let vault = &self.portal.decode_service;
        match &self.sent_file {
            SentFile::Played(opened) => vault.may_continue(&self.requester, &self.id, opened).await,
            SentFile::Exported { .. } => vault.may_export(&self.requester, &self.id).await,
        }
    }
}

pub async fn get_audio(
    State(portal): SharedState,
    member: CurrentUser,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    records::record_command("show", &id)?;
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let piece = |size| asked.map_or(Ok(None), |text| parse_range(text, size));
    let request = |size| match piece(size) {
        Ok(None | Some((0, _))) => PlaybackRequest::FromStart,
        Ok(Some(_)) | Err(()) => PlaybackRequest::Continue,
    };
    let (who, session) = (to_requester(&member), portal.open_stream(&member.session)?);
    let opened = portal.decode_service.open_recording(&who, &id, request).await?;
    let size = opened.file.size();
    let Ok(piece) = piece(size) else {
        let all = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, all).into_response());
    };
    let (from, to) = piece.unwrap_or((0, size));
    let kind = [
        (header::CONTENT_TYPE, media_type(opened.format, opened.has_video).to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_LENGTH, (to - from).to_string()),
    ];
    let sending = FileTransfer { portal, requester: who, id, sent_file: SentFile::Played(opened) };
    let answer = (kind, sending.into_body(session, (from, to)));
    if piece.is_none() {
        return Ok(answer.into_response());
    }
    let place = [(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", to - 1))];
    Ok((StatusCode::PARTIAL_CONTENT, place, answer).into_response())
}

pub async fn export_recording(
    State(portal): SharedState,
    Path(id): Path<String>,
    posted: AuthedForm,
) -> Result<Response, AppError> {
    records::record_command("show", &id)?;
    let kind = match posted.fields.get("kind") {
        "wav" => DecodeFormat::Wav,
        "webm" => DecodeFormat::Webm,
        _ => DecodeFormat::Opus,
    };
    let who = to_requester(&posted.current_user);
    let session = portal.open_stream(&posted.current_user.session)?;
    let (file, _room) = portal.decode_service.export_recording(&who, &id, kind).await?;
    let size = file.size();
    let headers = [
        (header::CONTENT_TYPE, media_type(kind, true).to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.{}\"", kind.as_str())),
    ];
    let sending =
        FileTransfer { portal, requester: who, id, sent_file: SentFile::Exported { file, _room } };
    Ok((headers, sending.into_body(session, (0, size))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::sessions::{self, LoginOrigin};
    use crate::accounts::{self, Account, token};
    use crate::box_client::fake_box::FakeBox;
    use crate::clock;
    use crate::media::decode_service::Waveform;
    use crate::media::playback::PlaybackState;
    use std::path::Path;
    use std::sync::Weak;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio_stream::StreamExt;

    const FILE_BYTES: u64 = 1 << 20;

    /// Creates a portal with a session. Its fake recorder permits plays while `permitted` is true.
    fn create_portal(folder: &Path, permitted: &Arc<AtomicBool>) -> (Arc<AppState>, Requester) {
        let permitted = Arc::clone(permitted);
        let socket = FakeBox::spawn_answering(move |line| {
            let text = match line {
                line if line.starts_with("hello") => "ok session=1 rights=records.all,play\n",
                _ if permitted.load(Ordering::SeqCst) => "row what=record\nok\n",
                _ => "err no-such-record \"deleted\"\n",
            };
            text.to_owned()
        });
        let portal = AppState::new_for_tests(folder, &socket);
        let (name, hash, email) = ("boss".to_owned(), "x".to_owned(), String::new());
        let boss = Account { name, hash, email, is_disabled: false, created_at: 0 };
        portal.db.call_blocking(|db| accounts::add_account(db, &boss)).unwrap();
        let (origin, now) = (LoginOrigin::default(), clock::unix_seconds());
        let begin = |db: &_| sessions::create_session(db, "boss", ("secret", "csrf"), &origin, now);
        portal.db.call_blocking(begin).unwrap();
        (portal, Requester { session_key: token::hash("secret"), user: "boss".to_owned() })
    }

    /// Starts a transfer and returns the stream that the browser reads.
    fn send(
        portal: &Arc<AppState>,
        who: &Requester,
    ) -> (Weak<DecodedRecording>, axum::body::BodyDataStream) {
        let mut file = MemFile::new().unwrap();
        file.append(&vec![1; usize::try_from(FILE_BYTES).unwrap()]).unwrap();
        let playback = PlaybackState::new(clock::now());
        let opened =
            DecodedRecording::new((file, DecodeFormat::Wav), Ok(Waveform::default()), playback);
        let opened = Arc::new(opened);
        let weak = Arc::downgrade(&opened);
        let (portal, requester, id) = (Arc::clone(portal), who.clone(), "abc".to_owned());
        let sending = FileTransfer { portal, requester, id, sent_file: SentFile::Played(opened) };
        let session = sending.portal.session_watch.open_stream(&who.session_key, 900).unwrap();
        (weak, sending.into_body(session, (0, FILE_BYTES)).into_data_stream())
    }

    /// Reads to the end. Returns the number of bytes and whether the stream ended without error.
    async fn read_rest(mut pieces: axum::body::BodyDataStream) -> (u64, bool) {
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
        let (portal, who) = create_portal(folder.path(), &permitted);
        let (opened, pieces) = send(&portal, &who);
        tokio::time::sleep(RECHECK_INTERVAL * 5).await;
        assert!(opened.upgrade().is_some(), "a pause alone ends nothing");
        assert_eq!(read_rest(pieces).await, (FILE_BYTES, true));
        let (opened, pieces) = send(&portal, &who);
        permitted.store(false, Ordering::SeqCst);
        tokio::time::sleep(RECHECK_INTERVAL * 2).await;
        assert!(opened.upgrade().is_none(), "it is wiped though the browser took nothing");
        assert!(read_rest(pieces).await.0 < FILE_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn c5_sending_stops_with_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let (portal, who) = create_portal(folder.path(), &Arc::new(AtomicBool::new(true)));
        tokio::spawn(crate::web::session_watch::check_forever(Arc::clone(&portal)));
        let (opened, pieces) = send(&portal, &who);
        tokio::time::sleep(RECHECK_INTERVAL / 2).await;
        portal.db.call_blocking(|db| sessions::end_session(db, &who.session_key)).unwrap();
        portal.notify_sessions_changed();
        tokio::time::sleep(RECHECK_INTERVAL / 4).await;
        assert!(opened.upgrade().is_none(), "at once");
        assert!(read_rest(pieces).await.0 < FILE_BYTES);
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
            assert_eq!(parse_range(text, 100), wanted, "{text}");
        }
    }
}
