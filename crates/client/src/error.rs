//! Errors of a connection.

use crate::happy_eyeballs::ConnectError;
use crate::keyring::KeyringError;
use protocol::client::{Failure, ProtocolError, SendError};
use rustls::{AlertDescription, CertificateError, Error};
use std::io::ErrorKind;
use std::time::Duration;

/// Why a connection could not be opened or has ended, or why a command was not sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(std::io::Error),
    /// No address of the host accepted a connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The name lookup failed.
    #[error("the host name cannot be looked up: {0}; check the name and the network")]
    Name(std::io::Error),
    /// The box closed the connection without a reason.
    #[error("the box closed the connection")]
    Closed,
    /// The box closed the connection and sent a reason.
    #[error("the box closed the connection: {}: {}", .0.word, .0.text)]
    ClosedByBox(Failure),
    /// The box sent nothing within the timeout.
    #[error("the box sent no answer within {timeout:?}")]
    Silent {
        /// How long the client waited.
        timeout: Duration,
    },
    /// The TLS session failed: the client does not trust the box, or the box the client.
    #[error("{}", describe_tls_error(.0))]
    Tls(std::io::Error),
    /// The certificates for this box cannot be used.
    #[error("{0}")]
    Keyring(#[from] KeyringError),
    /// The other side is not a box, or speaks another version of the protocol.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// The command was not sent. The connection can still be used.
    #[error("the command was not sent: {0}")]
    Send(#[from] SendError),
}

impl From<std::io::Error> for ConnectionError {
    fn from(error: std::io::Error) -> ConnectionError {
        // `rustls` errors come as invalid data, see `stream::invalid_data`.
        if error.kind() == ErrorKind::InvalidData {
            return ConnectionError::Tls(error);
        }
        ConnectionError::Io(error)
    }
}

fn describe_tls_error(error: &std::io::Error) -> String {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return error.to_string();
    };
    match inner {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server certificate is not signed by the CA pinned at enrolment (possible \
             man-in-the-middle); if the box is new, enrol this workstation again"
                .to_owned()
        }
        Error::InvalidCertificate(error) => {
            format!("the server certificate is not valid ({error}); check this machine's clock")
        }
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            "the box does not accept this workstation's certificate; enrol it again".to_owned()
        }
        Error::InvalidMessage(_) => {
            format!("the server does not speak TLS ({inner}); check the port")
        }
        other => format!("TLS failed: {other}"),
    }
}
