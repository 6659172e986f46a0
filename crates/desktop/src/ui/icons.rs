//! The icons: SVG sources of this project, drawn for a light or a dark panel in any size.
//!
//! Each state has a shape of its own. The sources are drawn in ink for a light panel; for a dark
//! one ink and paper change places. Nothing here knows which panel there is.

use crate::ui::model::Icon;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

const INK: &str = "#2e3436";
const PAPER: &str = "#f2f2f0";
/// The sizes that panels ask for.
pub const SIZES: [u32; 6] = [16, 22, 24, 32, 48, 64];

/// The program's own icon.
pub const PROGRAM: &str = include_str!("../../icons/hushbox.svg");

/// A drawn picture, four bytes a pixel, rows from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub size: u32,
    /// Red, green, blue, alpha; not premultiplied.
    pub rgba: Vec<u8>,
}

impl Picture {
    /// Alpha first, as trays want it.
    #[must_use]
    pub fn argb(&self) -> Vec<u8> {
        let mut argb = self.rgba.clone();
        argb.chunks_exact_mut(4).for_each(|pixel| pixel.rotate_right(1));
        argb
    }
}

fn source(icon: Icon) -> &'static str {
    match icon {
        Icon::Offline => include_str!("../../icons/hushbox-offline.svg"),
        Icon::Idle => include_str!("../../icons/hushbox-idle.svg"),
        Icon::Call => include_str!("../../icons/hushbox-call.svg"),
        Icon::Recording => include_str!("../../icons/hushbox-recording.svg"),
        Icon::Blackout => include_str!("../../icons/hushbox-blackout.svg"),
        Icon::Standby => include_str!("../../icons/hushbox-standby.svg"),
        Icon::Attention => include_str!("../../icons/hushbox-attention.svg"),
    }
}

/// The icon in one size. `dark`: for a dark panel.
#[must_use]
pub fn draw(icon: Icon, dark: bool, size: u32) -> Option<Picture> {
    let source = source(icon);
    if !dark {
        return draw_svg(source, size);
    }
    let swapped = source.replace(INK, "#ink").replace(PAPER, INK).replace("#ink", PAPER);
    draw_svg(&swapped, size)
}

/// Any square SVG in one size.
#[must_use]
pub fn draw_svg(source: &str, size: u32) -> Option<Picture> {
    let tree = Tree::from_str(source, &Options::default()).ok()?;
    let mut pixmap = Pixmap::new(size, size)?;
    let scale = f32::from(u16::try_from(size).ok()?) / tree.size().width();
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    let pixels = pixmap.pixels().iter().map(|pixel| pixel.demultiply());
    let rgba = pixels.flat_map(|p| [p.red(), p.green(), p.blue(), p.alpha()]).collect();
    Some(Picture { size, rgba })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which pixels are drawn at all, whatever their colour.
    fn shape(icon: Icon, dark: bool, size: u32) -> Vec<bool> {
        let picture = draw(icon, dark, size).expect("a picture");
        assert_eq!(picture.rgba.len(), usize::try_from(size * size * 4).unwrap_or(0));
        picture.rgba.chunks_exact(4).map(|pixel| pixel[3] > 127).collect()
    }

    /// Light and dark only, as somebody sees who sees no colour.
    fn grey(icon: Icon, dark: bool) -> Vec<u8> {
        let background = if dark { 30.0 } else { 235.0 };
        let picture = draw(icon, dark, 16).expect("a picture");
        let pixel = |p: &[u8]| {
            let [red, green, blue, alpha] = [p[0], p[1], p[2], p[3]].map(f32::from);
            let grey = 0.3 * red + 0.59 * green + 0.11 * blue;
            u8::from(((grey * alpha + background * (255.0 - alpha)) / 255.0) > 130.0)
        };
        picture.rgba.chunks_exact(4).map(pixel).collect()
    }

    #[test]
    fn every_state_has_a_shape_of_its_own_without_its_colour() {
        for dark in [false, true] {
            for (n, one) in Icon::ALL.iter().enumerate() {
                for other in &Icon::ALL[..n] {
                    let (one_grey, other_grey) = (grey(*one, dark), grey(*other, dark));
                    let differ = one_grey.iter().zip(&other_grey).filter(|(a, b)| a != b).count();
                    assert!(differ >= 25, "{one:?} and {other:?} differ in {differ} of 256");
                }
            }
        }
    }

    #[test]
    fn every_size_is_drawn_and_light_and_dark_have_the_same_shape() {
        for icon in Icon::ALL {
            for size in SIZES {
                let light = shape(icon, false, size);
                assert_eq!(light, shape(icon, true, size), "{icon:?} {size}");
                assert!(light.iter().filter(|drawn| **drawn).count() > 20, "{icon:?} {size}");
            }
            assert_ne!(draw(icon, false, 22), draw(icon, true, 22), "{icon:?}");
        }
        assert!(draw_svg(PROGRAM, 64).is_some());
    }

    #[test]
    fn trays_get_alpha_first() {
        let picture = Picture { size: 1, rgba: vec![1, 2, 3, 4] };
        assert_eq!(picture.argb(), [4, 1, 2, 3]);
    }
}
