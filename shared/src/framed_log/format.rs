//! The bytes of a segment: header and frames. The specification stands in the header of
//! [`framed_log`](super).

/// The format version written, and the newest one read.
pub const FORMAT_VERSION: u32 = 1;
/// Longest payload of any frame, whatever a log's options are; bounds a reader's allocation.
pub const FRAME_LIMIT: u32 = 16 << 20;

pub(super) const FIRST_SEQUENCE: u64 = 1;
pub(super) const HEADER_BYTES: usize = 24;
pub(super) const FRAME_HEADER_BYTES: usize = 16;
const MAGIC: [u8; 8] = *b"cpnframe";

/// A decoded segment header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Valid { first: u64 },
    TooNew { version: u32 },
    Invalid { what: &'static str },
}

pub(super) fn encode_header(first: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&first.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&checksum.to_le_bytes());
    header
}

pub(super) fn decode_header(header: &[u8; HEADER_BYTES]) -> Header {
    if header[..8] != MAGIC {
        return Header::Invalid { what: "not the magic number of a framed log" };
    }
    if crc32c::crc32c(&header[..20]) != u32_at(header, 20) {
        return Header::Invalid { what: "the header's checksum does not match" };
    }
    match u32_at(header, 8) {
        FORMAT_VERSION => Header::Valid { first: u64_at(header, 12) },
        version => Header::TooNew { version },
    }
}

pub(super) struct FrameHeader {
    pub(super) payload_bytes: u32,
    pub(super) sequence: u64,
    checksum: u32,
}

impl FrameHeader {
    pub(super) fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> FrameHeader {
        FrameHeader {
            payload_bytes: u32_at(bytes, 0),
            checksum: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
        }
    }

    pub(super) fn matches(&self, payload: &[u8]) -> bool {
        self.checksum == checksum(self.payload_bytes, self.sequence, payload)
    }
}

pub(super) fn push_frame(out: &mut Vec<u8>, sequence: u64, payload: &[u8]) {
    let payload_bytes = payload.len() as u32;
    out.extend_from_slice(&payload_bytes.to_le_bytes());
    out.extend_from_slice(&checksum(payload_bytes, sequence, payload).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(payload);
}

// CRC-32C detects torn writes and rotten sectors, and the processor computes it in hardware. It
// need not resist forgery: only this program writes these files.
fn checksum(payload_bytes: u32, sequence: u64, payload: &[u8]) -> u32 {
    let checksum = crc32c::crc32c(&payload_bytes.to_le_bytes());
    let checksum = crc32c::crc32c_append(checksum, &sequence.to_le_bytes());
    crc32c::crc32c_append(checksum, payload)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}
