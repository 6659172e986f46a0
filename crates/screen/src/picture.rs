//! The pixels of a frame: as the display has them, and as the encoder needs them.
//!
//! A `Canvas` holds the screen's pixels in X11's order (blue, green, red, unused). A `Picture`
//! holds planes of brightness and colour (I420), scaled, of even size. Both wipe their memory when
//! they are dropped.

use zeroize::Zeroize;

/// The bytes of a pixel on a canvas.
pub const PIXEL_BYTES: usize = 4;

/// The pixels of the whole screen.
#[derive(Default)]
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

impl Canvas {
    #[must_use]
    pub fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, pixels: vec![0; width * height * PIXEL_BYTES] }
    }

    /// Writes rows of pixels at `(x, y)`, clipped at the edges. Returns whether any pixel changed.
    pub fn write_rows(&mut self, (x, y): (usize, usize), width: usize, pixels: &[u8]) -> bool {
        let fits = self.width.saturating_sub(x).min(width);
        let mut differs = false;
        for (row, line) in pixels.chunks_exact(width.max(1) * PIXEL_BYTES).enumerate() {
            if y + row >= self.height {
                break;
            }
            let at = ((y + row) * self.width + x) * PIXEL_BYTES;
            let (there, here) =
                (&mut self.pixels[at..at + fits * PIXEL_BYTES], &line[..fits * PIXEL_BYTES]);
            differs |= *there != *here;
            there.copy_from_slice(here);
        }
        differs
    }

    /// Draws the cursor: premultiplied pixels with an alpha channel.
    pub fn draw_cursor(&mut self, (x, y): (i32, i32), width: usize, pixels: &[u32]) {
        for (row, line) in (y..).zip(pixels.chunks_exact(width.max(1))) {
            for (column, over) in (x..).zip(line) {
                let (Ok(row), Ok(column)) = (usize::try_from(row), usize::try_from(column)) else {
                    continue;
                };
                if row >= self.height || column >= self.width {
                    continue;
                }
                let [blue, green, red, alpha] = over.to_le_bytes();
                let at = (row * self.width + column) * PIXEL_BYTES;
                for (under, over) in self.pixels[at..at + 3].iter_mut().zip([blue, green, red]) {
                    let rest = u32::from(*under) * u32::from(255 - alpha) / 255;
                    *under = u8::try_from(rest + u32::from(over)).unwrap_or(255);
                }
            }
        }
    }

    /// Converts the canvas to a picture of `scale` per cent of its size.
    #[must_use]
    pub fn to_picture(&self, scale: usize) -> Picture {
        let mut picture = Picture::black_for_canvas((self.width, self.height), scale);
        let (width, height) = (picture.width, picture.height);
        let (luma, colour) = picture.planes.split_at_mut(width * height);
        for row in 0..height {
            let from = row * self.height / height * self.width;
            for (column, y) in luma[row * width..][..width].iter_mut().enumerate() {
                let [b, g, r] = self.pixel_at(from + column * self.width / width);
                *y = clamp_byte((66 * r + 129 * g + 25 * b + 128) / 256 + 16);
            }
        }
        let half = width / 2;
        let (us, vs) = colour.split_at_mut(half * height / 2);
        for row in 0..height / 2 {
            let from = row * 2 * self.height / height * self.width;
            for column in 0..half {
                let [b, g, r] = self.pixel_at(from + column * 2 * self.width / width);
                us[row * half + column] = clamp_byte((112 * b - 38 * r - 74 * g + 128) / 256 + 128);
                vs[row * half + column] = clamp_byte((112 * r - 94 * g - 18 * b + 128) / 256 + 128);
            }
        }
        picture
    }

    fn pixel_at(&self, pixel: usize) -> [i32; 3] {
        let at = pixel * PIXEL_BYTES;
        [self.pixels[at].into(), self.pixels[at + 1].into(), self.pixels[at + 2].into()]
    }
}

fn clamp_byte(value: i32) -> u8 {
    u8::try_from(value.clamp(0, 255)).unwrap_or(0)
}

impl Drop for Canvas {
    fn drop(&mut self) {
        self.pixels.zeroize();
    }
}

/// A picture in I420: brightness, then two colour planes of a quarter of the size.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub planes: Vec<u8>,
}

impl Picture {
    /// A black picture of the size that `to_picture` gives for a canvas of this size.
    #[must_use]
    pub fn black_for_canvas((width, height): (usize, usize), scale: usize) -> Picture {
        let size = |of: usize| (of * scale / 100).max(2) & !1;
        Picture::black(size(width), size(height))
    }

    /// A black picture of an even size.
    #[must_use]
    pub fn black(width: usize, height: usize) -> Picture {
        assert!(width.is_multiple_of(2) && height.is_multiple_of(2));
        let mut planes = vec![16; width * height * 3 / 2];
        planes[width * height..].fill(128);
        Picture { width, height, planes }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        self.planes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canvas_converts_to_planes() {
        let mut canvas = Canvas::new(4, 2);
        canvas.write_rows((0, 0), 4, &[255; 32]);
        let white = canvas.to_picture(100);
        assert_eq!((white.planes[0], white.planes[8], white.planes[10]), (235, 128, 128));
        canvas.write_rows((0, 0), 2, &[0; 16]);
        let half = canvas.to_picture(100);
        assert_eq!((half.planes[0], half.planes[1], half.planes[2]), (16, 16, 235));
        assert_eq!(Canvas::new(4, 2).to_picture(100).planes, Picture::black(4, 2).planes);
        assert_eq!(Canvas::new(1281, 721).to_picture(50).width, 640);
    }

    #[test]
    fn pixels_outside_the_canvas_are_clipped() {
        let mut canvas = Canvas::new(2, 2);
        assert!(canvas.write_rows((1, 1), 3, &[9; 36]));
        assert_eq!(canvas.pixels[12..], [9; 4]);
        assert!(!canvas.write_rows((1, 1), 3, &[9; 36]), "no pixel changed");
        assert_eq!(canvas.pixels[..12], [0; 12]);
        canvas.draw_cursor((-1, -1), 2, &[0, 0, 0, 0xff01_0203]);
        assert_eq!(canvas.pixels[..3], [3, 2, 1]);
    }
}
