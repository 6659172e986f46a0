//! Live state as server-sent events.
//!
//! An agent's stream carries the newest state and skips states that a slow browser missed. It also
//! reports how long the session still lives without activity. It ends with the session. A live
//! view's stream also ends when the user loses the right `monitor`. A stream is not user activity
//! and does not extend a session. `session_watch` checks sessions and rights for all streams.

use super::agent::AgentView;
use super::session_watch::SessionStatus;
use super::{AppError, AppState};
use crate::accounts::sessions::Session;
use crate::box_client::agent_session::{AgentSession, LinkState};
use crate::web::extract::PassiveSession;
use crate::web::live_view::LiveView;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// Delay before a browser reconnects.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

pub async fn stream_agent_state(
    State(portal): State<Arc<AppState>>,
    watcher: PassiveSession,
) -> Response {
    let session = portal.agent_sessions.get_or_start(&watcher.0.user);
    let mut states = session.subscribe();
    states.mark_changed();
    respond(portal, &watcher.0, EventSource::Agent { states, _session: session })
}

/// Streams only the session state.
pub async fn stream_session_state(
    State(portal): State<Arc<AppState>>,
    watcher: PassiveSession,
) -> Response {
    respond(portal, &watcher.0, EventSource::Session)
}

/// Streams the live view to a user who may see it now.
pub fn stream_live_view(portal: Arc<AppState>, session: &Session) -> Response {
    let views = portal.live_view.subscribe();
    let may_monitor = portal.session_watch.open_live_view(&session.user);
    respond(portal, session, EventSource::LiveView { views, may_monitor })
}

/// Builds a stream response and spawns the task that feeds it. If the session has too many streams,
/// the response is a stream that only says so: browsers show no other answer to a page's script.
fn respond(portal: Arc<AppState>, session: &Session, source: EventSource) -> Response {
    let (out, events) = mpsc::channel(1);
    match portal.open_stream(session) {
        Ok(status) => {
            let stream = EventStream { source, status, out };
            tokio::spawn(async move {
                portal.counters.streams.fetch_add(1, Ordering::Relaxed);
                stream.run(portal.shutdown.subscribe()).await;
                portal.counters.streams.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Err(AppError::TooManyStreams) => drop(out.try_send(Ok(end_event("tabs")))),
        Err(error) => return error.into_response(),
    }
    let events = Sse::new(ReceiverStream::new(events)).keep_alive(KeepAlive::default());
    ([(header::CACHE_CONTROL, "no-store")], events).into_response()
}

/// What a stream reports, apart from the session.
enum EventSource {
    Session,
    Agent {
        states: watch::Receiver<Arc<LinkState>>,
        /// Kept open as long as the stream.
        _session: Arc<AgentSession>,
    },
    LiveView {
        views: watch::Receiver<Arc<LiveView>>,
        may_monitor: watch::Receiver<bool>,
    },
}

/// What to send next.
enum NextEvent {
    Event(Event),
    /// The stream ends after it.
    Last(Event),
    End,
}

impl EventSource {
    /// Waits for the next event; cancel-safe.
    async fn next_event(&mut self) -> NextEvent {
        match self {
            EventSource::Session => std::future::pending().await,
            EventSource::Agent { states, .. } => match states.changed().await {
                Ok(()) => agent_event(&states.borrow_and_update()),
                Err(_) => NextEvent::End,
            },
            EventSource::LiveView { views, may_monitor } => loop {
                tokio::select! {
                    changed = views.changed() => return match changed {
                        Ok(()) => to_event("board", &**views.borrow_and_update()),
                        Err(_) => NextEvent::End,
                    },
                    changed = may_monitor.changed() => match changed {
                        Ok(()) if *may_monitor.borrow_and_update() => {}
                        Ok(()) => return NextEvent::Last(end_event("denied")),
                        Err(_) => return NextEvent::End,
                    },
                }
            },
        }
    }
}

fn agent_event(state: &LinkState) -> NextEvent {
    to_event("state", &AgentView::from_link_state(state))
}

fn to_event(name: &str, data: &impl serde::Serialize) -> NextEvent {
    match Event::default().event(name).retry(RECONNECT_DELAY).json_data(data) {
        Ok(event) => NextEvent::Event(event),
        Err(_) => NextEvent::End,
    }
}

/// Tells the browser why the stream ends.
fn end_event(why: &str) -> Event {
    Event::default().event("gone").data(why)
}

fn session_event(status: SessionStatus) -> NextEvent {
    match status {
        SessionStatus::Alive { remaining_s } => {
            NextEvent::Event(Event::default().event("session").data(remaining_s.to_string()))
        }
        SessionStatus::Ended => NextEvent::Last(end_event("over")),
    }
}

struct EventStream {
    source: EventSource,
    status: watch::Receiver<SessionStatus>,
    out: mpsc::Sender<Result<Event, Infallible>>,
}

impl EventStream {
    /// Sends events until the browser disconnects or the session ends. A stream that opens during
    /// shutdown ends because the channel is closed.
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let next = tokio::select! {
                next = self.source.next_event() => next,
                changed = self.status.changed() => match changed {
                    Ok(()) => session_event(*self.status.borrow_and_update()),
                    Err(_) => NextEvent::End,
                },
                _ = stopping.changed() => NextEvent::End,
                () = self.out.closed() => NextEvent::End,
            };
            let (event, is_last) = match next {
                NextEvent::Event(event) => (event, false),
                NextEvent::Last(event) => (event, true),
                NextEvent::End => return,
            };
            if self.out.send(Ok(event)).await.is_err() || is_last {
                return;
            }
        }
    }
}
