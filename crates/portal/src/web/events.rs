//! Live state: server-sent events.
//!
//! A stream of an agent carries the newest state, and nothing that was missed: whoever is slow gets
//! fewer. Now and then it says how long the session still lives if nothing is done. It ends with
//! the session, and that of a live board with the right `monitor`. (What an agent's stream shows is
//! what the box shows to that agent at any moment.) A stream is no sign of a user who is there, so
//! it keeps no session alive.

use super::agent::Face;
use super::{LOOK, Portal};
use crate::accounts::sessions::Session;
use crate::box_client::agent_session::{Link, View};
use crate::clock;
use crate::web::extract::Watcher;
use crate::web::live_view::Board;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// A browser whose stream broke off comes back after so long.
const RETRY: Duration = Duration::from_secs(1);

type Out = mpsc::Sender<Result<Event, Infallible>>;

pub async fn agent(State(portal): State<Arc<Portal>>, watcher: Watcher) -> impl IntoResponse {
    let link = portal.hub.link(&watcher.0.user);
    streamed(portal, move |portal, out| async move {
        feed(&portal, &link, &watcher.0, &out).await;
    })
}

/// The stream of a page that only asks whether somebody is there.
pub async fn session(State(portal): State<Arc<Portal>>, watcher: Watcher) -> impl IntoResponse {
    let never = watch::Sender::new(Arc::new(Board::default()));
    let rest = never.subscribe();
    streamed(portal, move |portal, out| async move {
        let _kept = never;
        feed_board(&portal, (rest, false), &watcher.0, &out).await;
    })
}

/// The stream of a live board.
pub fn board(
    portal: Arc<Portal>,
    session: Session,
    board: watch::Receiver<Arc<Board>>,
) -> impl IntoResponse {
    streamed(portal, move |portal, out| async move {
        feed_board(&portal, (board, true), &session, &out).await;
    })
}

/// A stream, and the task that feeds it.
fn streamed<F: Future<Output = ()> + Send + 'static>(
    portal: Arc<Portal>,
    feed: impl FnOnce(Arc<Portal>, Out) -> F + Send + 'static,
) -> impl IntoResponse {
    let (out, events) = mpsc::channel(1);
    tokio::spawn(async move {
        portal.counters.streams.fetch_add(1, Ordering::Relaxed);
        feed(Arc::clone(&portal), out).await;
        portal.counters.streams.fetch_sub(1, Ordering::Relaxed);
    });
    let events = Sse::new(ReceiverStream::new(events));
    ([(header::CACHE_CONTROL, "no-store")], events.keep_alive(KeepAlive::default()))
}

/// Tells of the board, if that is wanted, and of the session.
async fn feed_board(
    portal: &Arc<Portal>,
    (mut board, wanted): (watch::Receiver<Arc<Board>>, bool),
    session: &Session,
    out: &Out,
) {
    let mut ended = portal.ended.subscribe();
    let mut stopping = portal.stopping.subscribe();
    let mut look = tokio::time::interval(LOOK);
    loop {
        let alive = tokio::select! {
            changed = board.changed() => {
                changed.is_ok() && (!wanted || tell(&mut board, out).await)
            }
            _ = look.tick() => goes_on(portal, session, wanted, out).await,
            _ = ended.changed() => goes_on(portal, session, wanted, out).await,
            _ = stopping.changed() => false,
            () = out.closed() => false,
        };
        if !alive {
            return;
        }
    }
}

/// Whether session and, for a board, right are still there; if not, the browser was told.
async fn goes_on(portal: &Portal, session: &Session, board: bool, out: &Out) -> bool {
    if !left(portal, session, out).await {
        return false;
    }
    if !board {
        return true;
    }
    match portal.rights_now(&session.user).await {
        Ok(rights) if rights.has("monitor") => true,
        Ok(_) => {
            drop(out.send(Ok(Event::default().event("gone").data("denied"))).await);
            false
        }
        // The board itself says that the box is away.
        Err(error) => {
            log::warn!("whether {} may still watch was not asked: {error}", session.user);
            true
        }
    }
}

async fn tell(board: &mut watch::Receiver<Arc<Board>>, out: &Out) -> bool {
    let now = Arc::clone(&board.borrow_and_update());
    match Event::default().event("board").json_data(&*now) {
        Ok(event) => out.send(Ok(event)).await.is_ok(),
        Err(_) => false,
    }
}

/// Tells whoever listens, until nobody does or the session is over.
async fn feed(portal: &Arc<Portal>, link: &Arc<Link>, session: &Session, out: &Out) {
    let mut view = link.view();
    let mut ended = portal.ended.subscribe();
    let mut stopping = portal.stopping.subscribe();
    let mut look = tokio::time::interval(LOOK);
    view.mark_changed();
    // Who comes when it is stopping already is told by the closed door.
    loop {
        let alive = tokio::select! {
            changed = view.changed() => changed.is_ok() && state(&mut view, out).await,
            _ = look.tick() => left(portal, session, out).await,
            _ = ended.changed() => left(portal, session, out).await,
            _ = stopping.changed() => false,
            () = out.closed() => false,
        };
        if !alive {
            return;
        }
    }
}

async fn state(view: &mut watch::Receiver<Arc<View>>, out: &Out) -> bool {
    let face = Face::of(&view.borrow_and_update());
    let event = Event::default().event("state").retry(RETRY).json_data(face);
    match event {
        Ok(event) => out.send(Ok(event)).await.is_ok(),
        Err(_) => false,
    }
}

/// Says how long the session lives; false: it does not, and the browser was told.
async fn left(portal: &Portal, session: &Session, out: &Out) -> bool {
    let event = match portal.session(&session.key).await {
        Ok(Some(session)) => {
            let left = session.left_s(clock::seconds(), portal.session_rule()).to_string();
            return out.send(Ok(Event::default().event("session").data(left))).await.is_ok();
        }
        Ok(None) => Event::default().event("gone").data("over"),
        Err(error) => {
            log::error!("{error}");
            return true;
        }
    };
    drop(out.send(Ok(event)).await);
    false
}
