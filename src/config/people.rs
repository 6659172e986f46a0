//! Reads roles, agents, workstations, schedules and technicians.
//!
//! Each draft keeps the offsets of its values; `check` resolves the references once the whole
//! file is read. No error quotes a PIN.

use crate::calls::permission::{self, Permission, Permissions};
use crate::config::bounds::*;
use crate::config::error::{Diagnostics, quote_text, spelling_hint};
use crate::config::table::{Located, TableReader};
use crate::config::{Agent, Direction, Schedule, ScheduleKind, Technician, Workstation};
use argon2::password_hash::phc::PasswordHash;

/// All people, workstations and schedules of one file.
pub(super) struct PeopleDraft {
    pub roles: Vec<RoleDraft>,
    pub agents: Vec<AgentDraft>,
    pub workstations: Vec<WorkstationDraft>,
    pub schedules: Vec<ScheduleDraft>,
    pub technicians: Vec<TechnicianDraft>,
}

pub(super) struct RoleDraft {
    pub name: Located<String>,
    pub permissions: Permissions,
}

pub(super) struct AgentDraft {
    /// The agent, without permissions until `check` resolves the roles.
    pub agent: Agent,
    pub username: Located<String>,
    pub phones: Vec<Located<String>>,
    pub roles: Vec<Located<String>>,
}

pub(super) struct WorkstationDraft {
    pub machine: Located<String>,
    pub device: Located<String>,
}

pub(super) struct ScheduleDraft {
    pub schedule: Schedule,
    pub name: Located<String>,
    pub users: Vec<Located<String>>,
    pub devices: Vec<Located<String>>,
}

pub(super) struct TechnicianDraft {
    pub name: Located<String>,
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

impl PeopleDraft {
    pub fn from_root(root: &mut TableReader<'_>, notes: &mut Diagnostics) -> PeopleDraft {
        let roles = root.read_rows("role", ROLES_MAX);
        let agents = root.read_rows("agent", AGENTS_MAX);
        let workstations = root.read_rows("workstation", WORKSTATIONS_MAX);
        let schedules = root.read_rows("schedule", SCHEDULES_MAX);
        let technicians = root.read_rows("technician", TECHNICIANS_MAX);
        PeopleDraft {
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

fn clone_values(found: &[Located<String>]) -> Vec<String> {
    found.iter().map(|text| text.value.clone()).collect()
}

fn read_role(mut table: TableReader<'_>, notes: &mut Diagnostics) -> RoleDraft {
    let name = table.require_text("name", &NAME);
    if !table.has_key("permissions") {
        table.report_missing("permissions", &format!("a list of {}", permission::words()));
    }
    let mut permissions = Permissions::default();
    for word in table.read_texts("permissions", &TEXT, LIST_MAX) {
        match Permission::parse(&word.value) {
            Some(permission) => permissions.insert(permission),
            None => {
                let words = permission::words();
                let known: Vec<&str> = words.split(", ").collect();
                let hint = if notes.is_full() {
                    String::new()
                } else {
                    spelling_hint(&word.value, &known)
                };
                let text = format!("found {}{hint}, allowed {words}", quote_text(&word.value));
                table.report_invalid(word.offset, "permissions", text);
            }
        }
    }
    table.finish(notes);
    RoleDraft { name, permissions }
}

fn read_agent(mut table: TableReader<'_>, notes: &mut Diagnostics) -> AgentDraft {
    let username = table.require_text("username", &USERNAME);
    let name = table.read_text("name", &NAME).map_or(username.value.clone(), |name| name.value);
    let phones = table.read_texts("phones", &NAME, LIST_MAX);
    let agent = Agent {
        username: username.value.clone(),
        domain: table.read_text("domain", &NAME).map(|domain| domain.value),
        name,
        phones: clone_values(&phones),
        permissions: Permissions::default(),
        screen: table.read_flag_or("screen", false),
        workstations: clone_values(&table.read_texts("workstations", &NAME, LIST_MAX)),
        line: notes.line_number(username.offset),
        is_removed: false,
    };
    let roles = table.read_texts("roles", &NAME, ROLES_MAX);
    table.finish(notes);
    AgentDraft { agent, username, phones, roles }
}

fn read_workstation(mut table: TableReader<'_>, notes: &mut Diagnostics) -> WorkstationDraft {
    let machine = table.require_text("machine", &NAME);
    let device = table.require_text("device", &NAME);
    table.finish(notes);
    WorkstationDraft { machine, device }
}

fn read_schedule(mut table: TableReader<'_>, notes: &mut Diagnostics) -> ScheduleDraft {
    let kinds = [
        ("on-demand", ScheduleKind::OnDemand),
        ("percentage", ScheduleKind::Percentage),
        ("api", ScheduleKind::Api),
    ];
    let name = table.require_text("name", &NAME);
    let kind = table.require_word("type", &kinds);
    let users = table.read_texts("users", &NAME, LIST_MAX);
    let devices = table.read_texts("devices", &NAME, LIST_MAX);
    let (from, until) = (table.read_timestamp("from"), table.read_timestamp("until"));
    if let (Some(from), Some(until)) = (&from, &until)
        && until.value <= from.value
    {
        let text = format!("found {}, allowed after from, {}", until.value, from.value);
        table.report_conflict(until.offset, "until", text);
    }
    let schedule = Schedule {
        name: name.value.clone(),
        kind: kind.map_or(ScheduleKind::OnDemand, |kind| kind.value),
        percent: table.read_number_or("percent", PERCENT, 100),
        priority: table.read_number_or("priority", PRIORITY, 0),
        retention_days: table.read_number_or("retention_days", RETENTION_DAYS, 90),
        from: from.map(|from| from.value),
        until: until.map(|until| until.value),
        users: clone_values(&users),
        devices: clone_values(&devices),
        groups: clone_values(&table.read_texts("groups", &DETAIL, LIST_MAX)),
        gates: clone_values(&table.read_texts("gates", &DETAIL, LIST_MAX)),
        directions: read_directions(&mut table),
    };
    table.finish(notes);
    ScheduleDraft { schedule, name, users, devices }
}

fn read_directions(table: &mut TableReader<'_>) -> Vec<Direction> {
    let mut directions = Vec::new();
    for word in table.read_texts("directions", &TEXT, LIST_MAX) {
        match word.value.as_str() {
            "in" => directions.push(Direction::In),
            "out" => directions.push(Direction::Out),
            other => {
                let text = format!("found {}, allowed \"in\", \"out\"", quote_text(other));
                table.report_invalid(word.offset, "directions", text);
            }
        }
    }
    directions
}

fn read_technician(mut table: TableReader<'_>, notes: &mut Diagnostics) -> TechnicianDraft {
    let name = table.require_text("name", &NAME);
    let has_pin = table.has_key("pin");
    let pin = table.read_text("pin", &SECRET);
    if let Some(pin) = pin.as_ref().filter(|pin| !is_pin_hash(&pin.value)) {
        let text = "found something else, allowed an argon2id hash, $argon2id$…, made by \
                    hushbox pin (at most 256 MiB, 16 passes, 16 lanes)";
        table.report_invalid(pin.offset, "pin", text.to_owned());
    }
    if !has_pin {
        table.report_missing("pin", "an argon2id hash, $argon2id$…, made by hushbox pin");
    }
    table.finish(notes);
    TechnicianDraft { name, pin: pin.map_or(String::new(), |pin| pin.value) }
}

/// Whether the text is a complete argon2id PHC string with costs that the box can afford.
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
