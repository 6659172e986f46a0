//! Style and scripts, in the program itself.
//!
//! The address of each carries a hash of all of them, so that browsers keep them for good and get
//! new ones with a new portal. Nothing is read from a disk, so no path leads anywhere else.

use super::Fault;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::sync::OnceLock;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Name, type, text.
const ALL: [(&str, &str, &str); 8] = [
    ("style.css", STYLE, include_str!("../../assets/style.css")),
    ("agent.js", SCRIPT, include_str!("../../assets/agent.js")),
    ("login.js", SCRIPT, include_str!("../../assets/login.js")),
    ("board.js", SCRIPT, include_str!("../../assets/board.js")),
    ("idle.js", SCRIPT, include_str!("../../assets/idle.js")),
    ("player.js", SCRIPT, include_str!("../../assets/player.js")),
    ("session.js", SCRIPT, include_str!("../../assets/session.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
];

/// Changes with any of them.
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut hasher = blake3::Hasher::new();
        ALL.iter().for_each(|(_, _, text)| {
            hasher.update(text.as_bytes());
        });
        hasher.finalize().to_hex().as_str()[..12].to_owned()
    })
}

pub async fn get(Path((_, name)): Path<(String, String)>) -> Result<Response, Fault> {
    let (_, kind, text) = ALL.iter().find(|(known, ..)| *known == name).ok_or(Fault::NotFound)?;
    let kept = "public, max-age=31536000, immutable";
    let headers = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, kept)];
    Ok((headers, *text).into_response())
}
