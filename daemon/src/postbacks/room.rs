//! Room for postbacks that are not durable yet: bodies coming in, and what waits for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All threads together.
const MAX_BYTES: usize = 64 << 20;

/// How much room is taken.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: AtomicUsize,
}

/// There is none left for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// A piece of room, given back when dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Taken {
    pub(super) fn none(room: &Arc<Room>) -> Taken {
        Taken { room: Arc::clone(room), bytes: 0 }
    }

    /// Takes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let grown = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= MAX_BYTES);
        let taken = &self.room.taken;
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).map_err(|_| NoRoom)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_and_comes_back() {
        let room = Arc::<Room>::default();
        let [mut one, mut other] = [Taken::none(&room), Taken::none(&room)];
        assert_eq!((one.grow(MAX_BYTES - 1), other.grow(2)), (Ok(()), Err(NoRoom)));
        drop(one);
        assert_eq!((other.grow(2), other.grow(MAX_BYTES)), (Ok(()), Err(NoRoom)));
        drop(other);
        assert_eq!(room.taken.load(Ordering::Acquire), 0);
    }
}
