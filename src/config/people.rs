//! Reads who and what the box knows besides its lines: roles, agents, workstations, schedules,
//! technicians.
//!
//! Every draft keeps where its words stand; what they refer to is looked up in `check`, when all
//! of the file has been read.
//!
//! Nothing here looks an agent up for a session (see `directory`), and no error quotes a PIN.

use crate::calls::permission::{Permission, Permissions};
use crate::config::bounds::*;
use crate::config::error::{Notes, hint, quote};
use crate::config::table::{At, Table};
use crate::config::{Agent, Direction, Schedule, ScheduleKind, Technician, Workstation};
use argon2::password_hash::phc::PasswordHash;

/// Everybody and everything of one file.
pub(super) struct People {
    pub roles: Vec<RoleDraft>,
    pub agents: Vec<AgentDraft>,
    pub workstations: Vec<WorkstationDraft>,
    pub schedules: Vec<ScheduleDraft>,
    pub technicians: Vec<TechnicianDraft>,
}

pub(super) struct RoleDraft {
    pub name: At<String>,
    pub permissions: Permissions,
}

pub(super) struct AgentDraft {
    /// Without permissions, until `check` has looked up the roles.
    pub agent: Agent,
    pub username: At<String>,
    pub phones: Vec<At<String>>,
    pub roles: Vec<At<String>>,
}

pub(super) struct WorkstationDraft {
    pub machine: At<String>,
    pub device: At<String>,
}

pub(super) struct ScheduleDraft {
    pub schedule: Schedule,
    pub name: At<String>,
    pub users: Vec<At<String>>,
    pub devices: Vec<At<String>>,
}

pub(super) struct TechnicianDraft {
    pub name: At<String>,
    pin: String,
}

impl From<WorkstationDraft> for Workstation {
    fn from(draft: WorkstationDraft) -> Workstation {
        Workstation { machine: draft.machine.value, device: draft.device.value }
    }
}

impl From<TechnicianDraft> for Technician {
    fn from(draft: TechnicianDraft) -> Technician {
        Technician { name: draft.name.value, pin: draft.pin }
    }
}

impl People {
    pub fn read(root: &mut Table<'_>, notes: &mut Notes) -> People {
        let roles = root.rows("role", ROLES_MAX);
        let agents = root.rows("agent", AGENTS_MAX);
        let workstations = root.rows("workstation", WORKSTATIONS_MAX);
        let schedules = root.rows("schedule", SCHEDULES_MAX);
        let technicians = root.rows("technician", TECHNICIANS_MAX);
        People {
            roles: roles.into_iter().map(|table| read_role(table, notes)).collect(),
            agents: agents.into_iter().map(|table| read_agent(table, notes)).collect(),
            workstations: workstations
                .into_iter()
                .map(|table| read_workstation(table, notes))
                .collect(),
            schedules: schedules.into_iter().map(|table| read_schedule(table, notes)).collect(),
            technicians: technicians
                .into_iter()
                .map(|table| read_technician(table, notes))
                .collect(),
        }
    }
}

fn values(found: &[At<String>]) -> Vec<String> {
    found.iter().map(|text| text.value.clone()).collect()
}

fn read_role(mut table: Table<'_>, notes: &mut Notes) -> RoleDraft {
    let name = table.need_text("name", &NAME);
    if !table.has("permissions") {
        table.missing("permissions", &format!("a list of {}", Permission::words()));
    }
    let mut permissions = Permissions::default();
    for word in table.texts("permissions", &TEXT, LIST_MAX) {
        match Permission::parse(&word.value) {
            Some(permission) => permissions.insert(permission),
            None => {
                let words = Permission::words();
                let known: Vec<&str> = words.split(", ").collect();
                let hint = if notes.is_full() { String::new() } else { hint(&word.value, &known) };
                let text = format!("found {}{hint}, allowed {words}", quote(&word.value));
                table.wrong(word.at, "permissions", text);
            }
        }
    }
    table.finish(notes);
    RoleDraft { name, permissions }
}

fn read_agent(mut table: Table<'_>, notes: &mut Notes) -> AgentDraft {
    let username = table.need_text("username", &USERNAME);
    let name = table.text("name", &NAME).map_or(username.value.clone(), |name| name.value);
    let phones = table.texts("phones", &NAME, LIST_MAX);
    let agent = Agent {
        username: username.value.clone(),
        domain: table.text("domain", &NAME).map(|domain| domain.value),
        name,
        phones: values(&phones),
        permissions: Permissions::default(),
        screen: table.flag_or("screen", false),
        workstations: values(&table.texts("workstations", &NAME, LIST_MAX)),
        line: notes.line(username.at),
        gone: false,
    };
    let roles = table.texts("roles", &NAME, ROLES_MAX);
    table.finish(notes);
    AgentDraft { agent, username, phones, roles }
}

fn read_workstation(mut table: Table<'_>, notes: &mut Notes) -> WorkstationDraft {
    let machine = table.need_text("machine", &NAME);
    let device = table.need_text("device", &NAME);
    table.finish(notes);
    WorkstationDraft { machine, device }
}

fn read_schedule(mut table: Table<'_>, notes: &mut Notes) -> ScheduleDraft {
    let kinds = [
        ("on-demand", ScheduleKind::OnDemand),
        ("percentage", ScheduleKind::Percentage),
        ("api", ScheduleKind::Api),
    ];
    let name = table.need_text("name", &NAME);
    let kind = table.need_word("type", &kinds);
    let users = table.texts("users", &NAME, LIST_MAX);
    let devices = table.texts("devices", &NAME, LIST_MAX);
    let (from, until) = (table.moment("from"), table.moment("until"));
    if let (Some(from), Some(until)) = (&from, &until)
        && until.value <= from.value
    {
        let text = format!("found {}, allowed after from, {}", until.value, from.value);
        table.unfit(until.at, "until", text);
    }
    let schedule = Schedule {
        name: name.value.clone(),
        kind: kind.map_or(ScheduleKind::OnDemand, |kind| kind.value),
        percent: table.number_or("percent", PERCENT, 100),
        priority: table.number_or("priority", PRIORITY, 0),
        retention_days: table.number_or("retention_days", RETENTION_DAYS, 90),
        from: from.map(|from| from.value),
        until: until.map(|until| until.value),
        users: values(&users),
        devices: values(&devices),
        groups: values(&table.texts("groups", &NAME, LIST_MAX)),
        gates: values(&table.texts("gates", &NAME, LIST_MAX)),
        directions: read_directions(&mut table),
    };
    table.finish(notes);
    ScheduleDraft { schedule, name, users, devices }
}

fn read_directions(table: &mut Table<'_>) -> Vec<Direction> {
    let mut directions = Vec::new();
    for word in table.texts("directions", &TEXT, LIST_MAX) {
        match word.value.as_str() {
            "in" => directions.push(Direction::In),
            "out" => directions.push(Direction::Out),
            other => {
                let text = format!("found {}, allowed \"in\", \"out\"", quote(other));
                table.wrong(word.at, "directions", text);
            }
        }
    }
    directions
}

fn read_technician(mut table: Table<'_>, notes: &mut Notes) -> TechnicianDraft {
    let name = table.need_text("name", &NAME);
    let has_pin = table.has("pin");
    let pin = table.text("pin", &SECRET);
    if let Some(pin) = pin.as_ref().filter(|pin| !is_pin_hash(&pin.value)) {
        let text = "found something else, allowed an argon2id hash, $argon2id$…, made by \
                    hushbox pin (at most 256 MiB, 16 passes, 16 lanes)";
        table.wrong(pin.at, "pin", text.to_owned());
    }
    if !has_pin {
        table.missing("pin", "an argon2id hash, $argon2id$…, made by hushbox pin");
    }
    table.finish(notes);
    TechnicianDraft { name, pin: pin.map_or(String::new(), |pin| pin.value) }
}

/// Whether it is a whole argon2id PHC string that costs no more than the box can spare.
fn is_pin_hash(text: &str) -> bool {
    let Ok(hash) = PasswordHash::new(text) else { return false };
    let Ok(cost) = argon2::Params::try_from(&hash) else { return false };
    let (m_kib, passes, lanes) = PIN_COST_MAX;
    hash.algorithm.as_str() == "argon2id"
        && hash.salt.is_some()
        && hash.hash.is_some()
        && cost.m_cost() <= m_kib
        && cost.t_cost() <= passes
        && cost.p_cost() <= lanes
}
