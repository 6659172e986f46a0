//! The logged-in user, and the host (requirement A11).
//!
//! The user is the one that this process runs as. On machines that are joined to a domain, the name
//! has the form `ACME\jdoe` or `jdoe@acme.example`, and the domain is taken from it.

use crate::core::LoggedInUser;

/// The user of this process.
#[must_use]
pub fn read_logged_in_user() -> LoggedInUser {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let (user, domain) = split_domain(&user.map(|user| user.name).unwrap_or_default());
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let machine = host.map(|name| name.split('.').next().unwrap_or_default().to_owned());
    LoggedInUser { user, domain, machine: machine.filter(|name| !name.is_empty()) }
}

fn split_domain(name: &str) -> (String, Option<String>) {
    if let Some((domain, user)) = name.split_once(['\\', '+']) {
        return (user.to_owned(), Some(domain.to_owned()));
    }
    match name.split_once('@') {
        Some((user, domain)) => (user.to_owned(), Some(domain.to_owned())),
        None => (name.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_the_domain_is_taken_from_the_name() {
        let pair = |user: &str, domain: Option<&str>| (user.to_owned(), domain.map(str::to_owned));
        assert_eq!(split_domain("jdoe"), pair("jdoe", None));
        assert_eq!(split_domain("ACME\\jdoe"), pair("jdoe", Some("ACME")));
        assert_eq!(split_domain("jdoe@acme.example"), pair("jdoe", Some("acme.example")));
        assert!(!read_logged_in_user().user.is_empty());
    }
}
