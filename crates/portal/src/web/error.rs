//! What a browser is told when a page cannot be given.
//!
//! People get a page, scripts get JSON with the same words. What went wrong inside is for the log
//! alone. Nothing here repeats what was asked.

use super::pages::{FaultPage, Frame};
use crate::accounts::token::NoRandom;
use crate::box_client::connection::TalkError;
use crate::db::DbError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("There is no such page.")]
    NotFound,
    #[error("Please log in.")]
    LoggedOut { was_in: bool },
    #[error("This form is too old, or was not made for you. Go back, reload the page, try again.")]
    Forged,
    #[error("You may not see this page.")]
    Denied,
    #[error("Too many attempts. Wait a minute, then try again.")]
    TooMany,
    #[error("{0}")]
    Bad(String),
    #[error("This name leads to another server.")]
    Misdirected,
    #[error("{0}")]
    Box(#[from] TalkError),
    #[error("The portal cannot do this now. Try again; if it stays so, tell an administrator.")]
    Inside(String),
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Fault {
        Fault::Inside(error.to_string())
    }
}

impl From<NoRandom> for Fault {
    fn from(error: NoRandom) -> Fault {
        Fault::Inside(error.to_string())
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Fault {
        Fault::Inside(error.to_string())
    }
}

impl Fault {
    pub fn status(&self) -> StatusCode {
        match self {
            Fault::NotFound => StatusCode::NOT_FOUND,
            Fault::LoggedOut { .. } => StatusCode::UNAUTHORIZED,
            Fault::Forged | Fault::Denied => StatusCode::FORBIDDEN,
            Fault::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Fault::Bad(_) => StatusCode::BAD_REQUEST,
            Fault::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Fault::Box(TalkError::Refused(failure)) => match failure.word.as_str() {
                "no-such-record" => StatusCode::NOT_FOUND,
                "denied" | "unknown-user" => StatusCode::FORBIDDEN,
                "bad-argument" | "bad-characters" => StatusCode::BAD_REQUEST,
                "too-many" | "shutting-down" => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::CONFLICT,
            },
            Fault::Box(_) | Fault::Inside(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Who is not logged in is led to where that is done.
    fn log_in(was_in: bool) -> Response {
        let to = if was_in { "/login?why=over" } else { "/login" };
        Redirect::to(to).into_response()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        if let Fault::LoggedOut { was_in } = self {
            return Fault::log_in(was_in);
        }
        if let Fault::Inside(why) = &self {
            log::error!("{why}");
        }
        let status = self.status();
        let said = self.to_string();
        let page = FaultPage { frame: Frame::bare("Not this time"), said: said.clone() };
        match super::pages::html(&page) {
            Ok(page) => (status, page).into_response(),
            Err(_) => (status, said).into_response(),
        }
    }
}
