//! A large database, written byte by byte: every address is in a country.

const RECORD_BITS: u16 = 28;

/// A tree of so many levels: 23 make 59 MB.
pub(super) fn large_database(levels: u32, kind: &str) -> Vec<u8> {
    let countries = ["DE", "SE", "US", "GB", "FR", "JP", "BR"];
    let mut data = Vec::new();
    let offsets: Vec<usize> = countries
        .iter()
        .map(|country| {
            let offset = data.len();
            data.push(0xe1);
            push_text(&mut data, "country_code");
            push_text(&mut data, country);
            offset
        })
        .collect();
    let nodes = (1_usize << levels) - 1;
    let mut file = Vec::with_capacity(nodes * 7 + 4096);
    for node in 0..nodes {
        let record = |child: usize| match child < nodes {
            true => child,
            false => nodes + 16 + offsets[child % offsets.len()],
        };
        let [left, right] =
            [2 * node + 1, 2 * node + 2].map(|child| (record(child) as u32).to_be_bytes());
        file.extend_from_slice(&left[1..]);
        file.push(left[0] << 4 | right[0]);
        file.extend_from_slice(&right[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    push_metadata(&mut file, nodes as u32, kind);
    file
}

fn push_metadata(file: &mut Vec<u8>, nodes: u32, kind: &str) {
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com\xe9");
    let numbers =
        [("binary_format_major_version", 2), ("binary_format_minor_version", 0), ("ip_version", 4)];
    for (key, number) in numbers.into_iter().chain([("record_size", RECORD_BITS)]) {
        push_text(file, key);
        file.push(0xa2);
        file.extend_from_slice(&number.to_be_bytes());
    }
    push_text(file, "node_count");
    file.push(0xc4);
    file.extend_from_slice(&nodes.to_be_bytes());
    push_text(file, "build_epoch");
    file.extend_from_slice(&[0x08, 0x02]);
    file.extend_from_slice(&1_790_000_000_u64.to_be_bytes());
    push_text(file, "database_type");
    push_text(file, kind);
    push_text(file, "languages");
    file.extend_from_slice(&[0x00, 0x04]);
    push_text(file, "description");
    file.push(0xe0);
}

/// At most 28 bytes.
fn push_text(file: &mut Vec<u8>, text: &str) {
    file.push(0x40 | text.len() as u8);
    file.extend_from_slice(text.as_bytes());
}
