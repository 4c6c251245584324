//! Long messages in pieces that NATS carries.
//!
//! ```text
//! piece := index u16, count u16, little-endian; then bytes
//! ```
//!
//! One connection keeps the order of its messages, so a piece out of order means a lost one: the
//! message is given up, and its sender asks again after the deadline.

use bytes::{BufMut, Bytes, BytesMut};

use super::nats::MAX_PAYLOAD;

const HEAD_LEN: usize = 4;
const MAX_PIECE_BYTES: usize = MAX_PAYLOAD - HEAD_LEN;
/// Longest message: the visit state of a large network has about 30 MB.
pub(super) const MAX_MESSAGE_BYTES: usize = 40 << 20;

/// A message that was not put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PieceError {
    #[error("a piece of a message was lost or is damaged")]
    Lost,
    #[error("a message of {got} bytes exceeds the bound of {MAX_MESSAGE_BYTES}")]
    TooLong { got: usize },
}

/// Cuts a message into pieces.
///
/// # Errors
/// When the message is too long.
pub(crate) fn split(message: &[u8]) -> Result<Vec<Bytes>, PieceError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(PieceError::TooLong { got: message.len() });
    }
    let count = message.len().div_ceil(MAX_PIECE_BYTES).max(1);
    let part = |index: usize| {
        let from = index * MAX_PIECE_BYTES;
        let bytes = message.get(from..(from + MAX_PIECE_BYTES).min(message.len()));
        let mut piece = BytesMut::with_capacity(HEAD_LEN + MAX_PIECE_BYTES.min(message.len()));
        piece.put_u16_le(u16::try_from(index).unwrap_or(u16::MAX));
        piece.put_u16_le(u16::try_from(count).unwrap_or(u16::MAX));
        piece.extend_from_slice(bytes.unwrap_or_default());
        piece.freeze()
    };
    Ok((0..count).map(part).collect())
}

/// A message of which not all pieces have come.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    message: Vec<u8>,
    next: u16,
}

impl Joining {
    /// Adds the next piece; returns the message with its last one.
    ///
    /// # Errors
    /// When a piece is missing or damaged, or the message exceeds `max_bytes`.
    pub(crate) fn add(
        &mut self,
        piece: &[u8],
        max_bytes: usize,
    ) -> Result<Option<Vec<u8>>, PieceError> {
        let (head, bytes) = piece.split_first_chunk::<HEAD_LEN>().ok_or(PieceError::Lost)?;
        let index = u16::from_le_bytes([head[0], head[1]]);
        let count = u16::from_le_bytes([head[2], head[3]]);
        if index != self.next || index >= count {
            return Err(PieceError::Lost);
        }
        let got = self.message.len() + bytes.len();
        if got > max_bytes.min(MAX_MESSAGE_BYTES) {
            return Err(PieceError::TooLong { got });
        }
        self.message.extend_from_slice(bytes);
        self.next += 1;
        Ok((self.next == count).then(|| std::mem::take(&mut self.message)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn join(pieces: &[Bytes]) -> Result<Option<Vec<u8>>, PieceError> {
        let mut joining = Joining::default();
        let mut last = None;
        for piece in pieces {
            assert_eq!(last, None, "whole before its last piece");
            last = joining.add(piece, MAX_MESSAGE_BYTES)?;
        }
        Ok(last)
    }

    #[test]
    fn messages_of_all_lengths_come_together() {
        for length in [0, 1, MAX_PIECE_BYTES, MAX_PIECE_BYTES + 1, 3 * MAX_PIECE_BYTES] {
            let message: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let pieces = split(&message).unwrap();
            assert!(pieces.iter().all(|piece| piece.len() <= MAX_PAYLOAD));
            assert_eq!(join(&pieces), Ok(Some(message)));
        }
        let too_long = vec![0; MAX_MESSAGE_BYTES + 1];
        assert_eq!(split(&too_long), Err(PieceError::TooLong { got: too_long.len() }));
    }

    #[test]
    fn a_missing_repeated_or_foreign_piece_is_noticed() {
        let pieces = split(&vec![1; 2 * MAX_PIECE_BYTES]).unwrap();
        assert_eq!(join(&pieces[1..]), Err(PieceError::Lost));
        let repeated = [pieces[0].clone(), pieces[0].clone()];
        assert_eq!(join(&repeated), Err(PieceError::Lost));
        assert_eq!(join(&[Bytes::from_static(b"abc")]), Err(PieceError::Lost));
        assert_eq!(join(&[Bytes::from_static(&[0, 0, 0, 0])]), Err(PieceError::Lost));
        let too_long = Err(PieceError::TooLong { got: MAX_PIECE_BYTES });
        assert_eq!(Joining::default().add(&pieces[0], 7), too_long);
    }

    proptest! {
        #[test]
        fn any_pieces_are_bounded_and_make_no_panic(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9)
        ) {
            let mut joining = Joining::default();
            for piece in pieces {
                if let Ok(Some(message)) = joining.add(&piece, 12) {
                    prop_assert!(message.len() <= 12);
                }
            }
        }
    }
}
