//! Live view of calls and channels, for users with the permission `monitor`.
//!
//! One query per second serves all viewers; without viewers nothing is queried. The data comes from
//! a read-only session and contains no number or field. Levels are measured behind the mask (G6).

use super::pages::{LiveViewPage, PageContext, Table, render_html};
use super::{AppError, AppState, events};
use crate::box_client::connection::{BoxConnection, ConnectionError};
use crate::web::extract::{CurrentUser, PassiveSession};
use axum::extract::State;
use axum::response::{Html, Response};
use protocol::client::Pairs;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

type SharedState = State<Arc<AppState>>;

/// Interval between two queries.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Values of one call or channel, by key.
type LiveViewRow = BTreeMap<String, String>;

/// Calls and channels at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LiveView {
    /// Error message, or empty.
    pub message: String,
    pub calls: Vec<LiveViewRow>,
    pub channels: Vec<LiveViewRow>,
}

/// Columns, by the recorder's keys.
const CALL_COLUMNS: [&str; 7] = ["device", "call", "agent", "since", "reasons", "blackout", "held"];
const CHANNEL_COLUMNS: [&str; 7] =
    ["channel", "board", "device", "state", "level_db", "peak_db", "lost"];

fn to_rows(found: Vec<Pairs>) -> Vec<LiveViewRow> {
    found.into_iter().map(|pairs| pairs.0.into_iter().collect()).collect()
}

async fn query_live_view(connection: &mut BoxConnection) -> Result<LiveView, ConnectionError> {
    let (calls, _) = connection.request_ok("calls").await?;
    let (channels, _) = connection.request_ok("channels").await?;
    Ok(LiveView { message: String::new(), calls: to_rows(calls), channels: to_rows(channels) })
}

/// Queries the recorder while there are viewers.
pub async fn update_live_view(portal: Arc<AppState>, board: watch::Sender<Arc<LiveView>>) {
    loop {
        while board.receiver_count() == 0 {
            board.closed().await;
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if let Err(error) = poll_box(&portal, &board).await {
            let lost = LiveView { message: error.to_string(), ..LiveView::default() };
            board.send_replace(Arc::new(lost));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn poll_box(
    portal: &AppState,
    board: &watch::Sender<Arc<LiveView>>,
) -> Result<(), ConnectionError> {
    let mut connection = portal.box_client.connect_monitor().await?;
    while board.receiver_count() > 0 {
        board.send_replace(Arc::new(query_live_view(&mut connection).await?));
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

fn build_table(
    (id, title): (&'static str, &'static str),
    keys: &[&'static str],
    rows: &[LiveViewRow],
) -> Table {
    let shown = |row: &LiveViewRow, key: &str| match row.get(key).map(String::as_str) {
        None | Some("-") => String::new(),
        Some(value) => value.to_owned(),
    };
    let cells = |row: &LiveViewRow| keys.iter().map(|key| shown(row, key)).collect();
    Table { id, title, keys: keys.to_vec(), rows: rows.iter().map(cells).collect() }
}

pub async fn live_view_page(
    State(portal): SharedState,
    member: CurrentUser,
) -> Result<Html<String>, AppError> {
    let frame = PageContext::for_user(&portal, &member, "Live board").await;
    if !portal.cached_rights(&member.session.user).await?.has("monitor") {
        return Err(AppError::Forbidden);
    }
    let mut connection = portal.box_client.connect_monitor().await?;
    let board = query_live_view(&mut connection).await?;
    let calls = build_table(("calls", "Calls"), &CALL_COLUMNS, &board.calls);
    let channels = build_table(("channels", "Channels"), &CHANNEL_COLUMNS, &board.channels);
    render_html(&LiveViewPage { frame, message: String::new(), tables: vec![calls, channels] })
}

pub async fn live_view_events(
    State(portal): SharedState,
    watcher: PassiveSession,
) -> Result<Response, AppError> {
    if !portal.cached_rights(&watcher.0.user).await?.has("monitor") {
        return Err(AppError::Forbidden);
    }
    Ok(events::stream_live_view(portal, &watcher.0))
}
