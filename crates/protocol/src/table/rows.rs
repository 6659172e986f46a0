//! The entries of the command table, sorted by verb and form.
//!
//! To add a command, add its entry here, its variant in `command` and its parser in `parse_args`,
//! and let the test rewrite the manual. Only the arguments are checked; the replies and the help
//! are for users.

use super::{Entry, Parser, parse_args};
use crate::access::{Access, Rule};
use crate::arg::{Arg, ArgType, keyed, positional};
use crate::command::{Command, ConfigEdit};
use crate::kind::Kind;
use crate::permission::Permission;

/// What every command about records requires of users.
const RECORDS: Rule = Rule::AnyOf(&[Permission::RecordsOwn, Permission::RecordsAll]);

// Kinds of session, each with what it requires.
const ALL: &[Access] = &[
    Access::kind(Kind::Agent),
    Access::kind(Kind::Screen),
    Access::kind(Kind::Cti),
    Access::kind(Kind::Supervisor),
    Access::kind(Kind::Technician),
    Access::kind(Kind::Monitor),
];
/// What `hello` requires of the user it names, by the kind of session.
const HELLO: &[Access] = &[
    Access::user(Kind::Agent, &[Rule::AnyOnDemand]),
    Access::kind(Kind::Screen),
    Access::kind(Kind::Cti),
    Access::user(Kind::Supervisor, &[Rule::AnySupervisors]),
    Access::kind(Kind::Technician),
    Access::kind(Kind::Monitor),
];
const CTI: &[Access] = &[Access::kind(Kind::Cti)];
const SCREEN: &[Access] = &[Access::kind(Kind::Screen)];
const TECHNICIAN: &[Access] = &[Access::kind(Kind::Technician)];
/// Events are about all users.
const WATCHERS: &[Access] = &[
    Access::kind(Kind::Technician),
    Access::user(
        Kind::Supervisor,
        &[Rule::AnyOf(&[Permission::Monitor, Permission::RecordsAll, Permission::Admin])],
    ),
    Access::kind(Kind::Monitor),
];
const METERS: &[Access] = &[Access::kind(Kind::Technician), Access::kind(Kind::Monitor)];
const LINES: &[Access] =
    &[Access::kind(Kind::Technician), Access::kind(Kind::Monitor), Access::kind(Kind::Cti)];
const READERS: &[Access] = &[
    Access::user(Kind::Agent, &[RECORDS]),
    Access::user(Kind::Supervisor, &[RECORDS]),
    Access::kind(Kind::Technician),
];
const AGENT_BLACKOUT: &[Access] =
    &[Access::user(Kind::Agent, &[Rule::AnyOf(&[Permission::Blackout])])];
const AGENT_RECORD_START: &[Access] =
    &[Access::user(Kind::Agent, &[Rule::AnyOf(&[Permission::RecordStart])])];
const AGENT_RECORD_STOP: &[Access] = &[Access::user(
    Kind::Agent,
    &[Rule::AnyOf(&[Permission::RecordStop, Permission::RecordStopAny])],
)];
const AGENT_SCREEN: &[Access] = &[Access::user(Kind::Agent, &[Rule::AnyOf(&[Permission::Screen])])];
const AGENT_UPDATE: &[Access] = &[Access::user(Kind::Agent, &[Rule::UpdateOfField])];
const DELETERS: &[Access] =
    &[Access::user(Kind::Supervisor, &[Rule::AnyOf(&[Permission::Admin]), RECORDS])];
const PLAYERS: &[Access] = &[
    Access::user(Kind::Agent, &[Rule::PlayOrExport, RECORDS]),
    Access::user(Kind::Supervisor, &[Rule::PlayOrExport, RECORDS]),
];
const PROTECTORS: &[Access] = &[
    Access::user(Kind::Agent, &[Rule::AnyOf(&[Permission::Protect]), RECORDS]),
    Access::user(Kind::Supervisor, &[Rule::AnyOf(&[Permission::Protect]), RECORDS]),
];
const REDACTORS: &[Access] =
    &[Access::user(Kind::Supervisor, &[Rule::AnyOf(&[Permission::Redact]), RECORDS])];
const RECORDERS_OF_OTHERS: &[Access] = &[
    Access::user(Kind::Supervisor, &[Rule::AnyOf(&[Permission::RecordOthers])]),
    Access::kind(Kind::Cti),
];
const MASKERS_OF_OTHERS: &[Access] = &[
    Access::user(Kind::Supervisor, &[Rule::AnyOf(&[Permission::BlackoutOthers])]),
    Access::kind(Kind::Cti),
];

const DEVICE: Arg = keyed("device", "D", ArgType::Name);
const CALL: Arg = keyed("call", "ID", ArgType::Call);
const OWN_CALL: &[Arg] = &[CALL.optional()];
const RECORDING: Arg = positional("ID", ArgType::Name);
const CALL_ARGS: &[Arg] = &[
    DEVICE,
    CALL,
    keyed("of", "CALL", ArgType::Call).optional(),
    keyed("ani", "NUMBER", ArgType::NameOrUnknown).optional(),
    keyed("dnis", "NUMBER", ArgType::NameOrUnknown).optional(),
    keyed("direction", "in|out", ArgType::Direction).optional(),
    keyed("group", "NAME", ArgType::NameOrUnknown).optional(),
    keyed("gate", "NAME", ArgType::NameOrUnknown).optional(),
    keyed("agent", "USER", ArgType::Name).optional(),
];
const MEDIA: &[Arg] = &[
    RECORDING,
    keyed("from", "BYTE", ArgType::U64).optional(),
    keyed("for", "play|export", ArgType::Purpose).optional(),
    keyed("part", "sound|screen", ArgType::MediaPart).optional(),
];
const SHOW: &[Arg] = &[RECORDING, keyed("sealed", "on|off", ArgType::OnOff).optional()];
const BLACKOUT_ON: &str = "ok blackout=on recording=ID at=POS from=POS channels=3,4 took_us=N \
                           late_ms=N rate=N";
const BLACKOUT_OFF: &str = "ok blackout=off recording=ID from=POS to=POS";
const RECORD: &str = "ok recording=ID reasons=LIST state=on|off from=POS";

const fn entry(
    verb: &'static str,
    access: &'static [Access],
    args: &'static [Arg],
    parser: Parser,
) -> Entry {
    let (by, before_hello, data) = (None, false, false);
    Entry { verb, by, access, before_hello, args, data, reply: "ok", help: "", parser }
}

impl Entry {
    const fn by(mut self, key: &'static str) -> Entry {
        self.by = Some(key);
        self
    }
    const fn before_hello(mut self) -> Entry {
        self.before_hello = true;
        self
    }
    const fn with_data(mut self) -> Entry {
        self.data = true;
        self
    }
    const fn describe(mut self, reply: &'static str, help: &'static str) -> Entry {
        self.reply = reply;
        self.help = help;
        self
    }
}

/// Every command, sorted.
pub const TABLE: &[Entry] = &[
    entry("alarm clear", TECHNICIAN, &[positional("N", ArgType::U32)], parse_args::alarm_clear)
        .describe("ok", "clears an alarm; it is raised again if its cause remains"),
    entry("alarms", TECHNICIAN, &[], |_| Ok(Command::Alarms)).describe(
        "row alarm=N code=WORD severity=WORD since=T state=active|resolved text=TEXT",
        "lists the alarms, newest first",
    ),
    entry(
        "blackout start",
        AGENT_BLACKOUT,
        &[
            keyed("pressed_ms", "N", ArgType::U32).optional(),
            keyed("lead_ms", "N", ArgType::U32).optional(),
        ],
        parse_args::blackout_start,
    )
    .describe(
        BLACKOUT_ON,
        "masks the agent's call from lead_ms before the press until blackout stop; the press was \
         pressed_ms ago",
    ),
    entry(
        "blackout start",
        MASKERS_OF_OTHERS,
        &[keyed("agent", "USER", ArgType::Name), keyed("lead_ms", "N", ArgType::U32).optional()],
        parse_args::blackout_start_of,
    )
    .by("agent")
    .describe(BLACKOUT_ON, "masks the call of any agent"),
    entry("blackout stop", AGENT_BLACKOUT, &[], |_| Ok(Command::BlackoutStop { agent: None }))
        .describe(
            BLACKOUT_OFF,
            "ends the agent's blackout; the call stays masked while another client holds one",
        ),
    entry(
        "blackout stop",
        MASKERS_OF_OTHERS,
        &[keyed("agent", "USER", ArgType::Name)],
        parse_args::blackout_stop_of,
    )
    .by("agent")
    .describe(
        BLACKOUT_OFF,
        "ends a blackout that a session of this kind started, for any agent; a supervisor also \
         ends the blackout of an agent who was removed",
    ),
    entry("call hold", CTI, &[DEVICE, CALL], parse_args::call_hold).describe(
        "ok call=ID",
        "puts the call on hold; its audio is not recorded until call resume",
    ),
    entry("call resume", CTI, &[DEVICE, CALL], parse_args::call_resume)
        .describe("ok call=ID", "resumes a call on hold"),
    entry("call start", CTI, CALL_ARGS, parse_args::call_start).describe(
        "ok call=ID recording=ID|- schedule=NAME|-",
        "reports that a call begins on a device",
    ),
    entry("call stop", CTI, &[DEVICE, CALL], parse_args::call_stop)
        .describe("ok call=ID recordings=N", "reports that a call has ended"),
    entry("call update", CTI, CALL_ARGS, parse_args::call_update).describe(
        "ok call=ID",
        "changes the data of a call; keys that are left out stay unchanged",
    ),
    entry("calls", LINES, &[], |_| Ok(Command::Calls)).describe(
        "row device=D call=ID agent=USER since=T recording=ID reasons=LIST blackout=on|off \
         held=yes|no",
        "lists the current calls",
    ),
    entry("channels", LINES, &[], |_| Ok(Command::Channels)).describe(
        "row channel=N board=NAME device=D state=WORD level_db=N peak_db=N lost=N position=POS",
        "lists the channels with their levels; a blackout hides the level, too",
    ),
    entry("clients", TECHNICIAN, &[], |_| Ok(Command::Clients)).describe(
        "row session=N kind=KIND user=NAME machine=NAME from=ADDRESS since=T",
        "lists the sessions",
    ),
    entry(
        "clock confirm",
        TECHNICIAN,
        &[positional("DATE", ArgType::Word)],
        parse_args::clock_confirm,
    )
    .describe("ok time=T", "confirms the clock; DATE is today's date at the site, YYYY-MM-DD"),
    entry("clock show", TECHNICIAN, &[], |_| Ok(Command::ClockShow)).describe(
        "row time=T local_time=T proven=T state=confirmed|plausible|unconfirmed \
         time_sync=yes|no|unknown",
        "shows the clock, and the proven time by which recordings are deleted",
    ),
    entry("config check", TECHNICIAN, &[], |_| Ok(Command::ConfigCheck)).describe(
        "ok applied=- waits=LIST restart=yes|no [keys=LIST]",
        "checks the configuration file and reports its errors; changes nothing",
    ),
    entry(
        "config listen",
        TECHNICIAN,
        &[positional("ADDRESS", ArgType::Word), positional("plain|tls|off", ArgType::ListenMode)],
        parse_args::config_listen,
    )
    .describe(
        "ok restart=yes|no",
        "sets in the configuration file how the box listens at an address",
    ),
    entry(
        "config pin",
        TECHNICIAN,
        &[
            positional("NAME", ArgType::Name),
            keyed("pin", "PIN", ArgType::Word),
            keyed("new", "yes", ArgType::Yes).optional(),
        ],
        parse_args::config_pin,
    )
    .describe(
        "ok restart=no",
        "sets a technician's PIN at once; the configuration file stores its hash",
    ),
    entry(
        "config reload",
        TECHNICIAN,
        &[keyed("confirm", "yes", ArgType::Yes).optional()],
        parse_args::config_reload,
    )
    .describe(
        "ok applied=LIST waits=LIST restart=yes|no [keys=LIST]",
        "loads the configuration file; a file with errors changes nothing",
    ),
    entry("config restore", TECHNICIAN, &[], |_| Ok(Command::ConfigEdit(ConfigEdit::Restore)))
        .describe(
            "ok restart=no",
            "replaces a configuration file that cannot be used by the last one that worked",
        ),
    entry(
        "config set",
        TECHNICIAN,
        &[positional("KEY", ArgType::Setting), positional("VALUE", ArgType::Word)],
        parse_args::config_set,
    )
    .describe("ok restart=yes|no", "sets a key in the configuration file; comments stay"),
    entry("delete", DELETERS, &[RECORDING], parse_args::delete).describe(
        "ok recording=ID",
        "erases a recording permanently: its audio, its numbers and its fields; not \
             under legal hold, and not before its call has ended",
    ),
    entry("disk", METERS, &[], |_| Ok(Command::Disk)).describe(
        "ok free=BYTES used=BYTES records=N oldest=T days_left=N",
        "reports how full the disk is",
    ),
    entry(
        "enrol",
        TECHNICIAN,
        &[
            positional("MACHINE", ArgType::Name),
            keyed("kinds", "KIND,KIND", ArgType::Kinds).optional(),
        ],
        parse_args::enrol,
    )
    .describe("ok code=CODE", "makes an enrolment code for a workstation, valid for 15 minutes"),
    entry("enrol", &[], &[keyed("code", "CODE", ArgType::Word)], parse_args::enrol_code)
        .by("code")
        .before_hello()
        .with_data()
        .describe(
            "data BYTES, then ok machine=NAME kinds=LIST until=T",
            "exchanges a code and a signing request (CSR) for a certificate chain; only over TLS",
        ),
    entry("hello", HELLO, HELLO_ARGS, parse_args::hello).before_hello().describe(
        "ok session=N agent=NAME device=D field.N=LABEL",
        "opens the session as a kind and a user",
    ),
    entry("help", ALL, HELP_ARGS, parse_args::help).before_hello().describe(
        "row usage=TEXT help=TEXT",
        "lists commands; with a verb, describes all its forms",
    ),
    entry("keys", TECHNICIAN, &[], |_| Ok(Command::Keys)).describe(
        "row key=box|recipient|authority fingerprint=HEX public=KEY …",
        "lists the public keys that sign and that recordings are sealed to; no private key",
    ),
    entry("log level", TECHNICIAN, &[positional("LEVEL", ArgType::Level)], parse_args::log_level)
        .describe("ok", "sets the log level until the next start"),
    entry("media", PLAYERS, MEDIA, parse_args::media).describe(
        "data BYTES, then ok size=BYTES digest=HEX",
        "sends the media file of a recording or of its screen; the journal records who \
             fetched it, and for what",
    ),
    entry(
        "meters",
        METERS,
        &[
            keyed("from", "N", ArgType::U32).optional(),
            keyed("limit", "N", ArgType::U32).optional(),
        ],
        parse_args::meters,
    )
    .describe(
        "row channels=N,N level_db=N,N hold_db=N,N lost=N,N marks=WORD,WORD",
        "lists the levels of eight channels per row, for slow lines; a masked channel has no level",
    ),
    entry("ping", ALL, &[], |_| Ok(Command::Ping))
        .before_hello()
        .describe("ok time=T", "keeps the session open and returns the time"),
    entry(
        "protect",
        PROTECTORS,
        &[RECORDING, positional("on|off", ArgType::OnOff)],
        parse_args::protect,
    )
    .describe(
        "ok recording=ID protected=on|off",
        "puts a recording under legal hold, or ends the hold",
    ),
    entry("quit", ALL, &[], |_| Ok(Command::Quit))
        .before_hello()
        .describe("ok", "ends the session; a blackout stays on"),
    entry("reboot", TECHNICIAN, &[], |_| Ok(Command::Reboot))
        .describe("ok", "shuts down the box, then reboots the machine"),
    entry("record start", AGENT_RECORD_START, OWN_CALL, parse_args::record_start_own)
        .describe(RECORD, "records the agent's current call; with call=, only if it is that call"),
    entry("record start", RECORDERS_OF_OTHERS, &[DEVICE], parse_args::record_start)
        .by("device")
        .describe(RECORD, "records the current call of any device"),
    entry("record stop", AGENT_RECORD_STOP, OWN_CALL, parse_args::record_stop_own).describe(
        RECORD,
        "removes the agent's reason; the recording ends when no reason is left; with call=, only \
         in that call",
    ),
    entry("record stop", RECORDERS_OF_OTHERS, &[DEVICE], parse_args::record_stop)
        .by("device")
        .describe(
            RECORD,
            "removes the PBX's reason on any device; for a supervisor, removes every reason",
        ),
    entry("records", READERS, RECORDS_ARGS, parse_args::records).describe(
        "row recording=ID start=T duration_ms=N agent=USER device=D call=ID direction=in|out \
         reasons=LIST schedule=NAME blackouts=N lost=N protected=on|off size=BYTES \
         [clock=corrected|unconfirmed]",
        "lists recordings, newest first; ani=withheld and dnis=withheld find those without a \
         number",
    ),
    entry(
        "redact",
        REDACTORS,
        &[
            RECORDING,
            keyed("from_ms", "N", ArgType::U64),
            keyed("to_ms", "N", ArgType::U64),
            keyed("reason", "\"TEXT\"", ArgType::Value),
        ],
        parse_args::redact,
    )
    .describe(
        "ok recording=ID removed_from=POS removed_to=POS removed_frames=N screen_ms=N rate=N",
        "removes a range of a recording for good, in milliseconds after its start, with the whole \
         chunks of audio and of screen that it touches; not under legal hold, and not before its \
         call has ended",
    ),
    entry("revoke", TECHNICIAN, &[positional("MACHINE", ArgType::Name)], parse_args::revoke)
        .describe("ok", "revokes a workstation's certificate and closes its sessions at once"),
    entry("screen start", AGENT_SCREEN, &[], |_| Ok(Command::ScreenStart))
        .describe("ok recording=ID state=on", "records the agent's screen, with or without a call"),
    entry("screen stop", AGENT_SCREEN, &[], |_| Ok(Command::ScreenStop))
        .describe("ok recording=ID state=off", "ends the recording of the agent's screen"),
    entry("segment", SCREEN, SEGMENT, parse_args::segment)
        .with_data()
        .describe("ok", "uploads one segment of screen video"),
    entry("selftest", TECHNICIAN, &[], |_| Ok(Command::Selftest)).describe(
        "row test=NAME result=pass|fail|skip …, the last with digest=HEX sig=HEX key=HEX, then ok \
         passed=N failed=N",
        "tests channels, clocks, blackout, keys and disk in ten seconds; disturbs no recording",
    ),
    entry("show", READERS, SHOW, parse_args::show).describe(
        "row what=record|field|history|fetched|blackout|unmasked|removed|span|ledger|screen …",
        "shows one recording; agents see no fields and no history; with sealed=on, supervisors \
         also get the facts that the box cannot open",
    ),
    entry("shutdown", TECHNICIAN, &[], |_| Ok(Command::Shutdown)).describe(
        "ok",
        "shuts down the box: buffered audio is stored through the mask, recordings end",
    ),
    entry("sip", TECHNICIAN, &[], |_| Ok(Command::Sip)).describe(
        "row what=board|peer|call|leg board=NAME …",
        "lists the recording clients, their sessions, and what was lost on each leg",
    ),
    entry("stats", METERS, &[], |_| Ok(Command::Stats)).describe(
        "row name=NAME value=N",
        "lists the counters and histograms by their Prometheus names",
    ),
    entry("status", ALL, &[], |_| Ok(Command::Status))
        .describe("row …", "agents: the state as one row; others: box, boards, disk, alarms"),
    entry(
        "update",
        AGENT_UPDATE,
        &[
            positional("N", ArgType::U8),
            positional("VALUE", ArgType::Value),
            CALL.optional(),
            keyed("call_number", "NUMBER", ArgType::U64).optional(),
        ],
        parse_args::update,
    )
    .describe(
        "ok recording=ID",
        "sets user-defined field N, 1 to 15, of the agent's recording; call and call_number refuse \
         a value that was typed for another call",
    ),
    entry("watch", WATCHERS, &[keyed("from", "SEQ", ArgType::U64).optional()], parse_args::watch)
        .describe(
            "ok",
            "sends event lines from now on; with from, also earlier ones that the box still has",
        ),
];

const HELLO_ARGS: &[Arg] = &[
    positional("KIND", ArgType::Kind),
    keyed("user", "NAME", ArgType::Name).optional(),
    keyed("domain", "NAME", ArgType::Name).optional(),
    keyed("machine", "NAME", ArgType::Name).optional(),
    keyed("client", "NAME", ArgType::Name).optional(),
    keyed("pin", "PIN", ArgType::Word).optional(),
    keyed("via", "portal", ArgType::Portal).optional(),
];

const HELP_ARGS: &[Arg] =
    &[positional("VERB", ArgType::Verb).optional(), positional("VERB2", ArgType::Verb).optional()];

const RECORDS_ARGS: &[Arg] = &[
    keyed("from", "T", ArgType::Word).optional(),
    keyed("to", "T", ArgType::Word).optional(),
    keyed("agent", "USER", ArgType::Name).optional(),
    keyed("device", "D", ArgType::Name).optional(),
    keyed("call", "ID", ArgType::Call).optional(),
    keyed("ani", "NUMBER", ArgType::NameOrUnknown).optional(),
    keyed("dnis", "NUMBER", ArgType::NameOrUnknown).optional(),
    keyed("limit", "N", ArgType::U32).optional(),
];

const SEGMENT: &[Arg] = &[
    keyed("recording", "ID", ArgType::Name),
    keyed("start", "T", ArgType::Word),
    keyed("duration_ms", "N", ArgType::U32),
];
