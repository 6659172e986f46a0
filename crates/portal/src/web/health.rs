//! `/healthz` and `/metrics`.
//!
//! Only addresses in `monitors` may read them. `/metrics` is Prometheus text: the portal's
//! counters, then the recorder's `stats` under the recorder's names. It contains no user names.
//! docs/portal.md lists the names.

use super::{AppError, AppState};
use crate::box_client::connection::ConnectionError;
use crate::web::extract;
use crate::web::extract::ClientInfo;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

type SharedState = State<Arc<AppState>>;

/// Returns 200 while portal, database and recorder answer, or 503 with the part that does not.
pub async fn get_health(
    State(portal): SharedState,
    visitor: ClientInfo,
) -> Result<Response, AppError> {
    if !extract::is_monitor(&portal, &visitor) {
        return Err(AppError::NotFound);
    }
    let boxed = portal.box_client.connect_monitor().await;
    let db = portal.db.call(|db| db.query_row("select 1", [], |row| row.get::<_, i64>(0))).await;
    let word = |ok: bool| if ok { "up" } else { "down" };
    let good = boxed.is_ok() && db.is_ok();
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "portal": "up", "database": word(db.is_ok()), "box": word(boxed.is_ok()),
    });
    Ok((status, Json(body)).into_response())
}

pub async fn get_metrics(
    State(portal): SharedState,
    visitor: ClientInfo,
) -> Result<Response, AppError> {
    if !extract::is_monitor(&portal, &visitor) {
        return Err(AppError::NotFound);
    }
    let mut text = portal_metrics(&portal);
    let boxed = box_metrics(&portal).await;
    let up = u8::from(boxed.is_ok());
    // Writing into a string cannot fail.
    let _ = writeln!(text, "# TYPE hushbox_portal_box_up gauge\nhushbox_portal_box_up {up}");
    text.push_str(&boxed.unwrap_or_default());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn portal_metrics(portal: &AppState) -> String {
    let counters = &portal.counters;
    let lines = portal.agent_sessions.len();
    let lines = u64::try_from(lines).unwrap_or(u64::MAX);
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let all = [
        ("requests_total", "counter", load(&counters.requests)),
        ("requests_refused_total", "counter", load(&counters.requests_refused)),
        ("log_ins_total", "counter", load(&counters.log_ins)),
        ("log_ins_failed_total", "counter", load(&counters.log_ins_failed)),
        ("streams", "gauge", load(&counters.streams)),
        ("agents", "gauge", lines),
    ];
    let mut text = String::new();
    for (name, kind, value) in all {
        let name = format!("hushbox_portal_{name}");
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    }
    text
}

/// The recorder's metrics under its own names.
async fn box_metrics(portal: &AppState) -> Result<String, ConnectionError> {
    let (rows, _) = portal.box_client.connect_monitor().await?.request_ok("stats").await?;
    let mut text = String::new();
    for row in rows {
        if let (Some(name), Some(value)) = (row.get("name"), row.get("value")) {
            let _ = writeln!(text, "{name} {value}");
        }
    }
    Ok(text)
}
