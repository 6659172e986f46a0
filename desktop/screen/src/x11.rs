//! The X11 display: what was damaged since the last look is fetched, and nothing else.
//!
//! The server tells which part of the root window changed (DAMAGE) and only that is asked for, so
//! an idle screen costs a question about the pointer. The root window is all monitors. The cursor
//! is not on it: its image (XFIXES) is laid over what is shown. Pixels come over a connection of
//! their own: a server that takes its cursor off the screen to read it reports damage in the
//! middle of the answer, and whoever reads both from one stream waits for ever.

use crate::capture::{Capture, CaptureError};
use crate::picture::{Canvas, PIXEL};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::damage::{ConnectionExt as _, Damage, ReportLevel};
use x11rb::protocol::xfixes::ConnectionExt as _;
use x11rb::protocol::xproto::{
    ChangeWindowAttributesAux, ConnectionExt as _, EventMask, ImageFormat, Window,
};
use x11rb::rust_connection::RustConnection;

/// A rectangle: left, top, right, bottom, the latter two not in it.
type Area = (u16, u16, u16, u16);

/// Bytes of pixels that are asked for at once.
const STRIPE_BYTES: usize = 1 << 20;

pub struct X11 {
    connection: RustConnection,
    /// Where pixels come from, and never an event.
    pixels: RustConnection,
    root: Window,
    damage: Damage,
    /// Without the cursor.
    bare: Canvas,
    /// With it.
    shown: Canvas,
    /// What is to be fetched.
    dirty: Option<Area>,
    pointer: (i16, i16, u32),
}

fn failed(error: impl std::fmt::Display) -> CaptureError {
    CaptureError(error.to_string())
}

impl X11 {
    /// Opens a display.
    ///
    /// # Errors
    /// When it cannot be reached, or lacks DAMAGE or XFIXES.
    pub fn open(display: Option<&str>) -> Result<X11, CaptureError> {
        let (connection, number) = x11rb::connect(display).map_err(failed)?;
        let (pixels, _) = x11rb::connect(display).map_err(failed)?;
        let screen = connection.setup().roots.get(number);
        let screen = screen.ok_or_else(|| failed("there is no such screen"))?;
        if !matches!(screen.root_depth, 24 | 32) {
            return Err(failed(format!("{} bits a pixel; 24 are needed", screen.root_depth)));
        }
        let (root, size) = (screen.root, (screen.width_in_pixels, screen.height_in_pixels));
        connection.damage_query_version(1, 1).map_err(failed)?.reply().map_err(failed)?;
        connection.xfixes_query_version(5, 0).map_err(failed)?.reply().map_err(failed)?;
        let damage = connection.generate_id().map_err(failed)?;
        connection.damage_create(damage, root, ReportLevel::BOUNDING_BOX).map_err(failed)?;
        let wants = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(root, &wants).map_err(failed)?;
        connection.flush().map_err(failed)?;
        let mut this = X11 {
            connection,
            pixels,
            root,
            damage,
            bare: Canvas::default(),
            shown: Canvas::default(),
            dirty: None,
            pointer: (0, 0, 0),
        };
        this.resize(size);
        Ok(this)
    }

    fn resize(&mut self, (width, height): (u16, u16)) {
        if (self.bare.width, self.bare.height) != (width.into(), height.into()) {
            self.bare = Canvas::new(width.into(), height.into());
        }
        self.dirty = Some((0, 0, width, height));
    }

    fn take_events(&mut self) -> Result<bool, CaptureError> {
        let mut damaged = false;
        while let Some(event) = self.connection.poll_for_event().map_err(failed)? {
            match event {
                Event::DamageNotify(notify) => {
                    damaged = true;
                    let area = notify.area;
                    let (left, top) = (clip(area.x), clip(area.y));
                    let right = left.saturating_add(area.width);
                    self.spoil((left, top, right, top.saturating_add(area.height)));
                }
                Event::ConfigureNotify(notify) if notify.window == self.root => {
                    self.resize((notify.width, notify.height));
                }
                _ => {}
            }
        }
        Ok(damaged)
    }

    fn spoil(&mut self, (left, top, right, bottom): Area) {
        let (l, t, r, b) = self.dirty.unwrap_or((left, top, right, bottom));
        self.dirty = Some((l.min(left), t.min(top), r.max(right), b.max(bottom)));
    }

    /// Fetches what may have changed; false: nothing has.
    fn fetch(&mut self, (left, top, right, bottom): Area) -> Result<bool, CaptureError> {
        let mut differs = false;
        let limit = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        let right = right.min(limit(self.bare.width));
        let bottom = bottom.min(limit(self.bare.height));
        let (width, mut top) = (right.saturating_sub(left), top);
        let rows = (STRIPE_BYTES / (usize::from(width).max(1) * PIXEL)).max(1);
        while width > 0 && top < bottom {
            let height = limit(rows).min(bottom - top);
            let image = self.pixels.get_image(
                ImageFormat::Z_PIXMAP,
                self.root,
                i16::try_from(left).unwrap_or(i16::MAX),
                i16::try_from(top).unwrap_or(i16::MAX),
                width,
                height,
                u32::MAX,
            );
            let image = image.map_err(failed)?.reply().map_err(failed)?;
            let pixels = zeroize::Zeroizing::new(image.data);
            differs |= self.bare.put((left.into(), top.into()), width.into(), &pixels);
            top += height;
        }
        Ok(differs)
    }

    /// Lays the cursor over what was fetched.
    fn show(&mut self) -> Result<(), CaptureError> {
        (self.shown.width, self.shown.height) = (self.bare.width, self.bare.height);
        self.shown.pixels.resize(self.bare.pixels.len(), 0);
        self.shown.pixels.copy_from_slice(&self.bare.pixels);
        let cursor = self.connection.xfixes_get_cursor_image().map_err(failed)?;
        let cursor = cursor.reply().map_err(failed)?;
        let x = i32::from(cursor.x) - i32::from(cursor.xhot);
        let y = i32::from(cursor.y) - i32::from(cursor.yhot);
        self.shown.lay((x, y), cursor.width.into(), &cursor.cursor_image);
        self.pointer = (cursor.x, cursor.y, cursor.cursor_serial);
        Ok(())
    }

    fn pointer_moved(&self) -> Result<bool, CaptureError> {
        let at = self.connection.query_pointer(self.root).map_err(failed)?;
        let at = at.reply().map_err(failed)?;
        Ok((at.root_x, at.root_y) != (self.pointer.0, self.pointer.1))
    }
}

fn clip(value: i16) -> u16 {
    u16::try_from(value).unwrap_or(0)
}

impl Capture for X11 {
    fn look(&mut self) -> Result<bool, CaptureError> {
        let moved = self.pointer_moved()?;
        if self.take_events()? {
            // From here on, what changes is told again; so it is fetched after this.
            let none = x11rb::NONE;
            self.connection.damage_subtract(self.damage, none, none).map_err(failed)?;
        }
        // Not all that is damaged has changed: a server that takes its cursor off the screen to
        // read it says so at every look.
        let mut changed = match self.dirty.take() {
            Some(area) => self.fetch(area)?,
            None => false,
        };
        changed |= self.shown.pixels.len() != self.bare.pixels.len() || moved;
        if changed {
            self.show()?;
        }
        Ok(changed)
    }

    fn canvas(&self) -> &Canvas {
        &self.shown
    }

    fn forget(&mut self) {
        use zeroize::Zeroize;
        self.bare.pixels.as_mut_slice().zeroize();
        self.shown.pixels.as_mut_slice().zeroize();
        let size = |value| u16::try_from(value).unwrap_or(u16::MAX);
        self.dirty = Some((0, 0, size(self.bare.width), size(self.bare.height)));
    }
}
