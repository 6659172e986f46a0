//! Style sheets and scripts, compiled into the program.
//!
//! Each URL carries a hash of all assets, so browsers cache them permanently and load new ones with
//! a new portal. Nothing is read from disk, so path traversal is impossible.

use super::AppError;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::sync::OnceLock;

const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";
const STYLE_TYPE: &str = "text/css; charset=utf-8";

/// Name, media type and content.
const ASSETS: [(&str, &str, &str); 8] = [
    ("style.css", STYLE_TYPE, include_str!("../../assets/style.css")),
    ("agent.js", SCRIPT_TYPE, include_str!("../../assets/agent.js")),
    ("login.js", SCRIPT_TYPE, include_str!("../../assets/login.js")),
    ("board.js", SCRIPT_TYPE, include_str!("../../assets/board.js")),
    ("idle.js", SCRIPT_TYPE, include_str!("../../assets/idle.js")),
    ("player.js", SCRIPT_TYPE, include_str!("../../assets/player.js")),
    ("session.js", SCRIPT_TYPE, include_str!("../../assets/session.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
];

/// Hash over all assets.
pub fn assets_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut hasher = blake3::Hasher::new();
        ASSETS.iter().for_each(|(_, _, text)| {
            hasher.update(text.as_bytes());
        });
        hasher.finalize().to_hex().as_str()[..12].to_owned()
    })
}

pub async fn get_asset(Path((_, name)): Path<(String, String)>) -> Result<Response, AppError> {
    let (_, kind, text) =
        ASSETS.iter().find(|(known, ..)| *known == name).ok_or(AppError::NotFound)?;
    let kept = "public, max-age=31536000, immutable";
    let headers = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, kept)];
    Ok((headers, *text).into_response())
}
