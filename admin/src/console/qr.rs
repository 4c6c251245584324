//! QR codes of links, as SVG.

use std::fmt::Write as _;

use qrcode::render::svg;
use qrcode::{Color, EcLevel, QrCode};

/// Side of the picture, in pixels.
const SIDE: u32 = 240;

/// The QR code of a text as a whole SVG document; `None` if the text is too long for one.
pub(crate) fn svg(text: &str) -> Option<String> {
    // Level M survives a fold or a stain on printed paper, at a moderate size.
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let picture = code
        .render()
        .min_dimensions(SIDE, SIDE)
        .dark_color(svg::Color("#000000"))
        .light_color(svg::Color("#ffffff"))
        .build();
    Some(picture)
}

/// The QR code as an element of a page: the document without its declaration.
pub(crate) fn element(text: &str) -> Option<String> {
    let document = svg(text)?;
    document.find("<svg").map(|at| document[at..].to_owned())
}

/// A QR code as the path of an SVG picture, so a page can hold many.
pub(crate) struct QrPath {
    /// Side in modules, with the quiet zone.
    pub(crate) side: usize,
    /// The `d` of the path.
    pub(crate) path: String,
}

/// Modules of white around a code, which readers need.
const QUIET_ZONE: usize = 4;

/// The QR code of a text as a path; `None` if the text is too long for one.
pub(crate) fn path(text: &str) -> Option<QrPath> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let mut path = String::new();
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        // Neighbouring dark modules of a row are one rectangle.
        for run in row.chunk_by(|left, right| left == right) {
            if run[0] == Color::Dark {
                let (left, top, length) = (x + QUIET_ZONE, y + QUIET_ZONE, run.len());
                let _ = write!(path, "M{left} {top}h{length}v1h-{length}z");
            }
            x += run.len();
        }
    }
    Some(QrPath { side: width + 2 * QUIET_ZONE, path })
}
