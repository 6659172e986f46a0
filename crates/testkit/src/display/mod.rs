//! An X display with squares that encode a number, and ffmpeg to read them back from a video. Xvfb
//! has a fixed size, Xvnc can be resized.
//!
//! A row is a white square, a black one, and sixteen for the bits of the number. A number is read
//! when the first two match and every bit is clearly black or white.

pub mod capture_client;
pub mod tap;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    ChangeGCAux, ConfigureWindowAux, ConnectionExt, CreateGCAux, CreateWindowAux, Gcontext,
    Rectangle, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// The number that must never be recorded.
pub const CARD: u64 = 0b1011_0011_1000_1101;

const WIDTH: u16 = 640;
const HEIGHT: u16 = 360;
const SIDE: u16 = 32;
const LEFT: u16 = 24;
const COUNT_TOP: u16 = 60;
const CARD_TOP: u16 = 220;
/// Frames per second at which a video is read.
const READ_FPS: u64 = 20;

const GREY: u32 = 0x0080_8080;

/// An X display with a window on it.
pub struct Display {
    server: Child,
    name: String,
    connection: RustConnection,
    window: Window,
    brush: Gcontext,
}

impl Display {
    /// Starts a display of 640 × 360 pixels.
    pub fn start() -> Display {
        let mut server = Command::new("Xvfb");
        server.args(["-screen", "0", "640x360x24"]);
        Display::of(server)
    }

    /// Starts a resizable display with this name, or the next free one.
    pub fn start_changeable(name: Option<&str>, size: &str) -> Display {
        let mut server = Command::new("Xvnc");
        // No VNC client connects.
        server.args(name).args(["-geometry", size, "-depth", "24", "-SecurityTypes", "None"]);
        server.args(["-rfbport", "-1"]);
        Display::of(server)
    }

    fn of(mut server: Command) -> Display {
        let mut server = server
            .args(["-displayfd", "1", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb and Xvnc are needed: make setup");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        let name = format!(":{}", number.trim());
        let (connection, screen) = x11rb::connect(Some(&name)).unwrap();
        let root = connection.setup().roots[screen].root;
        let (window, brush) =
            (connection.generate_id().unwrap(), connection.generate_id().unwrap());
        let looks = CreateWindowAux::new().background_pixel(GREY).override_redirect(1);
        let (class, depth) = (WindowClass::INPUT_OUTPUT, x11rb::COPY_DEPTH_FROM_PARENT);
        let size = (WIDTH, HEIGHT);
        connection
            .create_window(depth, window, root, 0, 0, size.0, size.1, 0, class, 0, &looks)
            .unwrap();
        connection.create_gc(brush, window, &CreateGCAux::new()).unwrap();
        connection.map_window(window).unwrap();
        connection.sync().unwrap();
        Display { server, name, connection, window, brush }
    }

    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Stops the server, as the end of a session does.
    pub fn end(mut self) {
        kill(Pid::from_raw(i32::try_from(self.server.id()).unwrap()), Signal::SIGTERM).unwrap();
        self.server.wait().unwrap();
    }

    /// Changes the size or the monitors and returns when the change is applied.
    pub fn xrandr(&self, words: &str) {
        let mut xrandr = Command::new("xrandr");
        let words = words.split_whitespace();
        let output = xrandr.args(["--display", &self.name]).args(words).output();
        let output = output.expect("xrandr is needed: make setup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn place(&self, (x, y): (u16, u16)) {
        let to = ConfigureWindowAux::new().x(i32::from(x)).y(i32::from(y));
        self.connection.configure_window(self.window, &to).unwrap();
        self.connection.sync().unwrap();
    }

    fn square(&self, index: u16, top: u16, colour: u32) {
        self.connection.change_gc(self.brush, &ChangeGCAux::new().foreground(colour)).unwrap();
        let place = |value: u16| i16::try_from(value).unwrap();
        let (x, y) = (place(LEFT + index * SIDE), place(top));
        let area = Rectangle { x, y, width: SIDE, height: SIDE };
        self.connection.poly_fill_rectangle(self.window, self.brush, &[area]).unwrap();
    }

    fn row(&self, top: u16, number: Option<u64>) {
        for index in 0..18 {
            let white = match (index, number) {
                (_, None) => None,
                (0, _) => Some(true),
                (1, _) => Some(false),
                (bit, Some(number)) => Some(number >> (bit - 2) & 1 == 1),
            };
            let colour = white.map_or(GREY, |white| if white { 0x00ff_ffff } else { 0 });
            self.square(index, top, colour);
        }
        self.connection.sync().unwrap();
    }

    /// Shows a count and returns when it is on the display.
    pub fn count(&mut self, count: u64) {
        self.row(COUNT_TOP, Some(count));
    }

    /// Shows or hides the number.
    pub fn card(&mut self, on: bool) {
        self.row(CARD_TOP, on.then_some(CARD));
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// Content of a video frame.
#[derive(Clone, Debug)]
pub struct ShownPicture {
    pub ms: u64,
    pub count: Option<u64>,
    pub card: Option<u64>,
    /// Whether the whole frame is black.
    pub black: bool,
}

/// Decodes a video at 20 frames per second.
pub fn play(file: &Path) -> Vec<ShownPicture> {
    let fps = READ_FPS.to_string();
    let output = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i"])
        .arg(file)
        .args(["-map", "0:v", "-r", &fps, "-s", "640x360", "-pix_fmt", "gray"])
        .args(["-f", "rawvideo", "-"])
        .output()
        .expect("ffmpeg is needed: make setup");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (width, height) = (usize::from(WIDTH), usize::from(HEIGHT));
    let pictures = output.stdout.chunks_exact(width * height);
    let seen = |(index, grey): (u64, &[u8])| {
        let frame = Frame { ms: index * 1000 / READ_FPS, width, height, grey: grey.to_vec() };
        ShownPicture {
            ms: frame.ms,
            count: frame.count((0, 0)),
            card: frame.card((0, 0)),
            black: frame.is_black(),
        }
    };
    (0..).zip(pictures).map(seen).collect()
}

/// A video frame as encoded.
#[derive(Clone)]
pub struct Frame {
    pub ms: u64,
    pub width: usize,
    pub height: usize,
    grey: Vec<u8>,
}

impl Frame {
    /// The count in a window at this position.
    pub fn count(&self, window: (u16, u16)) -> Option<u64> {
        self.read(window, COUNT_TOP)
    }

    pub fn card(&self, window: (u16, u16)) -> Option<u64> {
        self.read(window, CARD_TOP)
    }

    pub fn is_black(&self) -> bool {
        self.grey.iter().all(|pixel| *pixel < 40)
    }

    fn read(&self, (left, top): (u16, u16), row: u16) -> Option<u64> {
        let square = |index: u16| {
            let x = usize::from(left + LEFT + index * SIDE + SIDE / 2);
            let y = usize::from(top + row + SIDE / 2);
            let there = (x < self.width && y < self.height).then(|| self.grey[y * self.width + x]);
            match there? {
                0..70 => Some(false),
                190.. => Some(true),
                _ => None,
            }
        };
        let marked = square(0) == Some(true) && square(1) == Some(false);
        let bits = (0..16).map(|bit| square(bit + 2).map(|on| u64::from(on) << bit));
        bits.sum::<Option<u64>>().filter(|_| marked)
    }
}

/// Decodes every frame of a video in its own size.
pub fn frames(file: &Path) -> Vec<Frame> {
    let probe = Command::new("ffprobe")
        .args(["-loglevel", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "frame=pts_time,width,height"])
        .arg(file)
        .output()
        .expect("ffprobe is needed: make setup");
    assert!(probe.status.success(), "{}", String::from_utf8_lossy(&probe.stderr));
    let output = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i"])
        .arg(file)
        .args(["-map", "0:v", "-fps_mode", "passthrough", "-autoscale", "0"])
        .args(["-pix_fmt", "gray", "-f", "rawvideo", "-"])
        .output()
        .expect("ffmpeg is needed: make setup");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut pixels = output.stdout.as_slice();
    let mut frames = Vec::new();
    for line in String::from_utf8(probe.stdout).unwrap().lines() {
        let mut values = line.split(',');
        let (seconds, micros) = values.next().unwrap().split_once('.').unwrap();
        let ms = seconds.parse::<u64>().unwrap() * 1000 + micros[..3].parse::<u64>().unwrap();
        let mut size = values.map(|value| value.parse::<usize>().unwrap());
        let (width, height) = (size.next().unwrap(), size.next().unwrap());
        let (grey, rest) = pixels.split_at(width * height);
        frames.push(Frame { ms, width, height, grey: grey.to_vec() });
        pixels = rest;
    }
    assert!(pixels.is_empty(), "as many pictures as were counted");
    frames
}
