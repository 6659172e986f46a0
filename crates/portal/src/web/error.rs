//! Error responses.
//!
//! Browsers get a page; scripts get JSON with the same text. Internal causes are only logged.
//! Responses never repeat request content.

use super::pages::{ErrorPage, PageContext};
use crate::accounts::password::PasswordError;
use crate::accounts::token::RandomError;
use crate::box_client::connection::ConnectionError;
use crate::db::DbError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("There is no such page.")]
    NotFound,
    #[error("Please log in.")]
    LoggedOut { was_in: bool },
    #[error("This form has expired. Go back, reload the page, and try again.")]
    CsrfRejected,
    #[error("You may not see this page.")]
    Forbidden,
    #[error("Too many attempts. Wait a minute, then try again.")]
    TooManyAttempts,
    #[error("The form did not arrive in time. Try again.")]
    TimedOut,
    #[error("This portal is open in too many tabs. Close some of them, then reload this page.")]
    TooManyStreams,
    #[error("The portal is checking too many passwords. Wait a few seconds, then try again.")]
    Busy,
    #[error("{0}")]
    BadRequest(String),
    #[error("This portal does not serve this host name. Use the address from your administrator.")]
    Misdirected,
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    #[error("The portal cannot do this at the moment. Try again, or tell an administrator.")]
    Internal(String),
}

impl From<DbError> for AppError {
    fn from(error: DbError) -> AppError {
        AppError::Internal(error.to_string())
    }
}

impl From<PasswordError> for AppError {
    fn from(error: PasswordError) -> AppError {
        match error {
            PasswordError::Busy => AppError::Busy,
            other => AppError::Internal(other.to_string()),
        }
    }
}

impl From<RandomError> for AppError {
    fn from(error: RandomError) -> AppError {
        AppError::Internal(error.to_string())
    }
}

impl From<askama::Error> for AppError {
    fn from(error: askama::Error) -> AppError {
        AppError::Internal(error.to_string())
    }
}

impl AppError {
    pub fn status_code(&self) -> StatusCode {
        match self {
            AppError::NotFound => StatusCode::NOT_FOUND,
            AppError::LoggedOut { .. } => StatusCode::UNAUTHORIZED,
            AppError::TimedOut => StatusCode::REQUEST_TIMEOUT,
            AppError::CsrfRejected | AppError::Forbidden => StatusCode::FORBIDDEN,
            AppError::TooManyAttempts | AppError::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            AppError::BadRequest(_) => StatusCode::BAD_REQUEST,
            AppError::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            AppError::Connection(ConnectionError::Refused(failure)) => {
                match failure.word.as_str() {
                    "no-such-record" => StatusCode::NOT_FOUND,
                    "denied" | "unknown-user" => StatusCode::FORBIDDEN,
                    "bad-argument" | "bad-characters" => StatusCode::BAD_REQUEST,
                    "too-many" | "shutting-down" => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::CONFLICT,
                }
            }
            AppError::Busy | AppError::Connection(_) | AppError::Internal(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Redirects to the login page.
    fn redirect_to_login(was_in: bool) -> Response {
        let to = if was_in { "/login?why=over" } else { "/login" };
        Redirect::to(to).into_response()
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        if let AppError::LoggedOut { was_in } = self {
            return AppError::redirect_to_login(was_in);
        }
        if let AppError::Internal(why) = &self {
            log::error!("{why}");
        }
        let status = self.status_code();
        let message = self.to_string();
        let page =
            ErrorPage { frame: PageContext::anonymous("Not possible"), message: message.clone() };
        match super::pages::render_html(&page) {
            Ok(page) => (status, page).into_response(),
            Err(_) => (status, message).into_response(),
        }
    }
}
