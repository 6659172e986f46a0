//! The pages' templates, and what stands around every page.
//!
//! Templates are compiled into the program and escape what is put into them. Nothing here asks the
//! box or the database.

use super::{Fault, Portal, assets};
use crate::box_client::client::Rights;
use crate::web::extract::Member;
use askama::Template;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use zeroize::{Zeroize, Zeroizing};

/// More than a record's page takes.
const PAGE_BYTES: usize = 256 << 10;

/// What stands around a page.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    pub title: &'static str,
    pub version: &'static str,
    /// Nobody: not logged in.
    pub user: Option<String>,
    pub csrf: String,
    pub rights: Rights,
    pub warn_s: u32,
    /// The box does not answer.
    pub lost: Option<String>,
}

impl Frame {
    /// For whoever is not logged in.
    pub fn bare(title: &'static str) -> Frame {
        Frame { title, version: assets::version(), ..Frame::default() }
    }

    /// For whoever is.
    pub async fn of(portal: &Portal, member: &Member, title: &'static str) -> Frame {
        let session = &member.session;
        let (rights, lost) = match portal.rights(&session.user).await {
            Ok(rights) => (rights, None),
            Err(error) => (Rights::default(), Some(error.to_string())),
        };
        Frame {
            user: Some(session.user.clone()),
            csrf: session.csrf.clone(),
            rights,
            lost,
            warn_s: portal.config.login.warn_seconds,
            ..Frame::bare(title)
        }
    }
}

/// A page as an answer.
pub fn html(page: &impl Template) -> Result<Html<String>, Fault> {
    Ok(Html(page.render()?))
}

/// A page with what was sealed: wiped once it is sent.
pub fn html_wiped(page: &impl Template) -> Result<Response, Fault> {
    // With room enough, so that no half of it is left behind where it grew.
    let mut text = Zeroizing::new(String::with_capacity(PAGE_BYTES));
    page.render_into(&mut *text)?;
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    Ok((kind, Bytes::from_owner(text)).into_response())
}

#[derive(Template)]
#[template(path = "fault.html")]
pub struct FaultPage {
    pub frame: Frame,
    pub said: String,
}

#[derive(Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    pub frame: Frame,
    pub name: String,
    pub said: &'static str,
    pub failed: bool,
}

#[derive(Template)]
#[template(path = "forgot.html")]
pub struct ForgotPage {
    pub frame: Frame,
    pub said: &'static str,
}

#[derive(Template)]
#[template(path = "reset.html")]
pub struct ResetPage {
    pub frame: Frame,
    /// Empty: the link is no good.
    pub secret: String,
    pub said: String,
}

#[derive(Template)]
#[template(path = "password.html")]
pub struct PasswordPage {
    pub frame: Frame,
    pub said: String,
}

/// A user-defined field and whether it may be set now.
pub struct FieldRow {
    pub number: u8,
    pub label: String,
    pub open: bool,
}

/// A button of the agent's page.
pub struct Button {
    pub act: &'static str,
    pub text: &'static str,
    pub key: &'static str,
    pub open: bool,
}

#[derive(Template)]
#[template(path = "agent.html")]
pub struct AgentPage {
    pub frame: Frame,
    pub face: super::agent::Face,
    pub record: [Button; 2],
    pub blackout: [Button; 2],
    pub fields: Vec<FieldRow>,
    pub said: Option<super::agent::Said>,
}

/// A table of words.
pub struct Table {
    pub id: &'static str,
    pub title: &'static str,
    pub keys: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

#[derive(Template)]
#[template(path = "records.html")]
pub struct RecordsPage {
    pub frame: Frame,
    pub rows: Vec<super::records::Row>,
    /// What was asked, in the order of the form.
    pub asked: [String; 8],
    pub said: String,
    /// There may be more.
    /// From where on older ones are found; none if these are all.
    pub before: Option<String>,
    /// This is no first page.
    pub later: bool,
    /// So many could not be looked into.
    pub sealed: usize,
    pub limit: usize,
}

impl RecordsPage {
    /// What was asked for, for the next page.
    fn kept(&self) -> Vec<(&'static str, &str)> {
        let names = ["from", "to", "agent", "device", "call", "ani", "dnis", "field"];
        let all = names.into_iter().zip(self.asked.iter().map(String::as_str));
        all.filter(|(_, value)| !value.is_empty()).collect()
    }
}

#[derive(Template)]
#[template(path = "record.html")]
pub struct RecordPage {
    pub frame: Frame,
    pub id: String,
    pub start: String,
    pub length: String,
    pub running: bool,
    /// Opened, so that it can be heard.
    pub open: bool,
    /// How loud it is comes by itself, later.
    pub later: bool,
    /// It has pictures that can be seen.
    pub film: bool,
    /// Why it has none, although there are some.
    pub dark: String,
    /// A screen was recorded.
    pub screen: bool,
    /// An identity has to be brought along first.
    pub key: bool,
    /// Under legal hold.
    pub hold: bool,
    /// Numbers and fields are not opened.
    pub sealed: bool,
    /// Why the identity at hand does not open them.
    pub closed: String,
    pub said: String,
    /// SVG, made of numbers.
    pub wave: String,
    pub facts: Vec<(&'static str, String)>,
    pub fields: Vec<(String, String)>,
    pub steps: Vec<super::records::Step>,
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
pub struct BoardPage {
    pub frame: Frame,
    pub said: String,
    pub tables: Vec<Table>,
}

/// An account, for who looks after them.
pub struct AccountRow {
    pub name: String,
    pub email: String,
    pub disabled: bool,
    pub sessions: usize,
}

#[derive(Template)]
#[template(path = "admin.html")]
pub struct AdminPage {
    pub frame: Frame,
    pub said: &'static str,
    pub bad: bool,
    pub tables: Vec<Table>,
    pub accounts: Vec<AccountRow>,
}
