//! A proxy between a workstation and the daemon that keeps everything the workstation sends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Tap {
    /// Port for the workstation.
    pub port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// Starts a proxy to the recorder at `port`.
    pub fn new(port: u16) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let tap = Tap { port: listener.local_addr().unwrap().port(), heard: Arc::clone(&heard) };
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (back, to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                let heard = Arc::clone(&heard);
                std::thread::spawn(move || carry(near, far, Some(&heard)));
                std::thread::spawn(move || carry(back, to, None));
            }
        });
        tap
    }

    /// Bytes the workstation has sent so far.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, heard: Option<&Mutex<Vec<u8>>>) {
    let mut part = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut part) {
        if let Some(heard) = heard {
            heard.lock().unwrap().extend_from_slice(&part[..count]);
        }
        if to.write_all(&part[..count]).is_err() {
            break;
        }
    }
    // One side has disconnected: disconnect the other.
    drop(to.shutdown(Shutdown::Both));
}
