//! A recording client over UDP or TCP.

use super::{RecordingClient, Reply};
use crate::rng::Rng;
use crate::wait::TIMEOUT;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

/// A recording client with its connection to the box.
pub struct SipLink {
    pub client: RecordingClient,
    /// Sockets that the caller's and the called party's RTP is sent from.
    pub media: [UdpSocket; 2],
    socket: Socket,
}

impl SipLink {
    /// A client over UDP; `seed` chooses its ways.
    pub fn udp(seed: u64, server: SocketAddr, users: [&str; 2]) -> SipLink {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let local = socket.local_addr().unwrap();
        SipLink::new(seed, local, server, users, Socket::Udp(socket))
    }

    /// A client over TCP.
    pub fn tcp(seed: u64, server: SocketAddr, users: [&str; 2]) -> SipLink {
        let socket = TcpStream::connect(server).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let local = socket.local_addr().unwrap();
        SipLink::new(seed, local, server, users, Socket::Tcp(socket, Vec::new()))
    }

    fn new(
        seed: u64,
        local: SocketAddr,
        server: SocketAddr,
        users: [&str; 2],
        socket: Socket,
    ) -> SipLink {
        let transport = match &socket {
            Socket::Udp(_) => "UDP",
            Socket::Tcp(..) => "TCP",
        };
        let mut client =
            RecordingClient::new(&mut Rng::new(seed), transport, local, server, users).plain();
        let media = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        client.set_media_ports(media.each_ref().map(|socket| socket.local_addr().unwrap().port()));
        SipLink { client, media, socket }
    }

    pub fn send(&mut self, message: &[u8]) {
        match &mut self.socket {
            Socket::Udp(socket) => drop(socket.send(message).unwrap()),
            Socket::Tcp(socket, _) => socket.write_all(message).unwrap(),
        }
    }

    /// The next final reply.
    pub fn reply(&mut self) -> Reply {
        loop {
            let message = self.message().expect("a reply in time");
            let reply = self.client.receive(&message);
            if let Some(reply) = reply.filter(|reply| reply.status >= 200) {
                return reply;
            }
        }
    }

    /// Whether nothing comes for so long.
    pub fn is_quiet(&mut self, time: Duration) -> bool {
        self.set_timeout(time);
        let quiet = self.message().is_none();
        self.set_timeout(TIMEOUT);
        quiet
    }

    /// Sends an INVITE and acknowledges the reply. Returns where to send each person's RTP.
    pub fn call(&mut self) -> [u16; 2] {
        let reply = self.invite();
        assert_eq!(reply.status, 200, "{reply:?}");
        let lines = [0, 1].map(|person| self.client.line_of(person));
        lines.map(|line| reply.streams[line].0)
    }

    /// Sends an INVITE and acknowledges the reply, whatever it is.
    pub fn invite(&mut self) -> Reply {
        let invite = self.client.invite();
        self.send(&invite);
        let reply = self.reply();
        let ack = self.client.ack();
        self.send(&ack);
        reply
    }

    /// Sends a request and returns the status of its reply.
    pub fn ask(&mut self, request: impl FnOnce(&mut RecordingClient) -> Vec<u8>) -> u16 {
        let message = request(&mut self.client);
        self.send(&message);
        self.reply().status
    }

    fn set_timeout(&mut self, time: Duration) {
        match &mut self.socket {
            Socket::Udp(socket) => socket.set_read_timeout(Some(time)).unwrap(),
            Socket::Tcp(socket, _) => socket.set_read_timeout(Some(time)).unwrap(),
        }
    }

    /// The next message; `None` if none comes in time.
    fn message(&mut self) -> Option<Vec<u8>> {
        let mut bytes = [0; 65_536];
        match &mut self.socket {
            Socket::Udp(socket) => {
                let count = socket.recv(&mut bytes).ok()?;
                Some(bytes[..count].to_vec())
            }
            Socket::Tcp(socket, received) => loop {
                if let Some(length) = message_length(received) {
                    let rest = received.split_off(length);
                    return Some(std::mem::replace(received, rest));
                }
                match socket.read(&mut bytes) {
                    Ok(0) | Err(_) => return None,
                    Ok(count) => received.extend_from_slice(&bytes[..count]),
                }
            },
        }
    }
}

/// The length of the first message of a stream, if it is whole.
fn message_length(received: &[u8]) -> Option<usize> {
    let head = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&received[..head]).unwrap();
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length:"));
    let length: usize = length.map_or(0, |value| value.trim().parse().unwrap());
    (received.len() >= head + length).then_some(head + length)
}
