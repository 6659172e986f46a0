//! Access rules: which kinds of session may use a command, and what each requires of its user.
//!
//! A row of the command table lists its `Access`es. Each states its requirement, and a kind that is
//! not listed is refused. Agents and supervisors are users with permissions. Other kinds have none:
//! `hello` has already checked their certificate, PIN or system user.
//!
//! The recorder stores which user has which permission.

use crate::code::{Code, Refusal};
use crate::command::Command;
use crate::kind::{Kind, Purpose};
use crate::permission::{FIELDS, Permission};
use std::fmt;

/// Access of one kind of session, with its requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub kind: Kind,
    pub requires: Requires,
}

/// Requirement of a command, in addition to the kind of session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requires {
    /// Every session of that kind may use the command.
    KindOnly,
    /// The session's user must meet all these rules.
    Permissions(&'static [Rule]),
}

/// One rule about a user's permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At least one of these permissions.
    AnyOf(&'static [Permission]),
    /// At least one on-demand permission.
    AnyOnDemand,
    /// At least one supervisor permission.
    AnySupervisors,
    /// `update.N` of the field that the command sets.
    UpdateOfField,
    /// `play`, or `export` with `for=export`.
    PlayOrExport,
}

impl Access {
    /// Admits every session of this kind.
    pub(crate) const fn kind(kind: Kind) -> Access {
        Access { kind, requires: Requires::KindOnly }
    }

    /// Admits sessions of this kind whose user meets all these rules.
    pub(crate) const fn user(kind: Kind, rules: &'static [Rule]) -> Access {
        Access { kind, requires: Requires::Permissions(rules) }
    }
}

impl Requires {
    /// Checks these rules; `has` returns whether the user holds a permission.
    ///
    /// # Errors
    /// `denied` if a permission is missing; `no-such-field` if no permission exists for the field.
    pub fn check(
        self,
        command: &Command<'_>,
        has: &dyn Fn(Permission) -> bool,
    ) -> Result<(), Refusal> {
        let Requires::Permissions(rules) = self else { return Ok(()) };
        rules.iter().try_for_each(|rule| match rule.is_met(command, has)? {
            true => Ok(()),
            false => Err(Refusal::new(
                Code::Denied,
                format!("this needs the permission {rule}; ask an administrator for it"),
            )),
        })
    }
}

impl Rule {
    fn is_met(
        self,
        command: &Command<'_>,
        has: &dyn Fn(Permission) -> bool,
    ) -> Result<bool, Refusal> {
        Ok(match self {
            Rule::AnyOf(some) => some.iter().any(|permission| has(*permission)),
            Rule::AnyOnDemand => Permission::all().filter(|right| right.is_on_demand()).any(has),
            Rule::AnySupervisors => {
                Permission::all().filter(|right| right.is_supervisors()).any(has)
            }
            Rule::UpdateOfField => {
                let Command::Update { field, .. } = command else { return Ok(false) };
                let permission = Permission::of_field(*field).ok_or_else(|| {
                    let text = format!("there is no field {field}; fields are 1 to {FIELDS}");
                    Refusal::new(Code::NoSuchField, text)
                })?;
                has(permission)
            }
            Rule::PlayOrExport => match command {
                Command::Media { purpose: Purpose::Play, .. } => has(Permission::Play),
                Command::Media { purpose: Purpose::Export, .. } => has(Permission::Export),
                _ => false,
            },
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::AnyOf(some) => write_joined(out, some.iter(), " or "),
            Rule::AnyOnDemand => out.write_str("record.start or any other on-demand one"),
            Rule::AnySupervisors => {
                let some = Permission::all().filter(|right| right.is_supervisors());
                write_joined(out, some, " or ")
            }
            Rule::UpdateOfField => out.write_str("update.N"),
            Rule::PlayOrExport => out.write_str("play (with for=export: export)"),
        }
    }
}

impl fmt::Display for Requires {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Requires::KindOnly => out.write_str("-"),
            Requires::Permissions(rules) => write_joined(out, rules.iter(), ", and "),
        }
    }
}

fn write_joined(
    out: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = impl fmt::Display>,
    between: &str,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.write_str(between)?;
        }
        write!(out, "{item}")?;
    }
    Ok(())
}
