//! Checks across the whole file: references and uniqueness.
//!
//! An error prevents operation, such as two agents with the same phone. A warning is a problem
//! for some users only. A username that two agents share fails at their login (D2), but all other
//! agents must still be recorded.
//!
//! The checks change nothing except that they compute each agent's permissions from the roles.

use crate::calls::permission::{Permission, Permissions};
use crate::config::bounds::{CHANNELS_MAX, RINGS_MB_MAX, RINGS_MB_WARN};
use crate::config::error::{Diagnostics, quote_text, shorten_text, spelling_hint};
use crate::config::parse::ConfigDraft;
use crate::config::people::{PeopleDraft, RoleDraft};
use crate::config::sip::check_sip_boards;
use crate::config::table::Located;
use crate::config::{FIRST_SLOT_ID, ListenPlace, ListenSettings, ScheduleKind};
use protocol::name::fold_name;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Maximum names listed in an error: 8 of 40 characters, 80 bytes, fit a protocol line.
const NAMES_SHOWN_MAX: usize = 8;

/// Runs all checks that span more than one table.
pub(super) fn check_draft(draft: &mut ConfigDraft, notes: &mut Diagnostics) {
    check_listen(&draft.listen, notes);
    check_boards(draft, notes);
    let people = &mut draft.people;
    add_up_roles(people, notes);
    check_supervisors(people, notes);
    check_unique_names(people, notes);
    check_usernames(people, notes);
    check_phones(people, notes);
    check_references(draft, notes);
    let any = |kind| draft.people.schedules.iter().any(|found| found.schedule.kind == kind);
    if let Some(at) = draft.on_demand_at.filter(|_| !any(ScheduleKind::OnDemand)) {
        let text = "found true, but no [[schedule]] is of type on-demand: every record start \
                    will be refused (no-schedule)";
        notes.push_warning(at, "[on_demand] enabled", text.to_owned());
    }
}

/// Reports every text that equals an earlier one after `fold`. Empty texts are missing values and
/// never clash.
fn check_unique<'a>(
    found: impl Iterator<Item = &'a Located<String>>,
    key: &str,
    fold: fn(&str) -> String,
    notes: &mut Diagnostics,
) {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for text in found.filter(|text| !text.value.is_empty()) {
        match first.get(&fold(&text.value)) {
            Some(at) => {
                let line = notes.line_number(*at);
                let text_again = format!(
                    "found {} again, allowed once: line {line} has it",
                    quote_text(&text.value)
                );
                notes.push_conflict(text.offset, key, text_again);
            }
            None => {
                first.insert(fold(&text.value), text.offset);
            }
        }
    }
}

fn check_listen(listen: &[Located<ListenSettings>], notes: &mut Diagnostics) {
    if listen.is_empty() {
        notes.push_warning(0, "[[listen]]", "found none: no client can reach this box".to_owned());
    }
    for (index, found) in listen.iter().enumerate() {
        let clash = listen[..index].iter().find(|other| overlaps(&other.value, &found.value));
        if let Some(other) = clash {
            let text = format!(
                "found {} again, allowed once: line {} has {}",
                display_place(&found.value),
                notes.line_number(other.offset),
                display_place(&other.value)
            );
            notes.push_conflict(found.offset, "[[listen]]", text);
        }
    }
}

/// Whether the system refuses to open both listeners. `0.0.0.0` covers every IPv4 address, and
/// `[::]` every address.
fn overlaps(one: &ListenSettings, other: &ListenSettings) -> bool {
    match (one.place(), other.place()) {
        (ListenPlace::Tcp(one), ListenPlace::Tcp(other)) => is_same_place(one, other),
        (ListenPlace::File(one), ListenPlace::File(other)) => {
            let plain = |path: &Path| path.components().collect::<PathBuf>();
            plain(one) == plain(other)
        }
        _ => false,
    }
}

/// Whether the system refuses to open the second of two addresses of one protocol.
pub(super) fn is_same_place(one: SocketAddr, other: SocketAddr) -> bool {
    let covers =
        |wide: IpAddr, ip: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || ip.is_ipv4());
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    // Port 0 means any free port.
    one.port() == other.port() && one.port() != 0 && (a == b || covers(a, b) || covers(b, a))
}

fn display_place(listen: &ListenSettings) -> String {
    match listen.place() {
        ListenPlace::Tcp(address) => address.to_string(),
        ListenPlace::File(path) => quote_text(&path.display().to_string()),
    }
}

fn check_boards(draft: &ConfigDraft, notes: &mut Diagnostics) {
    check_unique(
        draft.boards.iter().map(|board| &board.name),
        "[[board]] name",
        str::to_owned,
        notes,
    );
    let channels = || draft.boards.iter().flat_map(|board| &board.channels);
    let ids: Vec<Located<String>> = channels()
        .filter_map(|channel| channel.id.as_ref())
        .map(|id| Located { offset: id.offset, value: id.value.to_string() })
        .collect();
    check_unique(ids.iter(), "[[board]] channels.id", str::to_owned, notes);
    let devices = channels().map(|channel| &channel.device);
    check_unique(devices, "[[board]] channels.device", str::to_owned, notes);
    check_channel_count(draft, notes);
    check_sip_boards(draft, notes);
    for board in &draft.boards {
        let mut first: BTreeMap<u16, usize> = BTreeMap::new();
        for slot in board.channels.iter().flat_map(|channel| &channel.slots) {
            if let Some(at) = first.get(&slot.value) {
                let line = notes.line_number(*at);
                let text = format!("found {} again, line {line} has it: heard twice", slot.value);
                notes.push_warning(slot.offset, "[[board]] channels.slots", text);
            }
            first.entry(slot.value).or_insert(slot.offset);
        }
    }
    let rings_bytes: u64 = draft.boards.iter().map(|b| b.ring_bytes(draft.holdback_ms())).sum();
    if let Some(last) = draft.boards.last().filter(|_| rings_bytes >> 20 > RINGS_MB_WARN) {
        let found = rings_bytes >> 20;
        let sum = "sides × 2 bytes × rate × (holdback_ms + 3 s)";
        if found > RINGS_MB_MAX {
            let text =
                format!("found rings of {found} MiB in all ({sum}), allowed {RINGS_MB_MAX} MiB");
            notes.push_conflict(last.name.offset, "[[board]] channels", text);
            return;
        }
        let text = format!(
            "found rings of {found} MiB in all ({sum}), more than {RINGS_MB_WARN} MiB of locked \
             memory"
        );
        notes.push_warning(last.name.offset, "[[board]] channels", text);
    }
}

/// Checks that all channels fit, and that none has the number of a slot.
fn check_channel_count(draft: &ConfigDraft, notes: &mut Diagnostics) {
    let channels = || draft.boards.iter().flat_map(|board| &board.channels);
    let slots: u16 = draft.boards.iter().fold(0, |sum, board| sum.saturating_add(board.slots()));
    let count = channels().count() + usize::from(slots);
    if count > CHANNELS_MAX {
        let one_more = channels().nth(CHANNELS_MAX).map(|channel| channel.device.offset);
        let (at, key, calls) = match draft.sip_boards().last() {
            Some((_, offsets)) => (offsets.calls, "[[board]] calls", ", with a channel a call"),
            None => (one_more.unwrap_or(0), "[[board]] channels", ""),
        };
        let text = format!("found {count} on all boards together{calls}, allowed {CHANNELS_MAX}");
        notes.push_conflict(at, key, text);
    }
    let taken = FIRST_SLOT_ID..FIRST_SLOT_ID.saturating_add(slots);
    for id in channels().filter_map(|channel| channel.id.as_ref()) {
        if taken.contains(&id.value) {
            let (first, last) = (taken.start, taken.end - 1);
            let text = format!(
                "found {}, allowed none of {first} to {last}, the channels of kind = \"sip\"",
                id.value
            );
            notes.push_conflict(id.offset, "[[board]] channels.id", text);
        }
    }
}

fn add_up_roles(people: &mut PeopleDraft, notes: &mut Diagnostics) {
    let names: Vec<&str> = people.roles.iter().map(|role| role.name.value.as_str()).collect();
    let rights: BTreeMap<&str, Permissions> =
        people.roles.iter().map(|role| (role.name.value.as_str(), role.permissions)).collect();
    for draft in &mut people.agents {
        for role in &draft.roles {
            match rights.get(role.value.as_str()) {
                Some(permissions) => draft.agent.permissions.add_all(*permissions),
                None => {
                    let text = unknown_role(&role.value, &names, notes);
                    notes.push_conflict(role.offset, "[[agent]] roles", text);
                }
            }
        }
    }
}

/// Warns about supervisors without permissions. Commands on behalf of other people once needed
/// none, so a file that grants no such permission may rely on that. If a role grants one, the
/// omission elsewhere is deliberate.
fn check_supervisors(people: &PeopleDraft, notes: &mut Diagnostics) {
    let for_others = |role: &RoleDraft| {
        let others = [Permission::RecordOthers, Permission::BlackoutOthers];
        others.iter().any(|permission| role.permissions.contains(*permission))
    };
    if people.roles.iter().any(for_others) {
        return;
    }
    let supervises = |role: &&RoleDraft| {
        let mut some = Permission::all().filter(|permission| permission.is_supervisors());
        some.any(|permission| role.permissions.contains(permission))
    };
    for role in people.roles.iter().filter(supervises) {
        let text = format!(
            "found {} without record.others and blackout.others, as in every other role: its \
             supervisors can neither record nor black out calls of other people",
            quote_text(&role.name.value)
        );
        notes.push_warning(role.name.offset, "[[role]] permissions", text);
    }
}

/// Formats `found "agnet" (did you mean agent?), allowed "agent", "supervisor"`.
fn unknown_role(word: &str, known: &[&str], notes: &Diagnostics) -> String {
    if known.is_empty() {
        return format!(
            "found {}, but there is no [[role]], allowed names of one",
            quote_text(word)
        );
    }
    let hint = if notes.is_full() { String::new() } else { spelling_hint(word, known) };
    let shown: Vec<String> =
        known.iter().take(NAMES_SHOWN_MAX).map(|name| quote_text(name)).collect();
    let more = if known.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
    format!("found {}{hint}, allowed {}{more}", quote_text(word), shown.join(", "))
}

fn check_unique_names(people: &PeopleDraft, notes: &mut Diagnostics) {
    check_unique(people.roles.iter().map(|role| &role.name), "[[role]] name", str::to_owned, notes);
    let machines = people.workstations.iter().map(|workstation| &workstation.machine);
    check_unique(machines, "[[workstation]] machine", fold_name, notes);
    let schedules = people.schedules.iter().map(|schedule| &schedule.name);
    check_unique(schedules, "[[schedule]] name", str::to_owned, notes);
    let technicians = people.technicians.iter().map(|technician| &technician.name);
    check_unique(technicians, "[[technician]] name", fold_name, notes);
}

/// Warns about a username shared by several agents (D2).
fn check_usernames(people: &PeopleDraft, notes: &mut Diagnostics) {
    let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, draft) in people.agents.iter().enumerate() {
        if !draft.username.value.is_empty() {
            all.entry(fold_name(&draft.username.value)).or_default().push(index);
        }
    }
    for several in all.values().filter(|several| several.len() > 1) {
        let agents = several.iter().map(|index| &people.agents[*index]);
        let who: Vec<String> = agents
            .clone()
            .take(NAMES_SHOWN_MAX)
            .map(|draft| format!("line {} ({})", draft.agent.line, draft.agent.name))
            .collect();
        let more = if several.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
        for draft in agents.skip(1) {
            let text = format!(
                "found {} for several agents: {}{more}; allowed once over all domains, their \
                 log-in will fail (duplicate-user)",
                quote_text(&draft.username.value),
                who.join(", ")
            );
            notes.push_warning(draft.username.offset, "[[agent]] username", text);
        }
    }
}

/// Reports two agents with the same phone, since their calls could not be attributed.
fn check_phones(people: &PeopleDraft, notes: &mut Diagnostics) {
    let mut owners: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for draft in &people.agents {
        for phone in &draft.phones {
            let Some((owner, at)) = owners.get(phone.value.as_str()) else {
                owners.insert(&phone.value, (&draft.username.value, phone.offset));
                continue;
            };
            let text = format!(
                "found {} on line {} and on line {} ({}), allowed for one agent only",
                quote_text(&phone.value),
                notes.line_number(phone.offset),
                notes.line_number(*at),
                shorten_text(owner).escape_debug()
            );
            notes.push_conflict(phone.offset, "[[agent]] phones", text);
        }
    }
}

/// Warns about unknown references; a warning only, because lists may be ahead of the file.
fn check_references(draft: &ConfigDraft, notes: &mut Diagnostics) {
    let people = &draft.people;
    let channels = draft.boards.iter().flat_map(|board| &board.channels);
    let mut on_boards: BTreeSet<&str> =
        channels.map(|channel| channel.device.value.as_str()).collect();
    let phones = people.agents.iter().flat_map(|draft| &draft.phones);
    let phones = phones.map(|phone| phone.value.as_str());
    for (sip, _) in draft.sip_boards() {
        on_boards.extend(sip.devices.iter().map(String::as_str));
        on_boards.extend(phones.clone().filter(|_| sip.devices.is_empty()));
    }
    let devices: BTreeSet<&str> = phones.chain(on_boards.iter().copied()).collect();
    let users: BTreeSet<String> =
        people.agents.iter().map(|draft| fold_name(&draft.username.value)).collect();
    for workstation in &people.workstations {
        let device = &workstation.device;
        if !device.value.is_empty() && !on_boards.contains(device.value.as_str()) {
            let text = format!("found {}, which is on no channel", quote_text(&device.value));
            notes.push_warning(device.offset, "[[workstation]] device", text);
        }
    }
    for schedule in &people.schedules {
        for user in schedule.users.iter().filter(|u| !users.contains(&fold_name(&u.value))) {
            let text = format!("found {}, which is no agent's username", quote_text(&user.value));
            notes.push_warning(user.offset, "[[schedule]] users", text);
        }
        for device in schedule.devices.iter().filter(|d| !devices.contains(d.value.as_str())) {
            let text =
                format!("found {}, on no channel and no agent's phone", quote_text(&device.value));
            notes.push_warning(device.offset, "[[schedule]] devices", text);
        }
    }
}
