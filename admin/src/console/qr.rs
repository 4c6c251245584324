//! QR codes of links: one picture, drawn as the path of an SVG or as a PNG.

use std::fmt::Write as _;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use qrcode::{Color, EcLevel, QrCode};

use super::error_page::PageError;
use super::page::PageResult;

/// Side of the SVG document and of the PNG, in pixels.
const SVG_SIDE: u32 = 240;
const PNG_SIDE: usize = 1024;

/// Modules of white around a code, which readers need.
const QUIET_ZONE: usize = 4;

/// The modules of a QR code.
pub(crate) struct QrPicture {
    /// Side in modules, with the quiet zone.
    pub(crate) side: usize,
    /// Row by row, without the quiet zone.
    modules: Vec<Color>,
}

impl QrPicture {
    /// The QR code of a text; `None` if the text is too long for one.
    pub(crate) fn new(text: &str) -> Option<QrPicture> {
        // Level M survives a fold or a stain on printed paper, at a moderate size.
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        Some(QrPicture { side: code.width() + 2 * QUIET_ZONE, modules: code.to_colors() })
    }

    fn rows(&self) -> impl Iterator<Item = &[Color]> {
        self.modules.chunks(self.side - 2 * QUIET_ZONE)
    }

    /// The `d` of an SVG path in a box of `side` by `side`.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for (y, row) in self.rows().enumerate() {
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
        path
    }

    pub(crate) fn svg_answer(&self) -> Response {
        ([(CONTENT_TYPE, "image/svg+xml")], self.svg()).into_response()
    }

    pub(crate) fn png_answer(&self) -> PageResult {
        let picture = self.png().map_err(|error| {
            tracing::error!(%error, "QR code not drawn");
            PageError::new(StatusCode::INTERNAL_SERVER_ERROR, "The picture could not be drawn.")
        })?;
        Ok(([(CONTENT_TYPE, "image/png")], picture).into_response())
    }

    /// A whole document.
    fn svg(&self) -> String {
        let (side, path) = (self.side, self.path());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
             width=\"{SVG_SIDE}\" height=\"{SVG_SIDE}\" shape-rendering=\"crispEdges\">\
             <path fill=\"#fff\" d=\"M0 0h{side}v{side}h-{side}z\"/><path d=\"{path}\"/></svg>"
        )
    }

    /// Black on white, 1,024 by 1,024 pixels.
    fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut picture = Vec::new();
        let mut encoder = png::Encoder::new(&mut picture, PNG_SIDE as u32, PNG_SIDE as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.write_header()?.write_image_data(&self.bits())?;
        Ok(picture)
    }

    /// The pixels of the PNG, eight in a byte; a set bit is white.
    fn bits(&self) -> Vec<u8> {
        // Modules of a whole number of pixels have sharp edges; the rest widens the quiet zone.
        let scale = (PNG_SIDE / self.side).max(1);
        let margin = (PNG_SIDE - scale * self.side) / 2 + scale * QUIET_ZONE;
        let mut bits = vec![0xff; PNG_SIDE * PNG_SIDE / 8];
        for (y, row) in self.rows().enumerate() {
            let dark = row.iter().enumerate().filter(|(_, module)| **module == Color::Dark);
            for x in dark.flat_map(|(x, _)| (0..scale).map(move |pixel| margin + x * scale + pixel))
            {
                for line in (0..scale).map(|pixel| margin + y * scale + pixel) {
                    bits[line * PNG_SIDE / 8 + x / 8] &= !(0x80 >> (x % 8));
                }
            }
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes a picture of `side` by `side` pixels.
    fn read(side: usize, is_dark: impl Fn(usize, usize) -> bool) -> String {
        let shade = |x, y| if is_dark(x, y) { 0 } else { 255 };
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, shade);
        picture.detect_grids()[0].decode().unwrap().1
    }

    #[test]
    fn both_pictures_read_as_the_link() {
        let longest = format!("https://go.example/{}", "A1".repeat(800));
        for link in ["https://go.example/WINTER25/", &longest] {
            let picture = QrPicture::new(link).unwrap();
            let png = picture.png().unwrap();
            let mut decoder = png::Decoder::new(std::io::Cursor::new(&png));
            decoder.set_transformations(png::Transformations::EXPAND);
            let mut reader = decoder.read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height), (1024, 1024));
            assert_eq!(read(1024, |x, y| pixels[y * 1024 + x] < 128), link);

            // Each module is a square of 8 by 8 pixels; the path names the dark runs of a row.
            let mut dark = vec![false; picture.side * picture.side];
            for run in picture.path().split('M').skip(1) {
                let (x, rest) = run.split_once(' ').unwrap();
                let (y, rest) = rest.split_once('h').unwrap();
                let (length, _) = rest.split_once('v').unwrap();
                let [x, y, length] = [x, y, length].map(|number| number.parse::<usize>().unwrap());
                dark[y * picture.side + x..][..length].fill(true);
            }
            let is_dark = |x, y| dark[y / 8 * picture.side + x / 8];
            assert_eq!(read(picture.side * 8, is_dark), link);
        }
        assert!(QrPicture::new(&"x".repeat(4000)).is_none());
    }
}
