//! Live state as server-sent events.
//!
//! An agent's stream carries the newest state and skips states that a slow browser missed. It also
//! reports how long the session still lives without activity. It ends with the session. A live
//! view's stream also ends when the user loses the right `monitor`. A stream is not user activity
//! and does not extend a session.

use super::agent::AgentView;
use super::{AppState, RECHECK_INTERVAL};
use crate::accounts::sessions::Session;
use crate::box_client::agent_session::{AgentSession, LinkState};
use crate::clock;
use crate::web::extract::PassiveSession;
use crate::web::live_view::LiveView;
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

/// Delay before a browser reconnects.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

type EventSender = mpsc::Sender<Result<Event, Infallible>>;

pub async fn stream_agent_state(
    State(portal): State<Arc<AppState>>,
    watcher: PassiveSession,
) -> impl IntoResponse {
    let link = portal.agent_sessions.get_or_start(&watcher.0.user);
    sse_response(portal, move |portal, out| async move {
        feed_agent_state(&portal, &link, &watcher.0, &out).await;
    })
}

/// Streams only the session state.
pub async fn stream_session_state(
    State(portal): State<Arc<AppState>>,
    watcher: PassiveSession,
) -> impl IntoResponse {
    let never = watch::Sender::new(Arc::new(LiveView::default()));
    let rest = never.subscribe();
    sse_response(portal, move |portal, out| async move {
        let _kept = never;
        feed_live_view(&portal, (rest, false), &watcher.0, &out).await;
    })
}

/// Streams the live view.
pub fn stream_live_view(
    portal: Arc<AppState>,
    session: Session,
    board: watch::Receiver<Arc<LiveView>>,
) -> impl IntoResponse {
    sse_response(portal, move |portal, out| async move {
        feed_live_view(&portal, (board, true), &session, &out).await;
    })
}

/// Builds a stream response and spawns the task that feeds it.
fn sse_response<F: Future<Output = ()> + Send + 'static>(
    portal: Arc<AppState>,
    feed: impl FnOnce(Arc<AppState>, EventSender) -> F + Send + 'static,
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

/// Sends live views, if requested, and the session state.
async fn feed_live_view(
    portal: &Arc<AppState>,
    (mut board, wanted): (watch::Receiver<Arc<LiveView>>, bool),
    session: &Session,
    out: &EventSender,
) {
    let mut ended = portal.sessions_changed.subscribe();
    let mut stopping = portal.shutdown.subscribe();
    let mut look = tokio::time::interval(RECHECK_INTERVAL);
    loop {
        let alive = tokio::select! {
            changed = board.changed() => {
                changed.is_ok() && (!wanted || send_live_view(&mut board, out).await)
            }
            _ = look.tick() => may_continue(portal, session, wanted, out).await,
            _ = ended.changed() => may_continue(portal, session, wanted, out).await,
            _ = stopping.changed() => false,
            () = out.closed() => false,
        };
        if !alive {
            return;
        }
    }
}

/// Checks the session and, for a live view, the right. If either is gone, tells the browser.
async fn may_continue(
    portal: &AppState,
    session: &Session,
    board: bool,
    out: &EventSender,
) -> bool {
    if !send_time_left(portal, session, out).await {
        return false;
    }
    if !board {
        return true;
    }
    match portal.query_rights(&session.user).await {
        Ok(rights) if rights.has("monitor") => true,
        Ok(_) => {
            drop(out.send(Ok(Event::default().event("gone").data("denied"))).await);
            false
        }
        // The live view itself reports that the recorder is unreachable.
        Err(error) => {
            log::warn!("whether {} may still watch was not asked: {error}", session.user);
            true
        }
    }
}

async fn send_live_view(board: &mut watch::Receiver<Arc<LiveView>>, out: &EventSender) -> bool {
    let now = Arc::clone(&board.borrow_and_update());
    match Event::default().event("board").json_data(&*now) {
        Ok(event) => out.send(Ok(event)).await.is_ok(),
        Err(_) => false,
    }
}

/// Sends agent states until the browser disconnects or the session ends.
async fn feed_agent_state(
    portal: &Arc<AppState>,
    link: &Arc<AgentSession>,
    session: &Session,
    out: &EventSender,
) {
    let mut view = link.subscribe();
    let mut ended = portal.sessions_changed.subscribe();
    let mut stopping = portal.shutdown.subscribe();
    let mut look = tokio::time::interval(RECHECK_INTERVAL);
    view.mark_changed();
    // A stream that opens during shutdown ends because the channel is closed.
    loop {
        let alive = tokio::select! {
            changed = view.changed() => changed.is_ok() && send_agent_state(&mut view, out).await,
            _ = look.tick() => send_time_left(portal, session, out).await,
            _ = ended.changed() => send_time_left(portal, session, out).await,
            _ = stopping.changed() => false,
            () = out.closed() => false,
        };
        if !alive {
            return;
        }
    }
}

async fn send_agent_state(view: &mut watch::Receiver<Arc<LinkState>>, out: &EventSender) -> bool {
    let face = AgentView::from_link_state(&view.borrow_and_update());
    let event = Event::default().event("state").retry(RECONNECT_DELAY).json_data(face);
    match event {
        Ok(event) => out.send(Ok(event)).await.is_ok(),
        Err(_) => false,
    }
}

/// Sends the session's remaining time. If the session has ended, tells the browser and returns
/// false.
async fn send_time_left(portal: &AppState, session: &Session, out: &EventSender) -> bool {
    let event = match portal.find_session(&session.key).await {
        Ok(Some(session)) => {
            let left =
                session.remaining_s(clock::unix_seconds(), portal.session_policy()).to_string();
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
