//! Page templates and the frame around every page.
//!
//! Templates are compiled in and escape their values. Rendering queries neither the recorder nor
//! the database.

use super::{AppError, AppState, assets};
use crate::box_client::client::Rights;
use crate::web::extract::CurrentUser;
use askama::Template;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use zeroize::{Zeroize, Zeroizing};

/// Initial buffer size in bytes, larger than any page of a record.
const PAGE_CAPACITY_BYTES: usize = 256 << 10;

/// Data of the frame around a page.
#[derive(Clone, Debug, Default)]
pub struct PageContext {
    pub title: &'static str,
    pub version: &'static str,
    /// Logged-in user.
    pub user: Option<String>,
    pub csrf: String,
    pub rights: Rights,
    pub warn_s: u32,
    /// Reason why the recorder is unreachable.
    pub lost: Option<String>,
}

impl PageContext {
    /// Frame for a visitor without a session.
    pub fn anonymous(title: &'static str) -> PageContext {
        PageContext { title, version: assets::assets_version(), ..PageContext::default() }
    }

    /// Frame for a logged-in user.
    pub async fn for_user(
        portal: &AppState,
        member: &CurrentUser,
        title: &'static str,
    ) -> PageContext {
        let session = &member.session;
        let (rights, lost) = match portal.cached_rights(&session.user).await {
            Ok(rights) => (rights, None),
            Err(error) => (Rights::default(), Some(error.to_string())),
        };
        PageContext {
            user: Some(session.user.clone()),
            csrf: session.csrf.clone(),
            rights,
            lost,
            warn_s: portal.config.login.warn_seconds,
            ..PageContext::anonymous(title)
        }
    }
}

/// Renders a page.
pub fn render_html(page: &impl Template) -> Result<Html<String>, AppError> {
    Ok(Html(page.render()?))
}

/// Renders a page that shows unsealed values and wipes it after sending.
pub fn render_zeroizing(page: &impl Template) -> Result<Response, AppError> {
    // Reserve enough, so that reallocation leaves no unwiped copy.
    let mut text = Zeroizing::new(String::with_capacity(PAGE_CAPACITY_BYTES));
    page.render_into(&mut *text)?;
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    Ok((kind, Bytes::from_owner(text)).into_response())
}

#[derive(Template)]
#[template(path = "fault.html")]
pub struct ErrorPage {
    pub frame: PageContext,
    pub message: String,
}

#[derive(Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    pub frame: PageContext,
    pub name: String,
    pub message: &'static str,
    pub failed: bool,
}

#[derive(Template)]
#[template(path = "forgot.html")]
pub struct ForgotPage {
    pub frame: PageContext,
    pub message: &'static str,
}

#[derive(Template)]
#[template(path = "reset.html")]
pub struct ResetPage {
    pub frame: PageContext,
    /// Empty if the link is invalid.
    pub secret: String,
    pub message: String,
}

#[derive(Template)]
#[template(path = "password.html")]
pub struct PasswordPage {
    pub frame: PageContext,
    pub message: String,
}

/// A user-defined field and whether it may be set now.
pub struct FieldRow {
    pub number: u8,
    pub label: String,
    pub open: bool,
}

pub struct ActionButton {
    pub act: &'static str,
    pub text: &'static str,
    pub key: &'static str,
    pub open: bool,
}

#[derive(Template)]
#[template(path = "agent.html")]
pub struct AgentPage {
    pub frame: PageContext,
    pub view: super::agent::AgentView,
    pub record: [ActionButton; 2],
    pub blackout: [ActionButton; 2],
    pub fields: Vec<FieldRow>,
    pub message: Option<super::agent::ActionResult>,
}

pub struct Table {
    pub id: &'static str,
    pub title: &'static str,
    pub keys: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

#[derive(Template)]
#[template(path = "records.html")]
pub struct RecordsPage {
    pub frame: PageContext,
    pub rows: Vec<super::records::RecordRow>,
    /// Search values in the order of the form.
    pub asked: [String; 8],
    pub message: String,
    /// Cursor of the next page; `None` on the last page.
    pub before: Option<String>,
    /// Whether this is not the first page.
    pub later: bool,
    /// Number of records whose fields could not be searched.
    pub sealed: usize,
    pub limit: usize,
}

impl RecordsPage {
    /// Search values that the next page's link repeats.
    fn kept(&self) -> Vec<(&'static str, &str)> {
        let names = ["from", "to", "agent", "device", "call", "ani", "dnis", "field"];
        let all = names.into_iter().zip(self.asked.iter().map(String::as_str));
        all.filter(|(_, value)| !value.is_empty()).collect()
    }
}

#[derive(Template)]
#[template(path = "record.html")]
pub struct RecordPage {
    pub frame: PageContext,
    pub id: String,
    pub start: String,
    pub length: String,
    pub running: bool,
    /// Opened for playback.
    pub open: bool,
    /// A script loads the waveform later.
    pub later: bool,
    /// A screen recording can be shown.
    pub film: bool,
    /// Why an existing screen recording cannot be shown.
    pub dark: String,
    /// A screen was recorded.
    pub screen: bool,
    /// The supervisor must supply an identity first.
    pub key: bool,
    /// Under legal hold.
    pub hold: bool,
    /// Numbers and fields are still sealed.
    pub sealed: bool,
    /// Why the available identity does not open them.
    pub closed: String,
    pub message: String,
    /// SVG generated from numbers only.
    pub wave: String,
    pub facts: Vec<(&'static str, String)>,
    pub fields: Vec<(String, String)>,
    /// Ranges that this supervisor may remove for good.
    pub removable: Vec<super::timeline::RemovableRange>,
    pub steps: Vec<super::timeline::TimelineEvent>,
}

impl Drop for RecordPage {
    fn drop(&mut self) {
        self.facts.iter_mut().for_each(|(_, value)| value.zeroize());
        self.fields.iter_mut().for_each(|(_, value)| value.zeroize());
        self.steps.iter_mut().for_each(|step| step.what.zeroize());
    }
}

#[derive(Template)]
#[template(path = "board.html")]
pub struct LiveViewPage {
    pub frame: PageContext,
    pub message: String,
    pub tables: Vec<Table>,
}

/// An account on the administration page.
pub struct AccountRow {
    pub name: String,
    pub email: String,
    pub disabled: bool,
    pub sessions: usize,
}

#[derive(Template)]
#[template(path = "admin.html")]
pub struct AdminPage {
    pub frame: PageContext,
    pub message: &'static str,
    pub bad: bool,
    pub tables: Vec<Table>,
    pub accounts: Vec<AccountRow>,
}
