//! The thread that has the connection to the box.
//!
//! It does as it is told: connect, send a line, drop the connection; and it tells what comes.
//! Commands are sent ahead, so that a blackout never waits for the answer to something else. Every
//! event carries the number of its attempt. A lost connection is told once.
//!
//! When to try again, and what anything means, is decided in `core`.

use super::Event;
use crate::core::LinkEvent;
use client::{Address, Connection, Heard, LinkError, News};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

/// For a connection and a greeting, per server.
const TIMEOUT: Duration = Duration::from_secs(5);

enum Order {
    Connect(u64, Vec<Address>),
    Close,
    Send(String),
}

/// The way to the thread.
pub struct Link {
    orders: Sender<Order>,
    bell: UnixStream,
}

impl Link {
    /// Starts the thread.
    pub fn start(events: Sender<Event>) -> Result<Link, std::io::Error> {
        let (orders, receiver) = channel();
        let (bell, heard) = UnixStream::pair()?;
        heard.set_nonblocking(true)?;
        let worker = Worker { orders: receiver, bell: heard, events, session: None };
        std::thread::Builder::new().name("link".to_owned()).spawn(move || worker.run())?;
        Ok(Link { orders, bell })
    }

    /// Drops the connection there is and tries these in order.
    pub fn connect(&mut self, epoch: u64, servers: Vec<Address>) {
        self.order(Order::Connect(epoch, servers));
    }

    /// Sends a line, if there is a connection.
    pub fn send(&mut self, line: String) {
        self.order(Order::Send(line));
    }

    /// Drops the connection.
    pub fn close(&mut self) {
        self.order(Order::Close);
    }

    fn order(&mut self, order: Order) {
        let sent = self.orders.send(order).is_ok() && self.bell.write_all(&[1]).is_ok();
        if !sent {
            log::error!("the thread of the connection is gone");
        }
    }
}

struct Worker {
    orders: Receiver<Order>,
    bell: UnixStream,
    events: Sender<Event>,
    session: Option<(u64, Connection)>,
}

impl Worker {
    fn run(mut self) {
        while self.obey() && self.listen() {}
    }

    /// Carries out what was ordered; whether there can be more.
    fn obey(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Connect(epoch, servers)) => {
                    self.session = None;
                    self.connect(epoch, &servers);
                }
                Ok(Order::Close) => self.session = None,
                Ok(Order::Send(line)) => {
                    let Some((_, connection)) = &mut self.session else { continue };
                    if let Err(error) = connection.send(&line) {
                        self.lost(&error);
                    }
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn connect(&mut self, epoch: u64, servers: &[Address]) {
        let event = match Connection::open(servers, TIMEOUT) {
            Ok(connection) => {
                let greeting = connection.greeting();
                let (name, boot) = (greeting.name.clone(), greeting.boot);
                let (server, tls) = (connection.address().to_string(), connection.is_tls());
                self.session = Some((epoch, connection));
                LinkEvent::Opened { name, server, boot, tls }
            }
            Err(error) => LinkEvent::Failed { why: error.to_string() },
        };
        self.tell(epoch, event);
    }

    /// Waits for the box or for an order, and takes what the box says; whether to go on.
    fn listen(&mut self) -> bool {
        if let Err(error) = self.hear() {
            self.lost(&error);
        }
        let mut ready = vec![PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
        if let Some((_, connection)) = &self.session {
            ready.push(PollFd::new(connection.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                log::error!("poll: {error}");
                return false;
            }
        }
        let mut rung = [0; 64];
        // Empty: it was the box. Closed: nobody can order anything any more.
        !matches!(self.bell.read(&mut rung), Ok(0))
    }

    /// Takes everything that is there.
    fn hear(&mut self) -> Result<(), LinkError> {
        let Some((epoch, connection)) = &mut self.session else { return Ok(()) };
        while let Some(heard) = connection.hear(Duration::ZERO)? {
            let event = match heard {
                Heard::Reply(reply) => LinkEvent::Reply(reply),
                Heard::News(News::State(state)) => LinkEvent::State(state),
                Heard::News(News::Capture(_) | News::Event(_)) => continue,
            };
            // Nobody hears us when the program ends.
            let _ = self.events.send(Event::Link(*epoch, event));
        }
        Ok(())
    }

    fn lost(&mut self, error: &LinkError) {
        if let Some((epoch, _)) = self.session.take() {
            self.tell(epoch, LinkEvent::Lost { why: error.to_string() });
        }
    }

    fn tell(&self, epoch: u64, event: LinkEvent) {
        // Nobody hears us when the program ends.
        let _ = self.events.send(Event::Link(epoch, event));
    }
}
