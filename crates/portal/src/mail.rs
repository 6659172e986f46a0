//! The password reset e-mail.
//!
//! Sent over SMTP, with TLS unless the server is on this machine. Addresses are parsed, so they
//! cannot inject headers, and the e-mail contains no visitor input. A delivery failure is logged
//! and never shown to the visitor.

use crate::config::{MailConfig, MailTlsMode};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::time::Duration;

/// Time limit of an SMTP command.
const SMTP_TIMEOUT: Duration = Duration::from_secs(20);

/// Why an e-mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("{path}: {error}")]
    Password { path: std::path::PathBuf, error: std::io::Error },
    #[error("{0} is no address")]
    Address(String),
    #[error("the letter cannot be written: {0}")]
    Message(#[from] lettre::error::Error),
    #[error("the mail server: {0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
}

/// SMTP client and sender address.
#[derive(Clone, Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    pub fn new(mail: &MailConfig) -> Result<Mailer, MailError> {
        let from = mail.from.parse().map_err(|_| MailError::Address(mail.from.clone()))?;
        type Smtp = AsyncSmtpTransport<Tokio1Executor>;
        let builder = match mail.tls {
            MailTlsMode::Starttls => Smtp::starttls_relay(&mail.server)?,
            MailTlsMode::Tls => Smtp::relay(&mail.server)?,
            MailTlsMode::None => Smtp::builder_dangerous(&mail.server),
        };
        let mut builder = builder.port(mail.port).timeout(Some(SMTP_TIMEOUT));
        if let (Some(user), Some(path)) = (&mail.user, &mail.password_file) {
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|error| MailError::Password { path: path.clone(), error })?;
            let password =
                text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Mailer { transport: builder.build(), from })
    }

    /// Sends a reset link to an address.
    pub async fn send_link(&self, to: &str, link: &str, minutes: u32) -> Result<(), MailError> {
        let to: Mailbox = to.parse().map_err(|_| MailError::Address(to.to_owned()))?;
        let text = format!(
            "A new password was requested for Hushbox.\r\n\r\n\
             This link sets it. It works once, for {minutes} minutes:\r\n\r\n  {link}\r\n\r\n\
             If it was not you, do nothing: your password stays as it is.\r\n"
        );
        let letter = Message::builder().from(self.from.clone()).to(to);
        let letter = letter.subject("Your new password").header(ContentType::TEXT_PLAIN);
        let letter = letter.message_id(None).body(text)?;
        self.transport.send(letter).await?;
        Ok(())
    }
}
