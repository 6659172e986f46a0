//! The workstation: connected to a box, idle until it says capture.
//!
//! One thread: hears what the box says, looks at the screen when that is wanted, hands pieces to
//! the coder, and sends what is ready. While a piece is being sent nothing is looked at, so a slow
//! network costs pictures, then pieces, and nothing else. A lost link forgets everything seen. When
//! the display is gone, or the session ends, what was seen is handed in before the program ends.

use crate::Args;
use crate::capture::{Capture, CaptureError, Look};
use crate::clock::{BoxClock, Patience, Steady, rest};
use crate::encoder_thread::Bench;
use crate::picture::Picture;
use crate::segment_builder::Film;
use crate::shutdown::Leave;
use crate::vpx::Vp9;
use crate::x11::X11;
use client::{Connection, LinkError, Login, News, Next, Retry, RetryMode};
use protocol::{CaptureState, Code, Kind};
use std::sync::Arc;
use std::time::Duration;

/// A server may take so long to greet.
const CONNECT: Duration = Duration::from_secs(5);
/// While nothing is captured, news are waited for so long at once.
const IDLE: Duration = Duration::from_secs(10);
/// A display answers within this, or never.
const DISPLAY: Duration = Duration::from_secs(30);
/// The clock is measured so often.
const PING_MS: i64 = 20_000;

/// What was seen is handed in within this and the holdback, or never.
const HAND_IN_MS: i64 = 10_000;

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("no thread to be had: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a link is over.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("refused: {word}: {text}")]
    Refused { word: String, text: String },
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("asked to go")]
    Asked,
}

/// Runs until the display is gone, or the session ends.
pub fn run(args: &Args) -> Result<(), StationError> {
    let leave = Leave::watch()?;
    let mut display = X11::open(args.display.as_deref())?;
    let mut retry = Retry::new(RetryMode::SelfHealing);
    let patience = Patience::start(DISPLAY, "the display does not answer")?;
    loop {
        let bench = Bench::start(Vp9)?;
        let film = Film::default();
        let mut station = Station {
            patience: &patience,
            leave: &leave,
            steady: Steady::start(),
            clock: BoxClock::default(),
            film,
            bench,
            pinged: i64::MIN,
            last: None,
            slow: false,
            skip: false,
        };
        match Connection::open(&args.servers, CONNECT) {
            Ok(mut link) => match station.serve(&mut link, args, &mut display, &mut retry) {
                Over::Capture(error) => return Err(error.into()),
                Over::Asked => return Ok(()),
                over => log::warn!("{}: {over}", link.address()),
            },
            Err(error) => log::warn!("{error}"),
        }
        display.forget();
        leave.busy(false);
        // What was seen went with the link: there is nothing to stay for.
        if leave.asked() {
            log::warn!("asked to go; what was not handed in yet is lost");
            return Ok(());
        }
        let pause_ms = match retry.failed(std::process::id()) {
            Next::Retry { in_ms, .. } | Next::Probe { in_ms } => in_ms,
            Next::Standby => 60_000,
        };
        rest(Duration::from_millis(pause_ms));
    }
}

struct Station<'a> {
    patience: &'a Patience,
    leave: &'a Leave,
    steady: Steady,
    clock: BoxClock,
    film: Film,
    bench: Bench,
    pinged: i64,
    /// What was seen last.
    last: Option<Arc<Picture>>,
    /// The box has too much: every other picture is left out.
    slow: bool,
    skip: bool,
}

impl Station<'_> {
    fn now(&self) -> i64 {
        self.steady.ms()
    }

    fn serve(
        &mut self,
        link: &mut Connection,
        args: &Args,
        display: &mut impl Capture,
        retry: &mut Retry,
    ) -> Over {
        let greeted = hello(link, args);
        if let Err(over) = greeted {
            return over;
        }
        log::info!("connected to {} at {}", link.greeting().name, link.address());
        retry.connected();
        loop {
            match self.turn(link, display) {
                Ok(()) => {}
                Err(over @ (Over::Capture(_) | Over::Asked)) => {
                    log::info!("{over}; what was seen is handed in");
                    return self.hand_in(link).err().unwrap_or(over);
                }
                Err(over) => return over,
            }
        }
    }

    fn turn(&mut self, link: &mut Connection, display: &mut impl Capture) -> Result<(), Over> {
        self.ping(link)?;
        let began = self.now();
        if self.film.wanted() {
            self.look(display)?;
        } else {
            if self.last.take().is_some() {
                display.forget();
            }
            self.ask(|| display.hear())?;
        }
        self.send(link)?;
        let busy = self.film.wanted() || self.bench.under_way > 0 || self.film.waits();
        self.leave.busy(busy);
        if self.leave.asked() {
            return Err(Over::Asked);
        }
        let pause = if busy { Duration::from_millis(self.film.pause_ms()) } else { IDLE };
        let spent = u64::try_from(self.now().saturating_sub(began)).unwrap_or(0);
        self.listen(link, pause.saturating_sub(Duration::from_millis(spent)))
    }

    /// Waits for news; whatever has come is heard before the next look.
    fn listen(&mut self, link: &mut Connection, pause: Duration) -> Result<(), Over> {
        let mut news = link.next_event(pause)?;
        while let Some(heard) = news {
            if let News::Capture(state) = heard {
                self.told(state);
            }
            news = link.next_event(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Nothing more is looked at. What was seen waits for the lead of a blackout as ever, which
    /// may still take it out, and is sent.
    fn hand_in(&mut self, link: &mut Connection) -> Result<(), Over> {
        self.film.end(self.box_now());
        let until = self.now().saturating_add(HAND_IN_MS).saturating_add(self.film.hold_ms());
        while self.film.waits() || self.bench.under_way > 0 {
            if self.now() > until {
                log::warn!("not all that was seen could be handed in");
                break;
            }
            self.send(link)?;
            self.listen(link, Duration::from_millis(self.film.pause_ms()))?;
        }
        Ok(())
    }

    /// Asks something of the display, which may never answer.
    fn ask<T>(&self, what: impl FnOnce() -> T) -> T {
        self.patience.begin(self.now());
        let answer = what();
        self.patience.end();
        answer
    }

    fn told(&mut self, state: CaptureState) {
        let now = self.box_now();
        let since = state.since.parse::<jiff::Timestamp>();
        let since = since.map_or(now, jiff::Timestamp::as_millisecond);
        let word = if state.capture { "capturing" } else { "not capturing" };
        log::info!("{word}, blackout {}", protocol::state::on_off(state.blackout));
        self.film.told(state, since, now);
    }

    /// Milliseconds on the box's clock.
    fn box_now(&self) -> i64 {
        self.clock.at(self.now()).unwrap_or(0)
    }

    fn ping(&mut self, link: &mut Connection) -> Result<(), Over> {
        if self.now().saturating_sub(self.pinged) < PING_MS {
            return Ok(());
        }
        self.pinged = self.now();
        // The first measures are several: the best of them counts.
        let times = if self.clock.at(0).is_none() { 4 } else { 1 };
        for _ in 0..times {
            let asked = self.now();
            let reply = link.ask("ping")?;
            let said = reply.outcome.ok().and_then(|ok| ok.get("time").map(str::to_owned));
            let said = said.and_then(|time| time.parse::<jiff::Timestamp>().ok());
            if let Some(said) = said {
                self.clock.measured(asked, said.as_millisecond(), self.now());
            }
        }
        Ok(())
    }

    fn look(&mut self, display: &mut impl Capture) -> Result<(), Over> {
        let now = self.box_now();
        self.film.turn(now);
        if self.film.is_black(now) {
            // What was seen before is not shown afterwards: everything is looked at anew.
            self.last = None;
            display.forget();
            self.ask(|| display.hear())?;
            if self.film.needs_picture() {
                let black = Picture::black_of(display.size(), self.film.scale());
                self.film.see(now, Arc::new(black));
            }
            return Ok(());
        }
        self.skip = self.slow && !self.skip;
        if self.skip {
            return Ok(());
        }
        let look = self.ask(|| display.look())?;
        if look == Look::Unsettled {
            self.last = None;
            self.film.end(now);
            return Ok(());
        }
        // What was seen was there before it was fetched.
        if look == Look::Changed || self.last.is_none() {
            let picture = Arc::new(display.canvas().picture(self.film.scale()));
            self.film.see(now, Arc::clone(&picture));
            self.last = Some(picture);
        } else if let Some(last) = self.last.as_ref().filter(|_| self.film.needs_picture()) {
            self.film.see(now, Arc::clone(last));
        }
        Ok(())
    }

    fn send(&mut self, link: &mut Connection) -> Result<(), Over> {
        let now = self.box_now();
        while self.bench.has_room() {
            let Some(part) = self.film.due(now) else { break };
            self.bench.give(part);
        }
        while let Some(piece) = self.bench.next() {
            if piece.file.is_empty() || piece.duration_ms <= 0 {
                continue;
            }
            let start = jiff::Timestamp::from_millisecond(piece.from).unwrap_or_default();
            let (recording, length) = (&piece.recording, piece.duration_ms);
            let line =
                format!("segment recording={recording} start={start:.3} duration_ms={length}");
            let file = zeroize::Zeroizing::new(piece.file);
            match link.ask_with_data(&line, &file) {
                Ok(reply) => self.answered(reply.outcome.err()),
                Err(LinkError::Send(error)) => log::warn!("a piece is lost: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn answered(&mut self, refused: Option<protocol::client::Failure>) {
        self.slow = refused.as_ref().is_some_and(|why| why.code() == Some(Code::Busy));
        if let Some(why) = refused {
            log::warn!("the box refused a piece: {}: {}", why.word, why.text);
        }
    }
}

fn hello(link: &mut Connection, args: &Args) -> Result<(), Over> {
    let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let of_user = || {
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
        user.map(|user| user.name)
    };
    // Over TLS the certificate names the machine.
    let machine = args.machine.clone().or_else(|| if link.is_tls() { None } else { host() });
    let login = Login {
        user: args.user.clone().or_else(of_user),
        domain: args.domain.clone(),
        machine,
        client: Some(concat!("screen/", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Login::new(Kind::Screen)
    };
    let reply = link.ask(&login.line())?;
    reply.outcome.map(|_| ()).map_err(|why| Over::Refused { word: why.word, text: why.text })
}
