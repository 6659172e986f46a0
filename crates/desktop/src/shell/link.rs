//! The connection to the box, in a thread of its own.
//!
//! The thread connects, sends lines and closes the connection on command, and reports each event
//! with the epoch of its connection. It sends commands without waiting for replies, so that a
//! blackout never waits for another command. It reports a lost connection once.
//!
//! `core` decides when to retry, and what an event means.

use super::event::Event;
use crate::core::LinkEvent;
use client::{Address, Connection, ConnectionError, Incoming, Notification};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

/// The time for connecting and for the greeting, for each server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

enum LinkCommand {
    Connect(u64, Vec<Address>),
    Close,
    Send(String),
}

/// The handle of the thread.
pub struct Link {
    commands: Sender<LinkCommand>,
    wake: UnixStream,
}

impl Link {
    /// Starts the thread.
    pub fn start(events: Sender<Event>) -> Result<Link, std::io::Error> {
        let (commands, receiver) = channel();
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let worker = LinkWorker { commands: receiver, woken, events, session: None };
        std::thread::Builder::new().name("link".to_owned()).spawn(move || worker.run())?;
        Ok(Link { commands, wake })
    }

    /// Closes the connection, and connects to the first of these servers that answers.
    pub fn connect(&mut self, epoch: u64, servers: Vec<Address>) {
        self.queue_command(LinkCommand::Connect(epoch, servers));
    }

    /// Sends a line, if there is a connection.
    pub fn send_line(&mut self, line: String) {
        self.queue_command(LinkCommand::Send(line));
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.queue_command(LinkCommand::Close);
    }

    fn queue_command(&mut self, command: LinkCommand) {
        let sent = self.commands.send(command).is_ok() && wake_thread(&mut self.wake).is_ok();
        if !sent {
            log::error!("the connection's thread has stopped; restart hushbox-desktop");
        }
    }
}

/// Wakes the thread. It may be busy with a server that does not answer, and is never waited for.
fn wake_thread(mut wake: impl Write) -> Result<(), std::io::Error> {
    match wake.write_all(&[1]) {
        // Full: the thread has not seen the last wake-up yet, and needs no other.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        written => written,
    }
}

struct LinkWorker {
    commands: Receiver<LinkCommand>,
    woken: UnixStream,
    events: Sender<Event>,
    session: Option<(u64, Connection)>,
}

impl LinkWorker {
    fn run(mut self) {
        while self.process_commands() && self.wait_and_receive() {}
    }

    /// Carries out the queued commands. Returns false when there will be no more.
    fn process_commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(LinkCommand::Connect(epoch, servers)) => {
                    self.session = None;
                    self.connect(epoch, &servers);
                }
                Ok(LinkCommand::Close) => self.session = None,
                Ok(LinkCommand::Send(line)) => {
                    let Some((_, connection)) = &mut self.session else { continue };
                    if let Err(error) = connection.send(&line) {
                        self.report_lost(&error);
                    }
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn connect(&mut self, epoch: u64, servers: &[Address]) {
        let event = match Connection::open(servers, CONNECT_TIMEOUT) {
            Ok(connection) => {
                let greeting = connection.greeting();
                let (name, boot) = (greeting.name.clone(), greeting.boot);
                let (server, tls) = (connection.address().to_string(), connection.is_tls());
                self.session = Some((epoch, connection));
                LinkEvent::Opened { name, server, boot, tls }
            }
            Err(error) => LinkEvent::Failed { reason: error.to_string() },
        };
        self.send_event(epoch, event);
    }

    /// Waits for the box or for a command, and receives what the box sent. Returns false when there
    /// will be no more commands.
    fn wait_and_receive(&mut self) -> bool {
        if let Err(error) = self.receive_all() {
            self.report_lost(&error);
        }
        let mut ready = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        if let Some((_, connection)) = &self.session {
            ready.push(PollFd::new(connection.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                log::error!("cannot wait for the box: poll: {error}");
                return false;
            }
        }
        let mut wake_ups = [0; 64];
        // Empty: the box has sent something. Closed: there will be no more commands.
        !matches!(self.woken.read(&mut wake_ups), Ok(0))
    }

    /// Receives everything that the box has sent.
    fn receive_all(&mut self) -> Result<(), ConnectionError> {
        let Some((epoch, connection)) = &mut self.session else { return Ok(()) };
        while let Some(incoming) = connection.recv(Duration::ZERO)? {
            let event = match incoming {
                Incoming::Reply(reply) => LinkEvent::Reply(reply),
                Incoming::Notification(Notification::State(state)) => LinkEvent::State(state),
                Incoming::Notification(Notification::Capture(_) | Notification::Event(_)) => {
                    continue;
                }
            };
            // The resident thread may have ended.
            let _ = self.events.send(Event::Link(*epoch, event));
        }
        Ok(())
    }

    fn report_lost(&mut self, error: &ConnectionError) {
        if let Some((epoch, _)) = self.session.take() {
            self.send_event(epoch, LinkEvent::Lost { reason: error.to_string() });
        }
    }

    fn send_event(&self, epoch: u64, event: LinkEvent) {
        // The resident thread may have ended.
        let _ = self.events.send(Event::Link(epoch, event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_busy_connecting_is_not_waited_for() {
        let (commands, waiting) = channel();
        let (wake, _unread) = UnixStream::pair().expect("a pair");
        wake.set_nonblocking(true).expect("a non-blocking socket");
        let mut link = Link { commands, wake };
        let (done, ended) = channel();
        std::thread::spawn(move || {
            for _ in 0..10_000 {
                link.send_line("blackout start".to_owned());
            }
            done.send(())
        });
        ended.recv_timeout(Duration::from_secs(20)).expect("an end");
        assert_eq!(waiting.try_iter().count(), 10_000);
    }
}
