//! The `hello` command of a client.
//!
//! Names are sent as given; the box checks them. Nothing here reads a password store or asks a
//! user.

use protocol::Kind;
use protocol::reply;

/// The arguments of `hello` (requirement A11). A `None` is not sent. There is no `Debug`, because
/// a login may hold a PIN.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The kind of session.
    pub kind: Kind,
    /// The system username, without domain.
    pub user: Option<String>,
    /// The domain of the user.
    pub domain: Option<String>,
    /// The name of this workstation.
    pub machine: Option<String>,
    /// The PIN of a technician.
    pub pin: Option<String>,
    /// Whether the web portal logs in for a user.
    pub via_portal: bool,
    /// Name and version of the client program, such as `desk/0.1`.
    pub client: Option<String>,
}

impl Login {
    /// A login with only a kind.
    #[must_use]
    pub fn new(kind: Kind) -> Login {
        let (user, domain, machine, pin, client) = (None, None, None, None, None);
        Login { kind, user, domain, machine, pin, via_portal: false, client }
    }

    /// Formats the command as one line without its end. A value too long for a line is truncated,
    /// and the box then refuses the command.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut bytes = Vec::new();
        let mut line = reply::begin_line(&mut bytes, "hello").word(self.kind);
        let pairs = [
            ("user", &self.user),
            ("domain", &self.domain),
            ("machine", &self.machine),
            ("pin", &self.pin),
            ("client", &self.client),
        ];
        for (key, value) in pairs {
            if let Some(value) = value {
                line = line.pair(key, value);
            }
        }
        let line = if self.via_portal { line.pair("via", "portal") } else { line };
        line.end();
        bytes.pop();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Command;

    #[test]
    fn a11_hello_names_user_domain_and_machine() {
        let login = Login {
            user: Some("j doe".to_owned()),
            domain: Some("ACME".to_owned()),
            machine: Some("WS-042".to_owned()),
            client: Some("desk/0.1".to_owned()),
            ..Login::new(Kind::Agent)
        };
        let wanted = "hello agent user=\"j doe\" domain=ACME machine=WS-042 client=desk/0.1";
        assert_eq!(login.to_line(), wanted);
        assert_eq!(Login::new(Kind::Monitor).to_line(), "hello monitor");
        let portal = Login { via_portal: true, ..login };
        assert!(portal.to_line().ends_with(" via=portal"));
        let text = portal.to_line();
        assert!(matches!(Command::parse(&text), Ok(Command::Hello(hello)) if hello.via));
    }
}
