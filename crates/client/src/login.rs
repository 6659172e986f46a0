//! The `hello` of a client: who it is, as one line.
//!
//! Names stand in it as they were given; the box judges them. Nothing here knows a password store
//! or asks a person.

use protocol::Kind;
use protocol::reply;

/// Who says hello (requirement A11). What is `None` is not sent. It may hold a PIN, so it cannot be
/// printed for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// What the session is.
    pub kind: Kind,
    /// System username, not fully qualified.
    pub user: Option<String>,
    /// Of the user.
    pub domain: Option<String>,
    /// Name of this workstation.
    pub machine: Option<String>,
    /// Of a technician.
    pub pin: Option<String>,
    /// On behalf of somebody at the web portal.
    pub via_portal: bool,
    /// Name and version of the program, `desk/0.1`.
    pub client: Option<String>,
}

impl Login {
    /// A login without anything but its kind.
    #[must_use]
    pub fn new(kind: Kind) -> Login {
        let (user, domain, machine, pin, client) = (None, None, None, None, None);
        Login { kind, user, domain, machine, pin, via_portal: false, client }
    }

    /// The command, one line without its end. A text too long for a line is cut; the box refuses
    /// it then.
    #[must_use]
    pub fn line(&self) -> String {
        let mut bytes = Vec::new();
        let mut line = reply::line(&mut bytes, "hello").word(self.kind);
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
        assert_eq!(login.line(), wanted);
        assert_eq!(Login::new(Kind::Monitor).line(), "hello monitor");
        let portal = Login { via_portal: true, ..login };
        assert!(portal.line().ends_with(" via=portal"));
        let text = portal.line();
        assert!(matches!(Command::parse(&text), Ok(Command::Hello(hello)) if hello.via));
    }
}
