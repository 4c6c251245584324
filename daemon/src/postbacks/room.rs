//! Room for postbacks that are not durable yet.
//!
//! Small bodies, large bodies, and whole postbacks that wait for the disk have room of their own:
//! however many large bodies come in slowly, a postback that is small or has no body is taken. One
//! address has at most a share of each.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::per_address::PerAddress;

/// Longest body that counts as small.
pub(super) const SMALL_BODY_BYTES: u64 = 4 << 10;

/// All threads together: small bodies, large bodies, whole postbacks.
const MAX_BYTES: [usize; 3] = [8 << 20, 32 << 20, 24 << 20];
/// One address has at most this part of each.
const SHARE: usize = 4;
/// Addresses that are told apart, at eight bytes each.
const SHARES: usize = 1 << 12;

/// What room is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A body coming in that said beforehand that it is small.
    SmallBody,
    /// Any other body coming in.
    LargeBody,
    /// A whole postback that waits for the disk.
    Postback,
}

/// How much room is taken.
#[derive(Debug)]
pub(super) struct Room {
    areas: [Area; 3],
}

#[derive(Debug)]
struct Area {
    max_bytes: usize,
    taken: AtomicUsize,
    taken_by: PerAddress<AtomicUsize>,
}

/// There is none left for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// A piece of room, given back when dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Room>,
    purpose: Purpose,
    address: IpAddr,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Room {
        let area = |max_bytes| Area {
            max_bytes,
            taken: AtomicUsize::new(0),
            taken_by: PerAddress::new(SHARES),
        };
        Room { areas: MAX_BYTES.map(area) }
    }
}

impl Room {
    fn area(&self, purpose: Purpose) -> &Area {
        let [small, large, postbacks] = &self.areas;
        match purpose {
            Purpose::SmallBody => small,
            Purpose::LargeBody => large,
            Purpose::Postback => postbacks,
        }
    }
}

impl Taken {
    pub(super) fn none(room: &Arc<Room>, purpose: Purpose, address: IpAddr) -> Taken {
        Taken { room: Arc::clone(room), purpose, address, bytes: 0 }
    }

    /// Takes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let area = self.room.area(self.purpose);
        let share = area.taken_by.of(self.address);
        take(share, bytes, area.max_bytes / SHARE)?;
        if let Err(no_room) = take(&area.taken, bytes, area.max_bytes) {
            share.fetch_sub(bytes, Ordering::AcqRel);
            return Err(no_room);
        }
        self.bytes += bytes;
        Ok(())
    }
}

fn take(taken: &AtomicUsize, bytes: usize, max_bytes: usize) -> Result<(), NoRoom> {
    let grown = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= max_bytes);
    let took = taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown);
    took.map(drop).map_err(|_| NoRoom)
}

impl Drop for Taken {
    fn drop(&mut self) {
        let area = self.room.area(self.purpose);
        area.taken_by.of(self.address).fetch_sub(self.bytes, Ordering::AcqRel);
        area.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = MAX_BYTES[1];

    fn taken(room: &Arc<Room>, purpose: Purpose, last: u8) -> Taken {
        Taken::none(room, purpose, IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_address_has_a_share_and_gives_it_back() {
        let room = Arc::<Room>::default();
        let mut one = taken(&room, Purpose::LargeBody, 1);
        assert_eq!((one.grow(LARGE / SHARE), one.grow(1)), (Ok(()), Err(NoRoom)));
        let mut again = taken(&room, Purpose::LargeBody, 1);
        assert_eq!(again.grow(1), Err(NoRoom));
        drop(one);
        assert_eq!(again.grow(LARGE / SHARE), Ok(()));
        drop(again);
        assert_eq!(room.area(Purpose::LargeBody).taken.load(Ordering::Acquire), 0);
    }

    #[test]
    fn large_bodies_of_many_addresses_leave_room_for_small_ones_and_whole_postbacks() {
        let room = Arc::<Room>::default();
        let mut all: Vec<Taken> = (0..100).map(|n| taken(&room, Purpose::LargeBody, n)).collect();
        let given = all.iter_mut().filter_map(|taken| taken.grow(LARGE / 16).ok()).count();
        assert_eq!(given, 16);
        for purpose in [Purpose::SmallBody, Purpose::Postback] {
            assert_eq!(taken(&room, purpose, 1).grow(4096), Ok(()), "{purpose:?}");
        }
        drop(all);
        assert_eq!(taken(&room, Purpose::LargeBody, 1).grow(LARGE / SHARE), Ok(()));
    }
}
