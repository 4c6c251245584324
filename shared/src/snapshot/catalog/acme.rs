//! The ACME section of a catalog: tracking domains that answer HTTP-01 challenges (RFC 8555).
//!
//! The section stands before the archive in the payload. An archive is read from its end, so
//! releases that do not know the section read the catalog as if there were none: their redirects
//! are right, and they answer no challenge. A catalog without such domains has no section, and its
//! bytes are those of earlier releases.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | number of domains, at least 1 |
//! | 4 | 43 | thumbprint of the account's key (RFC 7638): SHA-256 in base64url |
//! | 47 | 1 | zero |
//! | 48 | 4 each | ids of the domains, ascending |
//!
//! Zeros fill the section to a multiple of 16 bytes, which keeps the archive aligned.

const HEAD_LEN: usize = 48;
const THUMBPRINT_AT: usize = 4;
const THUMBPRINT_LEN: usize = 43;
const ID_LEN: usize = 4;
/// Alignment of the archive behind the section.
const ALIGNMENT: usize = 16;

/// Tracking domains that answer HTTP-01 challenges, and the account for which they do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcmeDomains {
    /// Thumbprint of the account's key; empty without an account, and then no challenge is
    /// answered.
    pub thumbprint: String,
    /// Ids of tracking domains, ascending.
    pub domain_ids: Vec<u32>,
}

impl AcmeDomains {
    /// Whether requests under this domain may be challenges.
    pub(super) fn answers_for(&self, domain_id: u32) -> bool {
        self.domain_ids.binary_search(&domain_id).is_ok()
    }

    /// The section's bytes; none where no challenge can be answered.
    pub(super) fn encode(&self) -> Vec<u8> {
        if self.thumbprint.is_empty() || self.domain_ids.is_empty() {
            return Vec::new();
        }
        // A catalog has fewer than 2^32 domains: ids are 32 bits.
        let mut bytes = (self.domain_ids.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(self.thumbprint.as_bytes());
        bytes.resize(HEAD_LEN.max(bytes.len()), 0);
        for id in &self.domain_ids {
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    /// Reads a section after checking its length, its thumbprint and the order of its ids.
    pub(super) fn decode(bytes: &[u8]) -> Result<AcmeDomains, String> {
        if bytes.is_empty() {
            return Ok(AcmeDomains::default());
        }
        let (head, rest) =
            bytes.split_at_checked(HEAD_LEN).ok_or("its ACME section is cut short")?;
        let domain_ids: Vec<u32> = rest
            .chunks_exact(ID_LEN)
            .take(u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize)
            .map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]]))
            .collect();
        let thumbprint = &head[THUMBPRINT_AT..THUMBPRINT_AT + THUMBPRINT_LEN];
        let thumbprint = String::from_utf8_lossy(thumbprint).into_owned();
        if !is_thumbprint(&thumbprint) {
            return Err("the thumbprint in its ACME section is none".into());
        }
        if !domain_ids.is_sorted_by(|one, next| one < next) {
            return Err("the domains in its ACME section are out of order".into());
        }
        let domains = AcmeDomains { thumbprint, domain_ids };
        // One form for each content: any other length, count or filling is damage.
        if domains.encode() != bytes {
            return Err("its ACME section has another form".into());
        }
        Ok(domains)
    }
}

/// Whether a text is a SHA-256 thumbprint in base64url without padding.
pub fn is_thumbprint(text: &str) -> bool {
    text.len() == THUMBPRINT_LEN && text.bytes().all(is_base64url)
}

/// Whether a path segment is the token of a challenge: base64url, at most 128 characters.
pub fn is_challenge_token(segment: &str) -> bool {
    const MAX_TOKEN_LEN: usize = 128;
    (1..=MAX_TOKEN_LEN).contains(&segment.len()) && segment.bytes().all(is_base64url)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const THUMBPRINT: &str = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ";

    fn domains(domain_ids: &[u32]) -> AcmeDomains {
        AcmeDomains { thumbprint: THUMBPRINT.into(), domain_ids: domain_ids.to_vec() }
    }

    #[test]
    fn a_section_reads_back_and_keeps_the_archive_aligned() {
        for ids in [&[7][..], &[1, 2, 3, 4], &[0, 5, u32::MAX, 0][..3]] {
            let bytes = domains(ids).encode();
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            assert_eq!(AcmeDomains::decode(&bytes), Ok(domains(ids)));
        }
        assert!(domains(&[1, 5]).answers_for(5) && !domains(&[1, 5]).answers_for(2));
    }

    #[test]
    fn there_is_no_section_without_an_account_or_without_domains() {
        let no_account = AcmeDomains { domain_ids: vec![1], ..AcmeDomains::default() };
        assert_eq!((no_account.encode(), domains(&[]).encode()), (vec![], vec![]));
        assert_eq!(AcmeDomains::decode(&[]), Ok(AcmeDomains::default()));
    }

    #[test]
    fn a_section_of_another_form_is_refused() {
        let good = domains(&[3, 9]).encode();
        for len in 1..good.len() {
            assert!(AcmeDomains::decode(&good[..len]).is_err(), "cut to {len}");
        }
        for (at, to) in [(0, 3), (0, 1), (3, 255), (4, b'+'), (47, 1), (48, 9), (56, 1), (63, 1)] {
            let mut bad = good.clone();
            bad[at] = to;
            assert!(AcmeDomains::decode(&bad).is_err(), "byte {at}");
        }
        assert!(AcmeDomains::decode(&[&good[..], &[0; 16]].concat()).is_err());
    }

    #[test]
    fn tokens_are_base64url_of_bounded_length() {
        for token in ["a", "aZ09-_", &"x".repeat(128)] {
            assert!(is_challenge_token(token), "{token}");
        }
        for other in ["", "a.b", "a/b", "a%41", "a b", "ä", "a=", "..", &"x".repeat(129)] {
            assert!(!is_challenge_token(other), "{other}");
        }
    }
}
