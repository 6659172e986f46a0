//! Pictures: what is seen, as pixels and as a coder takes it.
//!
//! A `Canvas` holds the screen's pixels as X gives them (blue, green, red, unused); a `Picture` is
//! the same in planes of brightness and colour (I420), scaled, of even size. Both are wiped when
//! they go. Nothing here knows a display or a coder.

use zeroize::Zeroize;

/// Bytes of one pixel on a canvas.
pub const PIXEL: usize = 4;

/// The screen as it was last seen.
#[derive(Default)]
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

impl Canvas {
    #[must_use]
    pub fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, pixels: vec![0; width * height * PIXEL] }
    }

    /// Puts rows of pixels at `(x, y)`, cut at the edges. False: they stood there already.
    pub fn put(&mut self, (x, y): (usize, usize), width: usize, pixels: &[u8]) -> bool {
        let fits = self.width.saturating_sub(x).min(width);
        let mut differs = false;
        for (row, line) in pixels.chunks_exact(width.max(1) * PIXEL).enumerate() {
            if y + row >= self.height {
                break;
            }
            let at = ((y + row) * self.width + x) * PIXEL;
            let (there, here) = (&mut self.pixels[at..at + fits * PIXEL], &line[..fits * PIXEL]);
            differs |= *there != *here;
            there.copy_from_slice(here);
        }
        differs
    }

    /// Lays premultiplied pixels with an alpha channel over it: the cursor.
    pub fn lay(&mut self, (x, y): (i32, i32), width: usize, pixels: &[u32]) {
        for (row, line) in (y..).zip(pixels.chunks_exact(width.max(1))) {
            for (column, over) in (x..).zip(line) {
                let (Ok(row), Ok(column)) = (usize::try_from(row), usize::try_from(column)) else {
                    continue;
                };
                if row >= self.height || column >= self.width {
                    continue;
                }
                let [blue, green, red, alpha] = over.to_le_bytes();
                let at = (row * self.width + column) * PIXEL;
                for (under, over) in self.pixels[at..at + 3].iter_mut().zip([blue, green, red]) {
                    let rest = u32::from(*under) * u32::from(255 - alpha) / 255;
                    *under = u8::try_from(rest + u32::from(over)).unwrap_or(255);
                }
            }
        }
    }

    /// The picture of it, `scale` percent of its size.
    #[must_use]
    pub fn picture(&self, scale: usize) -> Picture {
        let mut picture = Picture::black_of((self.width, self.height), scale);
        let (width, height) = (picture.width, picture.height);
        let (luma, colour) = picture.planes.split_at_mut(width * height);
        for row in 0..height {
            let from = row * self.height / height * self.width;
            for (column, y) in luma[row * width..][..width].iter_mut().enumerate() {
                let [b, g, r] = self.at(from + column * self.width / width);
                *y = byte((66 * r + 129 * g + 25 * b + 128) / 256 + 16);
            }
        }
        let half = width / 2;
        let (us, vs) = colour.split_at_mut(half * height / 2);
        for row in 0..height / 2 {
            let from = row * 2 * self.height / height * self.width;
            for column in 0..half {
                let [b, g, r] = self.at(from + column * 2 * self.width / width);
                us[row * half + column] = byte((112 * b - 38 * r - 74 * g + 128) / 256 + 128);
                vs[row * half + column] = byte((112 * r - 94 * g - 18 * b + 128) / 256 + 128);
            }
        }
        picture
    }

    fn at(&self, pixel: usize) -> [i32; 3] {
        let at = pixel * PIXEL;
        [self.pixels[at].into(), self.pixels[at + 1].into(), self.pixels[at + 2].into()]
    }
}

fn byte(value: i32) -> u8 {
    u8::try_from(value.clamp(0, 255)).unwrap_or(0)
}

impl Drop for Canvas {
    fn drop(&mut self) {
        self.pixels.zeroize();
    }
}

/// A picture in I420: all brightness, then the two colours at a quarter of the size.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub planes: Vec<u8>,
}

impl Picture {
    /// Black, as large as the picture of a canvas of this size is.
    #[must_use]
    pub fn black_of((width, height): (usize, usize), scale: usize) -> Picture {
        let size = |of: usize| (of * scale / 100).max(2) & !1;
        Picture::black(size(width), size(height))
    }

    /// Black, of an even size.
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
    fn colours_become_planes() {
        let mut canvas = Canvas::new(4, 2);
        canvas.put((0, 0), 4, &[255; 32]);
        let white = canvas.picture(100);
        assert_eq!((white.planes[0], white.planes[8], white.planes[10]), (235, 128, 128));
        canvas.put((0, 0), 2, &[0; 16]);
        let half = canvas.picture(100);
        assert_eq!((half.planes[0], half.planes[1], half.planes[2]), (16, 16, 235));
        assert_eq!(Canvas::new(4, 2).picture(100).planes, Picture::black(4, 2).planes);
        assert_eq!(Canvas::new(1281, 721).picture(50).width, 640);
    }

    #[test]
    fn what_lies_over_the_edge_is_cut() {
        let mut canvas = Canvas::new(2, 2);
        assert!(canvas.put((1, 1), 3, &[9; 36]));
        assert_eq!(canvas.pixels[12..], [9; 4]);
        assert!(!canvas.put((1, 1), 3, &[9; 36]), "nothing new");
        assert_eq!(canvas.pixels[..12], [0; 12]);
        canvas.lay((-1, -1), 2, &[0, 0, 0, 0xff01_0203]);
        assert_eq!(canvas.pixels[..3], [3, 2, 1]);
    }
}
