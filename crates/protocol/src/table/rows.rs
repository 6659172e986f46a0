//! The entries of the command table, sorted by verb and form.
//!
//! To add a command, add its entry here, its variant in `command`, and let the test rewrite the
//! documentation. The replies and notes are for people; the arguments are what is checked.

use super::{Entry, Make};
use crate::arg::{Arg, Type, key, word};
use crate::command::{Command, make};
use crate::kind::Kind;

const ALL: &[Kind] = &Kind::ALL;
const AGENT: &[Kind] = &[Kind::Agent];
const CTI: &[Kind] = &[Kind::Cti];
const SCREEN: &[Kind] = &[Kind::Screen];
const TECHNICIAN: &[Kind] = &[Kind::Technician];
const OTHERS: &[Kind] = &[Kind::Supervisor, Kind::Cti];
const WATCHERS: &[Kind] = &[Kind::Technician, Kind::Supervisor, Kind::Monitor];
const METERS: &[Kind] = &[Kind::Technician, Kind::Monitor];
const LINES: &[Kind] = &[Kind::Technician, Kind::Monitor, Kind::Cti];
const READERS: &[Kind] = &[Kind::Agent, Kind::Supervisor, Kind::Technician];
const SUPERVISOR: &[Kind] = &[Kind::Supervisor];
const PLAYERS: &[Kind] = &[Kind::Agent, Kind::Supervisor];

const DEVICE: Arg = key("device", "D", Type::Name);
const CALL: Arg = key("call", "ID", Type::Call);
const RECORDING: Arg = word("ID", Type::Name);
const CALL_ARGS: &[Arg] = &[
    DEVICE,
    CALL,
    key("of", "CALL", Type::Call).optional(),
    key("ani", "NUMBER", Type::Known).optional(),
    key("dnis", "NUMBER", Type::Known).optional(),
    key("direction", "in|out", Type::Direction).optional(),
    key("group", "NAME", Type::Known).optional(),
    key("gate", "NAME", Type::Known).optional(),
    key("agent", "USER", Type::Name).optional(),
];
const MEDIA: &[Arg] = &[
    RECORDING,
    key("from", "BYTE", Type::U64).optional(),
    key("for", "play|export", Type::Purpose).optional(),
    key("part", "sound|screen", Type::Part).optional(),
];
const SHOW: &[Arg] = &[RECORDING, key("sealed", "on|off", Type::OnOff).optional()];
const BLACKOUT_ON: &str = "ok blackout=on recording=ID at=POS from=POS channels=3,4 took_us=N";
const BLACKOUT_OFF: &str = "ok blackout=off recording=ID from=POS to=POS";
const RECORD: &str = "ok recording=ID reasons=LIST state=on|off from=POS";

const fn entry(
    verb: &'static str,
    who: &'static [Kind],
    args: &'static [Arg],
    make: Make,
) -> Entry {
    let (by, before_hello, data) = (None, false, false);
    Entry { verb, by, who, before_hello, args, data, right: "", reply: "ok", help: "", make }
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
    const fn right(mut self, right: &'static str) -> Entry {
        self.right = right;
        self
    }
    const fn says(mut self, reply: &'static str, help: &'static str) -> Entry {
        self.reply = reply;
        self.help = help;
        self
    }
}

/// Every command, sorted.
pub const TABLE: &[Entry] = &[
    entry("alarm clear", TECHNICIAN, &[word("N", Type::U32)], make::alarm_clear)
        .says("ok", "takes an alarm off the list; it comes back if its cause does"),
    entry("alarms", TECHNICIAN, &[], |_| Ok(Command::Alarms)).says(
        "row alarm=N code=WORD severity=WORD since=T state=active|resolved text=TEXT",
        "lists the alarms, newest first",
    ),
    entry(
        "blackout start",
        AGENT,
        &[key("lead_ms", "N", Type::U32).optional()],
        make::blackout_start,
    )
    .right("blackout")
    .says(BLACKOUT_ON, "silences the own call from N ms ago until it is stopped"),
    entry(
        "blackout start",
        OTHERS,
        &[key("agent", "USER", Type::Name), key("lead_ms", "N", Type::U32).optional()],
        make::blackout_start_of,
    )
    .by("agent")
    .says(BLACKOUT_ON, "silences the call of any agent"),
    entry("blackout stop", AGENT, &[], |_| Ok(Command::BlackoutStop { agent: None }))
        .right("blackout")
        .says(BLACKOUT_OFF, "ends the own blackout; it goes on while somebody else holds it"),
    entry("blackout stop", OTHERS, &[key("agent", "USER", Type::Name)], make::blackout_stop_of)
        .by("agent")
        .says(BLACKOUT_OFF, "takes back a blackout of this kind for any agent"),
    entry("call hold", CTI, &[DEVICE, CALL], make::call_hold)
        .says("ok call=ID", "the call is put on hold: its audio is not kept until it is resumed"),
    entry("call resume", CTI, &[DEVICE, CALL], make::call_resume)
        .says("ok call=ID", "the call is heard again"),
    entry("call start", CTI, CALL_ARGS, make::call_start)
        .says("ok call=ID recording=ID|- schedule=NAME|-", "a call begins on a device"),
    entry("call stop", CTI, &[DEVICE, CALL], make::call_stop)
        .says("ok call=ID recordings=N", "the call ends"),
    entry("call update", CTI, CALL_ARGS, make::call_update)
        .says("ok call=ID", "changes what is known of a call; keys left out stay as they are"),
    entry("calls", LINES, &[], |_| Ok(Command::Calls)).says(
        "row device=D call=ID agent=USER since=T recording=ID reasons=LIST blackout=on|off \
         held=yes|no",
        "lists the calls that are going on",
    ),
    entry("channels", LINES, &[], |_| Ok(Command::Channels)).says(
        "row channel=N board=NAME device=D state=WORD level_db=N peak_db=N lost=N position=POS",
        "lists the channels with their levels, which a blackout silences too",
    ),
    entry("clients", TECHNICIAN, &[], |_| Ok(Command::Clients)).says(
        "row session=N kind=KIND user=NAME machine=NAME from=ADDRESS since=T",
        "lists the sessions",
    ),
    entry("config check", TECHNICIAN, &[], |_| Ok(Command::ConfigCheck))
        .says("ok", "reads the configuration file and says what is wrong; changes nothing"),
    entry(
        "config listen",
        TECHNICIAN,
        &[word("ADDRESS", Type::Word), word("plain|tls|off", Type::Door)],
        make::config_listen,
    )
    .says("ok restart=yes", "writes into the configuration file where the box can be reached"),
    entry(
        "config pin",
        TECHNICIAN,
        &[word("NAME", Type::Name), key("pin", "PIN", Type::Word)],
        make::config_pin,
    )
    .says(
        "ok restart=no",
        "sets a technician's PIN; the file gets its hash, and it counts at once",
    ),
    entry("config reload", TECHNICIAN, &[], |_| Ok(Command::ConfigReload))
        .says("ok", "takes the configuration file over; a bad file changes nothing"),
    entry(
        "config set",
        TECHNICIAN,
        &[word("KEY", Type::Setting), word("VALUE", Type::Word)],
        make::config_set,
    )
    .says("ok restart=yes|no", "writes a key into the configuration file; comments stay"),
    entry("delete", SUPERVISOR, &[RECORDING], make::delete)
        .right("admin, and records.own or records.all")
        .says(
            "ok recording=ID",
            "erases a recording for ever: its audio, its numbers and its fields; not one that is \
             under legal hold, nor one whose call is not over",
        ),
    entry("disk", METERS, &[], |_| Ok(Command::Disk)).says(
        "ok free=BYTES used=BYTES records=N oldest=T days_left=N",
        "says how full the disk is",
    ),
    entry(
        "enrol",
        TECHNICIAN,
        &[word("MACHINE", Type::Name), key("kinds", "KIND,KIND", Type::Kinds).optional()],
        make::enrol,
    )
    .says("ok code=CODE", "gives a one-time code (15 minutes) for a workstation's certificate"),
    entry("enrol", &[], &[key("code", "CODE", Type::Word)], make::enrol_code)
        .by("code")
        .before_hello()
        .with_data()
        .says(
            "data BYTES, then ok machine=NAME kinds=LIST until=T",
            "turns a code and a request (CSR) into a certificate chain, over TLS only",
        ),
    entry("hello", ALL, HELLO, make::hello)
        .before_hello()
        .right("an agent needs one on-demand permission")
        .says("ok session=N agent=NAME device=D field.N=LABEL", "says who this session is"),
    entry("help", ALL, HELP, make::help).before_hello().says(
        "row usage=TEXT help=TEXT",
        "lists commands; with a verb, all there is to know of it",
    ),
    entry("keys", TECHNICIAN, &[], |_| Ok(Command::Keys)).says(
        "row key=box|recipient|authority fingerprint=HEX public=KEY …",
        "lists what signs, and to whom recordings are sealed; never a secret",
    ),
    entry("log level", TECHNICIAN, &[word("LEVEL", Type::Level)], make::log_level)
        .says("ok", "changes how much is logged, until the next start"),
    entry("media", PLAYERS, MEDIA, make::media)
        .right("play, or export where that is what it is for, and records.own or records.all")
        .says(
            "data BYTES, then ok size=BYTES digest=HEX",
            "sends a recording's media file, or its screen's; the journal keeps who, and what for",
        ),
    entry(
        "meters",
        METERS,
        &[key("from", "N", Type::U32).optional(), key("limit", "N", Type::U32).optional()],
        make::meters,
    )
    .says(
        "row channels=N,N level_db=N,N hold_db=N,N lost=N,N marks=WORD,WORD",
        "levels of eight channels a row, small enough for a slow line; of a masked one only that",
    ),
    entry("ping", ALL, &[], |_| Ok(Command::Ping))
        .before_hello()
        .says("ok time=T", "keeps the session open and tells the time"),
    entry("protect", PLAYERS, &[RECORDING, word("on|off", Type::OnOff)], make::protect)
        .right("protect")
        .says(
            "ok recording=ID protected=on|off",
            "puts a recording under legal hold, or ends that",
        ),
    entry("quit", ALL, &[], |_| Ok(Command::Quit))
        .before_hello()
        .says("ok", "ends the session; a blackout stays on"),
    entry("reboot", TECHNICIAN, &[], |_| Ok(Command::Reboot))
        .says("ok", "stops the box in order, then starts the machine anew"),
    entry("record start", AGENT, &[], |_| Ok(Command::RecordStart { device: None }))
        .right("record.start")
        .says(RECORD, "records the own current call"),
    entry("record start", OTHERS, &[DEVICE], make::record_start)
        .by("device")
        .says(RECORD, "records the current call of any device"),
    entry("record stop", AGENT, &[], |_| Ok(Command::RecordStop { device: None }))
        .right("record.stop, record.stop-any")
        .says(RECORD, "takes the own reason away; the recording ends when none is left"),
    entry("record stop", OTHERS, &[DEVICE], make::record_stop)
        .by("device")
        .says(RECORD, "takes the PBX's reason away on any device; a supervisor takes every one"),
    entry("records", READERS, RECORDS, make::records).right("records.own or records.all").says(
        "row recording=ID start=T duration_ms=N agent=USER device=D call=ID direction=in|out \
         reasons=LIST schedule=NAME blackouts=N lost=N protected=on|off size=BYTES",
        "lists recordings, newest first",
    ),
    entry("revoke", TECHNICIAN, &[word("MACHINE", Type::Name)], make::revoke)
        .says("ok", "takes a workstation's certificate back and closes its sessions at once"),
    entry("screen start", AGENT, &[], |_| Ok(Command::ScreenStart))
        .right("screen")
        .says("ok recording=ID state=on", "records the own screen, with or without a call"),
    entry("screen stop", AGENT, &[], |_| Ok(Command::ScreenStop))
        .right("screen")
        .says("ok recording=ID state=off", "ends the recording of the own screen"),
    entry("segment", SCREEN, SEGMENT, make::segment)
        .with_data()
        .says("ok", "hands in one piece of screen video"),
    entry("selftest", TECHNICIAN, &[], |_| Ok(Command::Selftest)).says(
        "row test=NAME result=pass|fail|skip …, the last with digest=HEX sig=HEX key=HEX, then ok \
         passed=N failed=N",
        "tests channels, clocks, blackout, keys and disk in ten seconds; disturbs no recording",
    ),
    entry("show", READERS, SHOW, make::show).right("records.own or records.all").says(
        "row what=record|field|history|fetched|blackout|span|ledger|screen …",
        "shows one recording; an agent sees no field and no history; sealed=on (supervisor) gives \
         along what the box cannot open",
    ),
    entry("shutdown", TECHNICIAN, &[], |_| Ok(Command::Shutdown))
        .says("ok", "stops the box in order: rings are released through the mask, recordings end"),
    entry("stats", METERS, &[], |_| Ok(Command::Stats)).says(
        "row name=NAME value=N",
        "lists the counters and histograms, by their Prometheus names",
    ),
    entry("status", ALL, &[], |_| Ok(Command::Status))
        .says("row …", "agents: the state as one row; others: box, boards, disk, alarms"),
    entry("update", AGENT, &[word("N", Type::U8), word("VALUE", Type::Value)], make::update)
        .right("update.N")
        .says("ok recording=ID", "sets user-defined field N, 1 to 15, of the own recording"),
    entry("watch", WATCHERS, &[key("from", "SEQ", Type::U64).optional()], make::watch).says(
        "ok",
        "from now on event lines tell what happens; with from, also what did since, if remembered",
    ),
];

const HELLO: &[Arg] = &[
    word("KIND", Type::Kind),
    key("user", "NAME", Type::Name).optional(),
    key("domain", "NAME", Type::Name).optional(),
    key("machine", "NAME", Type::Name).optional(),
    key("client", "NAME", Type::Name).optional(),
    key("pin", "PIN", Type::Word).optional(),
    key("via", "portal", Type::Portal).optional(),
];

const HELP: &[Arg] = &[word("VERB", Type::Verb).optional(), word("VERB2", Type::Verb).optional()];

const RECORDS: &[Arg] = &[
    key("from", "T", Type::Word).optional(),
    key("to", "T", Type::Word).optional(),
    key("agent", "USER", Type::Name).optional(),
    key("device", "D", Type::Name).optional(),
    key("call", "ID", Type::Call).optional(),
    key("ani", "NUMBER", Type::Name).optional(),
    key("dnis", "NUMBER", Type::Name).optional(),
    key("limit", "N", Type::U32).optional(),
];

const SEGMENT: &[Arg] = &[
    key("recording", "ID", Type::Name),
    key("start", "T", Type::Word),
    key("duration_ms", "N", Type::U32),
];
