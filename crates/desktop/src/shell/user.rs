//! Who is logged in, and where (requirement A11).
//!
//! The user is the one this process runs as. A domain is taken from a name such as `ACME\jdoe` or
//! `jdoe@acme.example`, as machines that are joined to a domain have them. Nothing here asks
//! anybody.

use crate::core::Person;

/// The agent at this machine.
#[must_use]
pub fn here() -> Person {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let (user, domain) = split(&user.map(|user| user.name).unwrap_or_default());
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let machine = host.map(|name| name.split('.').next().unwrap_or_default().to_owned());
    Person { user, domain, machine: machine.filter(|name| !name.is_empty()) }
}

fn split(name: &str) -> (String, Option<String>) {
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
        assert_eq!(split("jdoe"), pair("jdoe", None));
        assert_eq!(split("ACME\\jdoe"), pair("jdoe", Some("ACME")));
        assert_eq!(split("jdoe@acme.example"), pair("jdoe", Some("acme.example")));
        assert!(!here().user.is_empty());
    }
}
