//! The live board: calls and channels as they are, for who has the permission `monitor`.
//!
//! One question a second to the box serves everybody who looks, and nobody asks while nobody looks.
//! What is shown is what a read-only session of the box is told: no number, no field. Levels come
//! from behind the mask (G6).

use super::pages::{BoardPage, Frame, Table, html};
use super::{Fault, Portal, events};
use crate::box_client::connection::{Talk, TalkError};
use crate::web::extract::{Member, Watcher};
use axum::extract::State;
use axum::response::{Html, IntoResponse};
use protocol::client::Pairs;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

type Shared = State<Arc<Portal>>;

/// Between two looks at the box.
const LOOK: Duration = Duration::from_secs(1);

/// What a board shows of one thing.
type Row = BTreeMap<String, String>;

/// Calls and channels at a moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Board {
    /// What is wrong.
    pub said: String,
    pub calls: Vec<Row>,
    pub channels: Vec<Row>,
}

/// Columns, by the box's own keys.
const CALLS: [&str; 7] = ["device", "call", "agent", "since", "reasons", "blackout", "held"];
const CHANNELS: [&str; 7] = ["channel", "board", "device", "state", "level_db", "peak_db", "lost"];

fn rows(found: Vec<Pairs>) -> Vec<Row> {
    found.into_iter().map(|pairs| pairs.0.into_iter().collect()).collect()
}

async fn ask(talk: &mut Talk) -> Result<Board, TalkError> {
    let (calls, _) = talk.need("calls").await?;
    let (channels, _) = talk.need("channels").await?;
    Ok(Board { said: String::new(), calls: rows(calls), channels: rows(channels) })
}

/// Looks at the box as long as somebody looks at the board.
pub async fn look(portal: Arc<Portal>, board: watch::Sender<Arc<Board>>) {
    loop {
        while board.receiver_count() == 0 {
            board.closed().await;
            tokio::time::sleep(LOOK).await;
        }
        if let Err(error) = looking(&portal, &board).await {
            let lost = Board { said: error.to_string(), ..Board::default() };
            board.send_replace(Arc::new(lost));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn looking(portal: &Portal, board: &watch::Sender<Arc<Board>>) -> Result<(), TalkError> {
    let mut talk = portal.desk.monitor().await?;
    while board.receiver_count() > 0 {
        board.send_replace(Arc::new(ask(&mut talk).await?));
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn table((id, title): (&'static str, &'static str), keys: &[&'static str], rows: &[Row]) -> Table {
    let shown = |row: &Row, key: &str| match row.get(key).map(String::as_str) {
        None | Some("-") => String::new(),
        Some(value) => value.to_owned(),
    };
    let cells = |row: &Row| keys.iter().map(|key| shown(row, key)).collect();
    Table { id, title, keys: keys.to_vec(), rows: rows.iter().map(cells).collect() }
}

pub async fn page(State(portal): Shared, member: Member) -> Result<Html<String>, Fault> {
    let frame = Frame::of(&portal, &member, "Live board").await;
    if !portal.rights(&member.session.user).await?.has("monitor") {
        return Err(Fault::Denied);
    }
    let mut talk = portal.desk.monitor().await?;
    let board = ask(&mut talk).await?;
    let calls = table(("calls", "Calls"), &CALLS, &board.calls);
    let channels = table(("channels", "Channels"), &CHANNELS, &board.channels);
    html(&BoardPage { frame, said: String::new(), tables: vec![calls, channels] })
}

pub async fn stream(State(portal): Shared, watcher: Watcher) -> Result<impl IntoResponse, Fault> {
    if !portal.rights(&watcher.0.user).await?.has("monitor") {
        return Err(Fault::Denied);
    }
    let board = portal.board.subscribe();
    Ok(events::board(portal, watcher.0, board))
}
