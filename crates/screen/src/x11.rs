//! The X11 display: what was damaged since the last look is fetched, and nothing else.
//!
//! The server tells which part of the root window changed (DAMAGE) and only that is asked for, so
//! an idle screen costs a question about the pointer. The root window is all monitors. The cursor
//! is not on it: its image (XFIXES) is laid over what is shown. Pixels come over a connection of
//! their own: a server that takes its cursor off the screen to read it reports damage in the
//! middle of the answer, and whoever reads both from one stream waits for ever.
//!
//! The root window changes its size while it is looked at. What was fetched counts only if it had
//! the same size before and after; a question about what is not there any more is an error of the
//! protocol (Match), and asked anew.

use crate::capture::{Capture, CaptureError, Look};
use crate::picture::{Canvas, PIXEL};
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::ErrorKind;
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

/// A display that has no size after so many looks is none.
const UNSETTLED_MAX: u32 = 50;

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
    /// Where it was when it was laid over what is shown.
    pointer: Option<(i16, i16)>,
    /// Looks in a row that came to nothing.
    unsettled: u32,
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
            pointer: None,
            unsettled: 0,
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

    /// Asks for the size, and by the answer everything that was said before has been done.
    fn measure(&mut self) -> Result<(), CaptureError> {
        let root = self.connection.get_geometry(self.root).map_err(failed)?;
        let root = root.reply().map_err(failed)?;
        if (self.bare.width, self.bare.height) != (root.width.into(), root.height.into()) {
            self.resize((root.width, root.height));
        }
        Ok(())
    }

    fn spoil(&mut self, (left, top, right, bottom): Area) {
        let (l, t, r, b) = self.dirty.unwrap_or((left, top, right, bottom));
        self.dirty = Some((l.min(left), t.min(top), r.max(right), b.max(bottom)));
    }

    /// Fetches what may have changed; whether anything has, or `None` where it is not any more.
    fn fetch(&mut self, (left, top, right, bottom): Area) -> Result<Option<bool>, CaptureError> {
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
            let image = match image.map_err(failed)?.reply() {
                Err(ReplyError::X11Error(error)) if error.error_kind == ErrorKind::Match => {
                    return Ok(None);
                }
                image => image.map_err(failed)?,
            };
            let pixels = zeroize::Zeroizing::new(image.data);
            differs |= self.bare.put((left.into(), top.into()), width.into(), &pixels);
            top += height;
        }
        Ok(Some(differs))
    }

    /// Lays the cursor over what was fetched.
    fn show(&mut self) -> Result<(), CaptureError> {
        if !self.is_shown() {
            self.shown = Canvas::new(self.bare.width, self.bare.height);
        }
        self.shown.pixels.copy_from_slice(&self.bare.pixels);
        let cursor = self.connection.xfixes_get_cursor_image().map_err(failed)?;
        let cursor = cursor.reply().map_err(failed)?;
        let x = i32::from(cursor.x) - i32::from(cursor.xhot);
        let y = i32::from(cursor.y) - i32::from(cursor.yhot);
        self.shown.lay((x, y), cursor.width.into(), &cursor.cursor_image);
        self.pointer = Some((cursor.x, cursor.y));
        Ok(())
    }

    /// Whether what is shown has the display's size.
    fn is_shown(&self) -> bool {
        (self.shown.width, self.shown.height) == (self.bare.width, self.bare.height)
    }

    fn pointer_moved(&self) -> Result<bool, CaptureError> {
        let at = self.connection.query_pointer(self.root).map_err(failed)?;
        let at = at.reply().map_err(failed)?;
        Ok(Some((at.root_x, at.root_y)) != self.pointer)
    }
}

fn clip(value: i16) -> u16 {
    u16::try_from(value).unwrap_or(0)
}

impl X11 {
    /// One look; whether anything is new, or `None` if the size changed meanwhile.
    fn try_look(&mut self) -> Result<Option<bool>, CaptureError> {
        let moved = self.pointer_moved()?;
        self.hear()?;
        let size = self.size();
        // Not all that is damaged has changed: a server that takes its cursor off the screen to
        // read it says so at every look.
        let fetched = self.dirty.take().map(|area| self.fetch(area)).transpose()?;
        let Some(differs) = fetched.unwrap_or(Some(false)) else {
            self.measure()?;
            return Ok(None);
        };
        let changed = differs || moved || !self.is_shown();
        if changed {
            // Its answer comes after whatever was said while pixels were fetched.
            self.show()?;
            self.hear()?;
        }
        Ok((self.size() == size).then_some(changed))
    }
}

impl Capture for X11 {
    fn look(&mut self) -> Result<Look, CaptureError> {
        if let Some(changed) = self.try_look()? {
            self.unsettled = 0;
            return Ok(if changed { Look::Changed } else { Look::Same });
        }
        self.forget();
        self.unsettled += 1;
        if self.unsettled > UNSETTLED_MAX {
            return Err(failed("its size does not settle"));
        }
        Ok(Look::Unsettled)
    }

    fn hear(&mut self) -> Result<(), CaptureError> {
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
        if damaged {
            // When this is done, what changes is told again; so it is fetched after the answer.
            let none = x11rb::NONE;
            self.connection.damage_subtract(self.damage, none, none).map_err(failed)?;
            self.measure()?;
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        (self.bare.width, self.bare.height)
    }

    fn canvas(&self) -> &Canvas {
        &self.shown
    }

    fn forget(&mut self) {
        use zeroize::Zeroize;
        self.bare.pixels.as_mut_slice().zeroize();
        self.shown.pixels.as_mut_slice().zeroize();
        self.pointer = None;
        let size = |value| u16::try_from(value).unwrap_or(u16::MAX);
        self.dirty = Some((0, 0, size(self.bare.width), size(self.bare.height)));
    }
}
