//! A link that stalls while the box records: the mask reaches back, and the client shows what the
//! mask missed.

#![allow(clippy::disallowed_methods, reason = "real programs live in real time")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, await_ended, await_position, position_of};
use testkit::desktop::DesktopHarness;

/// A relay to a box whose way to the box can be stopped.
struct StallingLink {
    port: u16,
    stalled: Arc<(Mutex<bool>, Condvar)>,
}

impl StallingLink {
    fn to(the_box: &Daemon) -> StallingLink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stalled, to) = (Arc::new((Mutex::new(false), Condvar::new())), the_box.port);
        let gate = Arc::clone(&stalled);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(there) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (client_end, box_end) =
                    (client.try_clone().unwrap(), there.try_clone().unwrap());
                let gate = Arc::clone(&gate);
                std::thread::spawn(move || copy_through(client, there, Some(&gate)));
                std::thread::spawn(move || copy_through(box_end, client_end, None));
            }
        });
        StallingLink { port, stalled }
    }

    fn set_stalled(&self, stalled: bool) {
        *self.stalled.0.lock().unwrap() = stalled;
        self.stalled.1.notify_all();
    }
}

fn copy_through(mut from: TcpStream, mut to: TcpStream, gate: Option<&(Mutex<bool>, Condvar)>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if let Some((stalled, changed)) = gate {
            drop(changed.wait_while(stalled.lock().unwrap(), |stalled| *stalled).unwrap());
        }
        if to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
    drop(to.shutdown(std::net::Shutdown::Write));
}

#[test]
fn g2_press_over_a_stalled_link_is_masked_back_and_the_rest_is_told() {
    let the_box = Daemon::start_new(Site::sim(&[1]));
    let link = StallingLink::to(&the_box);
    let mut seat = DesktopHarness::new(&format!(
        "servers = [\"127.0.0.1:{}\"]\nuser = \"a1\"\nretry_ms = 100\n",
        link.port
    ));
    seat.start();
    seat.await_icon("idle");
    let (mut cti, mut watcher) = (the_box.client("hello cti"), the_box.client("hello monitor"));
    watcher.ok("watch");
    cti.ok("call start device=1001 call=c1");
    let started = seat.command("record start");
    let recording = started.out.split("recording=").nth(1).expect("a recording");
    let recording = recording.split_whitespace().next().unwrap().to_owned();
    seat.await_icon("recording");
    link.set_stalled(true);
    let pressed = position_of(&mut watcher, 1);
    std::thread::scope(|scope| {
        let receipt = scope.spawn(|| seat.command("blackout start"));
        seat.await_icon("attention");
        await_position(&mut watcher, 1, pressed + 4 * RATE);
        link.set_stalled(false);
        assert_eq!(receipt.join().unwrap().code, Some(0));
    });
    seat.await_icon("blackout");
    seat.await_log("Blackout on, but late");
    assert!(seat.status().contains("Warning: The blackout began"), "{}", seat.status());
    assert_eq!(seat.command("blackout stop").code, Some(0));
    // What was late stays until the agent has seen it.
    seat.await_icon("attention");
    assert_eq!(seat.command("acknowledge").code, Some(0));
    seat.await_icon("recording");
    cti.ok("call stop device=1001 call=c1");
    await_ended(&mut watcher, &[recording.as_str()]);
    let record = the_box.show(&recording);
    record.assert_ledger();
    let (from, to) = (record.number("/unmasked/0/from"), record.number("/unmasked/0/to"));
    assert!(from < pressed + RATE && to >= from + 2 * RATE, "{record:?}");
    assert_eq!(record.blackouts()[0].0, to, "masked from there on");
    let shown = the_box.show_text(&recording);
    assert!(shown.contains("should have been masked, and is stored"), "{shown}");
}
