//! QR codes of links, as SVG.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

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
