//! Schedules: which calls are recorded, and which may be recorded on demand.
//!
//! On-demand, percentage and API schedules are matched separately, so that none suppresses
//! another (D6). Among percentage schedules the highest priority wins, then the first in the
//! file; its draw is final. The draw depends on the call and the schedule only, so it is
//! repeatable.

use crate::config::{Direction, Schedule, ScheduleKind};
use crate::time::WallTime;
use protocol::name::is_same_name;

/// Attributes of a call for matching schedules.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallAttributes<'a> {
    pub user: Option<&'a str>,
    /// The agent's phones other than the device.
    pub phones: &'a [String],
    pub device: &'a str,
    pub group: Option<&'a str>,
    pub gate: Option<&'a str>,
    pub direction: Option<Direction>,
}

/// Schedules that match a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleMatch {
    /// Index of the schedule that allows on-demand recording (D4).
    pub on_demand: Option<usize>,
    pub api: Option<usize>,
    /// The winning percentage schedule, and whether its draw selects the call.
    pub percentage: Option<(usize, bool)>,
    /// Which schedules matched and why the winner won, for the call record.
    pub explanation: String,
}

/// Matches every schedule against a call. `draw` is a stable identifier of the call.
#[must_use]
pub fn match_schedules(
    schedules: &[Schedule],
    facts: CallAttributes<'_>,
    now: WallTime,
    draw: &str,
) -> ScheduleMatch {
    let fits: Vec<usize> =
        (0..schedules.len()).filter(|i| is_applicable(&schedules[*i], facts, now)).collect();
    let of = |kind| fits.iter().copied().filter(move |i| schedules[*i].kind == kind);
    let best = |kind| of(kind).min_by_key(|i| (std::cmp::Reverse(schedules[*i].priority), *i));
    let percentage = best(ScheduleKind::Percentage).map(|i| {
        let schedule = &schedules[i];
        (i, draw_percent(draw, &schedule.name) < u32::from(schedule.percent))
    });
    let mut result = ScheduleMatch {
        on_demand: best(ScheduleKind::OnDemand),
        api: best(ScheduleKind::Api),
        percentage,
        explanation: String::new(),
    };
    result.explanation = explain_match(schedules, &result, of(ScheduleKind::Percentage));
    result
}

/// Describes the winner with its priority and draw, and the other matches.
fn explain_match(
    schedules: &[Schedule],
    found: &ScheduleMatch,
    others: impl Iterator<Item = usize>,
) -> String {
    let mut parts = Vec::new();
    if let Some((winner, taken)) = found.percentage {
        let schedule = &schedules[winner];
        let result = if taken { "drawn" } else { "not drawn" };
        parts.push(format!(
            "{} won with priority {} ({} % {result})",
            schedule.name, schedule.priority, schedule.percent
        ));
        for other in others.filter(|i| *i != winner).take(4) {
            let other = &schedules[other];
            parts.push(format!("{} matched with priority {}", other.name, other.priority));
        }
    }
    if let Some(i) = found.on_demand {
        parts.push(format!("{} allows it on demand", schedules[i].name));
    }
    if let Some(i) = found.api {
        parts.push(format!("{} allows it by api", schedules[i].name));
    }
    parts.join("; ")
}

/// Returns the on-demand schedule for a desktop-only recording, which must match by user alone
/// (D4).
#[must_use]
pub fn match_user_schedule(schedules: &[Schedule], user: &str, now: WallTime) -> Option<usize> {
    let alone = |s: &Schedule| {
        s.kind == ScheduleKind::OnDemand
            && s.devices.is_empty()
            && s.groups.is_empty()
            && s.gates.is_empty()
            && s.directions.is_empty()
    };
    let facts = CallAttributes { user: Some(user), ..CallAttributes::default() };
    schedules.iter().position(|s| alone(s) && is_applicable(s, facts, now))
}

impl Schedule {
    /// Whether `now` is within the time of the schedule.
    #[must_use]
    pub fn is_active(&self, now: WallTime) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

/// Whether the schedule is active at `now` and all its requirements are met (D5).
fn is_applicable(schedule: &Schedule, facts: CallAttributes<'_>, now: WallTime) -> bool {
    let one_of = |list: &[String], value: Option<&str>| {
        list.is_empty() || value.is_some_and(|v| list.iter().any(|own| is_same_name(own, v)))
    };
    let device = one_of(&schedule.devices, Some(facts.device))
        || facts.phones.iter().any(|phone| schedule.devices.contains(phone));
    schedule.is_active(now)
        && device
        && one_of(&schedule.users, facts.user)
        && one_of(&schedule.groups, facts.group)
        && one_of(&schedule.gates, facts.gate)
        && (schedule.directions.is_empty()
            || facts.direction.is_some_and(|d| schedule.directions.contains(&d)))
}

/// Returns a number from 0 to 99 that depends on the call and the schedule only.
fn draw_percent(call: &str, schedule: &str) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"hushbox percentage draw\0").update(call.as_bytes());
    hasher.update(b"\0").update(schedule.as_bytes());
    let bytes = hasher.finalize();
    let mut word = [0; 8];
    word.copy_from_slice(&bytes.as_bytes()[..8]);
    // The remainder is below 100.
    (u64::from_le_bytes(word) % 100) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_schedule(name: &str, kind: ScheduleKind, percent: u8, priority: i32) -> Schedule {
        Schedule {
            name: name.into(),
            kind,
            percent,
            priority,
            retention_days: 30,
            from: None,
            until: None,
            users: Vec::new(),
            devices: Vec::new(),
            groups: Vec::new(),
            gates: Vec::new(),
            directions: Vec::new(),
        }
    }

    const NOW: WallTime = WallTime(1_800_000_000_000);

    #[test]
    fn d6_the_largest_priority_wins_then_the_earlier_and_its_draw_is_final() {
        let rules = [
            test_schedule("low", ScheduleKind::Percentage, 100, 1),
            test_schedule("none", ScheduleKind::Percentage, 0, 5),
            test_schedule("late", ScheduleKind::Percentage, 100, 5),
            test_schedule("own", ScheduleKind::OnDemand, 1, 1),
        ];
        let found = match_schedules(&rules, CallAttributes::default(), NOW, "c1");
        assert_eq!(found.percentage, Some((1, false)), "100 % of a lower one does not help");
        assert_eq!(found.on_demand, Some(3), "on demand is matched apart");
        assert!(
            found.explanation.contains("none won") && found.explanation.contains("low matched"),
            "{found:?}"
        );
    }

    #[test]
    fn d6_the_draw_is_repeatable_and_fair() {
        let rules = [test_schedule("third", ScheduleKind::Percentage, 33, 1)];
        let taken = |n: u32| {
            let call = format!("call-{n}");
            let first = match_schedules(&rules, CallAttributes::default(), NOW, &call);
            assert_eq!(first, match_schedules(&rules, CallAttributes::default(), NOW, &call));
            first.percentage == Some((0, true))
        };
        let count = (0..10_000).filter(|n| taken(*n)).count();
        assert!((3100..3500).contains(&count), "33 % took {count} of 10000");
    }

    #[test]
    fn d5_every_requirement_limits() {
        let mut rule = test_schedule("x", ScheduleKind::OnDemand, 100, 1);
        rule.users = vec!["jdoe".into()];
        rule.groups = vec!["sales".into()];
        rule.directions = vec![Direction::In];
        let facts = CallAttributes {
            user: Some("JDOE"),
            device: "1001",
            group: Some("sales"),
            direction: Some(Direction::In),
            ..CallAttributes::default()
        };
        let fits =
            |rule: &Schedule, facts| match_schedules(std::slice::from_ref(rule), facts, NOW, "c");
        assert_eq!(fits(&rule, facts).on_demand, Some(0));
        assert_eq!(fits(&rule, CallAttributes { user: None, ..facts }).on_demand, None);
        assert_eq!(fits(&rule, CallAttributes { group: Some("it"), ..facts }).on_demand, None);
        let out = CallAttributes { direction: Some(Direction::Out), ..facts };
        assert_eq!(fits(&rule, out).on_demand, None);
        assert_eq!(match_user_schedule(&[rule.clone()], "jdoe", NOW), None, "it needs a call");
        rule.until = Some(NOW);
        assert_eq!(fits(&rule, facts).on_demand, None, "until is exclusive");
    }
}
