//! A screen at work, to measure with: pages of text on which a line changes every three seconds.
//!
//! `office DISPLAY SECONDS`; nothing here captures anything.

#![allow(clippy::disallowed_methods, reason = "a display lives in real time")]

use std::time::Duration;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, CreateGCAux, CreateWindowAux, WindowClass};
use x11rb::wrapper::ConnectionExt as _;

const WORDS: &str =
    "the customer asked for the invoice of last month and was told where to find it ";

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn main() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let (display, seconds) =
        (args.next(), args.next().unwrap_or_default().parse::<u64>().map_err(text)?);
    let (connection, screen) = x11rb::connect(display.as_deref()).map_err(text)?;
    let screen = &connection.setup().roots[screen];
    let (window, font, brush) = (
        connection.generate_id().map_err(text)?,
        connection.generate_id().map_err(text)?,
        connection.generate_id().map_err(text)?,
    );
    let looks = CreateWindowAux::new().background_pixel(screen.white_pixel).override_redirect(1);
    let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
    let (class, depth) = (WindowClass::INPUT_OUTPUT, x11rb::COPY_DEPTH_FROM_PARENT);
    connection
        .create_window(depth, window, screen.root, 0, 0, width, height, 0, class, 0, &looks)
        .map_err(text)?;
    connection.open_font(font, b"fixed").map_err(text)?;
    let ink =
        CreateGCAux::new().font(font).foreground(screen.black_pixel).background(screen.white_pixel);
    connection.create_gc(brush, window, &ink).map_err(text)?;
    connection.map_window(window).map_err(text)?;
    connection.sync().map_err(text)?;
    let words = WORDS.repeat(4);
    let line = |row: i16, turn: usize| {
        let from = (usize::try_from(row).unwrap_or(0) * 7 + turn * 13) % WORDS.len();
        let bytes = &words.as_bytes()[from..from + 180];
        connection.image_text8(window, brush, 20, 20 + row * 14, bytes)
    };
    let rows = i16::try_from(height / 14).map_err(text)?.saturating_sub(3);
    for row in 0..rows {
        line(row, 0).map_err(text)?;
    }
    connection.sync().map_err(text)?;
    for turn in 1..=seconds.div_ceil(3) {
        std::thread::sleep(Duration::from_secs(3));
        line(i16::try_from(turn).map_err(text)? % rows, usize::try_from(turn).map_err(text)?)
            .map_err(text)?;
        connection.sync().map_err(text)?;
    }
    Ok(())
}
