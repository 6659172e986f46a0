//! Captures an X11 display: fetches only the area that was damaged since the last capture.
//!
//! The server reports the damaged area of the root window (DAMAGE), so an idle screen costs one
//! pointer query a frame. The root window contains all monitors, but not the cursor: the client
//! draws the cursor's image (XFIXES) over the fetched pixels. Pixels come over a second connection.
//! A server that removes its cursor to read the screen reports damage in the middle of the reply,
//! and a client that reads both from one stream would wait for ever.
//!
//! The root window may change its size during a capture. Fetched pixels count only if the size was
//! the same before and after. A request for an area that no longer exists fails with the protocol
//! error Match, and the client captures again.

use crate::capture::{Capture, CaptureError, FrameChange};
use crate::picture::{Canvas, PIXEL_BYTES};
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

/// A rectangle: left, top, right, bottom; the latter two are exclusive.
type Area = (u16, u16, u16, u16);

/// The most bytes of pixels in one request.
const STRIPE_BYTES: usize = 1 << 20;

/// The number of captures in a row that may fail because the size changes.
const RESIZING_MAX: u32 = 50;

/// An X11 display.
pub struct X11Display {
    connection: RustConnection,
    /// The connection for pixels, which gets no events.
    pixels: RustConnection,
    root: Window,
    damage: Damage,
    /// The fetched pixels, without the cursor.
    fetched: Canvas,
    /// The fetched pixels, with the cursor.
    composed: Canvas,
    /// The area to fetch.
    damaged_area: Option<Area>,
    /// The position at which the cursor was drawn.
    pointer: Option<(i16, i16)>,
    /// The number of captures in a row that failed because the size changed.
    resizing: u32,
}

fn capture_error(error: impl std::fmt::Display) -> CaptureError {
    CaptureError(error.to_string())
}

impl X11Display {
    /// Connects to a display.
    ///
    /// # Errors
    /// If it cannot be reached, or lacks DAMAGE or XFIXES.
    pub fn open(display: Option<&str>) -> Result<X11Display, CaptureError> {
        let (connection, number) = x11rb::connect(display).map_err(capture_error)?;
        let (pixels, _) = x11rb::connect(display).map_err(capture_error)?;
        let screen = connection.setup().roots.get(number);
        let screen = screen.ok_or_else(|| capture_error("the display has no such screen"))?;
        if !matches!(screen.root_depth, 24 | 32) {
            return Err(capture_error(format!(
                "its colour depth is {} bits; 24 are needed",
                screen.root_depth
            )));
        }
        let (root, size) = (screen.root, (screen.width_in_pixels, screen.height_in_pixels));
        connection
            .damage_query_version(1, 1)
            .map_err(capture_error)?
            .reply()
            .map_err(capture_error)?;
        connection
            .xfixes_query_version(5, 0)
            .map_err(capture_error)?
            .reply()
            .map_err(capture_error)?;
        let damage = connection.generate_id().map_err(capture_error)?;
        connection.damage_create(damage, root, ReportLevel::BOUNDING_BOX).map_err(capture_error)?;
        let wants = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(root, &wants).map_err(capture_error)?;
        connection.flush().map_err(capture_error)?;
        let mut this = X11Display {
            connection,
            pixels,
            root,
            damage,
            fetched: Canvas::default(),
            composed: Canvas::default(),
            damaged_area: None,
            pointer: None,
            resizing: 0,
        };
        this.resize(size);
        Ok(this)
    }

    fn resize(&mut self, (width, height): (u16, u16)) {
        if (self.fetched.width, self.fetched.height) != (width.into(), height.into()) {
            self.fetched = Canvas::new(width.into(), height.into());
        }
        self.damaged_area = Some((0, 0, width, height));
    }

    /// Queries the size. The reply also means that the server has processed all earlier requests.
    fn query_size(&mut self) -> Result<(), CaptureError> {
        let root = self.connection.get_geometry(self.root).map_err(capture_error)?;
        let root = root.reply().map_err(capture_error)?;
        if (self.fetched.width, self.fetched.height) != (root.width.into(), root.height.into()) {
            self.resize((root.width, root.height));
        }
        Ok(())
    }

    fn add_damage(&mut self, (left, top, right, bottom): Area) {
        let (l, t, r, b) = self.damaged_area.unwrap_or((left, top, right, bottom));
        self.damaged_area = Some((l.min(left), t.min(top), r.max(right), b.max(bottom)));
    }

    /// Fetches an area. Returns whether a pixel changed, or `None` if the area no longer exists.
    fn fetch_area(
        &mut self,
        (left, top, right, bottom): Area,
    ) -> Result<Option<bool>, CaptureError> {
        let mut differs = false;
        let limit = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        let right = right.min(limit(self.fetched.width));
        let bottom = bottom.min(limit(self.fetched.height));
        let (width, mut top) = (right.saturating_sub(left), top);
        let rows = (STRIPE_BYTES / (usize::from(width).max(1) * PIXEL_BYTES)).max(1);
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
            let image = match image.map_err(capture_error)?.reply() {
                Err(ReplyError::X11Error(error)) if error.error_kind == ErrorKind::Match => {
                    return Ok(None);
                }
                image => image.map_err(capture_error)?,
            };
            let pixels = zeroize::Zeroizing::new(image.data);
            differs |= self.fetched.write_rows((left.into(), top.into()), width.into(), &pixels);
            top += height;
        }
        Ok(Some(differs))
    }

    /// Draws the cursor over the fetched pixels.
    fn compose_cursor(&mut self) -> Result<(), CaptureError> {
        if !self.is_composed() {
            self.composed = Canvas::new(self.fetched.width, self.fetched.height);
        }
        self.composed.pixels.copy_from_slice(&self.fetched.pixels);
        let cursor = self.connection.xfixes_get_cursor_image().map_err(capture_error)?;
        let cursor = cursor.reply().map_err(capture_error)?;
        let x = i32::from(cursor.x) - i32::from(cursor.xhot);
        let y = i32::from(cursor.y) - i32::from(cursor.yhot);
        self.composed.draw_cursor((x, y), cursor.width.into(), &cursor.cursor_image);
        self.pointer = Some((cursor.x, cursor.y));
        Ok(())
    }

    /// Whether the composed frame has the display's size.
    fn is_composed(&self) -> bool {
        (self.composed.width, self.composed.height) == (self.fetched.width, self.fetched.height)
    }

    fn pointer_moved(&self) -> Result<bool, CaptureError> {
        let at = self.connection.query_pointer(self.root).map_err(capture_error)?;
        let at = at.reply().map_err(capture_error)?;
        Ok(Some((at.root_x, at.root_y)) != self.pointer)
    }
}

fn clamp_coordinate(value: i16) -> u16 {
    u16::try_from(value).unwrap_or(0)
}

impl X11Display {
    /// Captures once. Returns whether a pixel changed, or `None` if the size changed meanwhile.
    fn try_capture(&mut self) -> Result<Option<bool>, CaptureError> {
        let moved = self.pointer_moved()?;
        self.process_events()?;
        let size = self.display_size();
        // Damage without a changed pixel is common: some servers remove their cursor at every read.
        let fetched = self.damaged_area.take().map(|area| self.fetch_area(area)).transpose()?;
        let Some(differs) = fetched.unwrap_or(Some(false)) else {
            self.query_size()?;
            return Ok(None);
        };
        let changed = differs || moved || !self.is_composed();
        if changed {
            // The reply for the cursor comes after all events of the time of the fetch.
            self.compose_cursor()?;
            self.process_events()?;
        }
        Ok((self.display_size() == size).then_some(changed))
    }
}

impl Capture for X11Display {
    fn capture_frame(&mut self) -> Result<FrameChange, CaptureError> {
        if let Some(changed) = self.try_capture()? {
            self.resizing = 0;
            return Ok(if changed { FrameChange::Changed } else { FrameChange::Unchanged });
        }
        self.wipe_frame();
        self.resizing += 1;
        if self.resizing > RESIZING_MAX {
            return Err(capture_error("its size keeps changing"));
        }
        Ok(FrameChange::Resizing)
    }

    fn process_events(&mut self) -> Result<(), CaptureError> {
        let mut damaged = false;
        while let Some(event) = self.connection.poll_for_event().map_err(capture_error)? {
            match event {
                Event::DamageNotify(notify) => {
                    damaged = true;
                    let area = notify.area;
                    let (left, top) = (clamp_coordinate(area.x), clamp_coordinate(area.y));
                    let right = left.saturating_add(area.width);
                    self.add_damage((left, top, right, top.saturating_add(area.height)));
                }
                Event::ConfigureNotify(notify) if notify.window == self.root => {
                    self.resize((notify.width, notify.height));
                }
                _ => {}
            }
        }
        if damaged {
            // The server reports new damage only after this request, so the fetch comes after it.
            let none = x11rb::NONE;
            self.connection.damage_subtract(self.damage, none, none).map_err(capture_error)?;
            self.query_size()?;
        }
        Ok(())
    }

    fn display_size(&self) -> (usize, usize) {
        (self.fetched.width, self.fetched.height)
    }

    fn canvas(&self) -> &Canvas {
        &self.composed
    }

    fn wipe_frame(&mut self) {
        use zeroize::Zeroize;
        self.fetched.pixels.as_mut_slice().zeroize();
        self.composed.pixels.as_mut_slice().zeroize();
        self.pointer = None;
        let size = |value| u16::try_from(value).unwrap_or(u16::MAX);
        self.damaged_area = Some((0, 0, size(self.fetched.width), size(self.fetched.height)));
    }
}
