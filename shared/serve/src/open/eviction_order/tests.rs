use proptest::prelude::*;

use super::*;

fn key(number: u8) -> AddressKey {
    IpAddr::from([10, 0, 0, number]).into()
}

/// A connection's kind, place in the queue, and beginning of its wait.
type Queued = (Waiting, u64, Instant);

/// The rules of the module's header, followed by a search through all connections.
#[derive(Debug, Default)]
struct Model {
    open: Vec<(u32, AddressKey, Option<Queued>)>,
    queued_so_far: u64,
}

impl Model {
    fn count(&self, address: AddressKey) -> usize {
        self.open.iter().filter(|(_, of, _)| *of == address).count()
    }

    fn first(&self, wanted: Waiting, address: AddressKey) -> Option<(u32, Instant)> {
        let of_address = self.open.iter().filter(|(_, of, _)| *of == address);
        let queued = of_address.filter_map(|(number, _, queued)| {
            queued.filter(|(waiting, ..)| *waiting == wanted).map(|queued| (*number, queued))
        });
        let first = queued.min_by_key(|(_, (_, place, _))| *place);
        first.map(|(number, (_, _, since))| (number, since))
    }

    /// The address with most connections among those with connections of a kind.
    fn address_with_most(&self, wanted: Waiting) -> Option<AddressKey> {
        let queued = self.open.iter().filter_map(|(_, address, queued)| {
            let (_, place, _) = queued.filter(|(waiting, ..)| *waiting == wanted)?;
            Some((self.count(*address), Reverse(place), *address))
        });
        queued.max().map(|(.., address)| address)
    }

    fn next_to_close(&self, newcomer: AddressKey, now: Instant, last_resort: bool) -> Option<u32> {
        let overdue_or_idle = |unfinished: Option<(u32, Instant)>, idle: Option<(u32, Instant)>| {
            unfinished.filter(|(_, since)| now - *since >= OVERDUE_AFTER).or(idle)
        };
        let most = [Waiting::Unfinished, Waiting::Idle].map(|kind| self.address_with_most(kind));
        let most = most.into_iter().flatten().map(|address| self.count(address)).max()?;
        let mut chosen = None;
        if self.count(newcomer) >= most {
            let first = |waiting| self.first(waiting, newcomer);
            chosen = overdue_or_idle(first(Waiting::Unfinished), first(Waiting::Idle));
        }
        let first = |waiting| self.first(waiting, self.address_with_most(waiting)?);
        let (unfinished, idle) = (first(Waiting::Unfinished), first(Waiting::Idle));
        chosen = chosen.or(overdue_or_idle(unfinished, idle));
        chosen.or(unfinished.filter(|_| last_resort)).map(|(number, _)| number)
    }
}

#[derive(Debug, Clone)]
enum Change {
    Open { number: u32, address: u8 },
    Close { number: u32 },
    Enqueue { number: u32, is_idle: bool, age_ms: u64 },
    Dequeue { number: u32 },
    Move { number: u32, address: u8 },
}

fn change() -> impl Strategy<Value = Change> {
    let (number, address) = (0..24_u32, 0..5_u8);
    prop_oneof![
        4 => (number.clone(), address.clone())
            .prop_map(|(number, address)| Change::Open { number, address }),
        1 => number.clone().prop_map(|number| Change::Close { number }),
        4 => (number.clone(), any::<bool>(), 0..3000_u64)
            .prop_map(|(number, is_idle, age_ms)| Change::Enqueue { number, is_idle, age_ms }),
        1 => number.clone().prop_map(|number| Change::Dequeue { number }),
        1 => (number, address).prop_map(|(number, address)| Change::Move { number, address }),
    ]
}

proptest! {
    #[test]
    fn the_choice_equals_a_search_through_all_connections(
        changes in proptest::collection::vec(change(), 1..120), newcomer in 0..6_u8
    ) {
        let now = Instant::now() + Duration::from_secs(10);
        let (mut order, mut model) = (EvictionOrder::default(), Model::default());
        for change in changes {
            apply(change, now, &mut order, &mut model);
            for last_resort in [false, true] {
                let expected = model.next_to_close(key(newcomer), now, last_resort);
                let chosen = order.next_to_close(Some(key(newcomer)), now, last_resort);
                prop_assert_eq!(chosen, expected);
            }
            let addresses: BTreeSet<_> = model.open.iter().map(|(_, address, _)| *address).collect();
            prop_assert_eq!(order.addresses.len(), addresses.len());
        }
    }
}

fn apply(change: Change, now: Instant, order: &mut EvictionOrder, model: &mut Model) {
    let place =
        |model: &Model, wanted: u32| model.open.iter().position(|(number, ..)| *number == wanted);
    match change {
        Change::Open { number, address } if place(model, number).is_none() => {
            order.open(number, key(address));
            model.open.push((number, key(address), None));
        }
        Change::Open { .. } => {}
        Change::Close { number } => {
            if let Some(at) = place(model, number) {
                order.close(number);
                model.open.remove(at);
            }
        }
        Change::Enqueue { number, is_idle, age_ms } => {
            if let Some(at) = place(model, number) {
                let waiting = if is_idle { Waiting::Idle } else { Waiting::Unfinished };
                let since = now - Duration::from_millis(age_ms);
                order.enqueue(number, waiting, since);
                model.queued_so_far += 1;
                model.open[at].2.get_or_insert((waiting, model.queued_so_far, since));
            }
        }
        Change::Dequeue { number } => {
            if let Some(at) = place(model, number) {
                order.dequeue(number);
                model.open[at].2 = None;
            }
        }
        Change::Move { number, address } => {
            if let Some(at) = place(model, number).filter(|at| model.open[*at].1 != key(address)) {
                order.set_address(number, key(address));
                model.queued_so_far += 1;
                model.open[at].1 = key(address);
                if let Some(queued) = &mut model.open[at].2 {
                    queued.1 = model.queued_so_far;
                }
            }
        }
    }
}

#[test]
fn addresses_of_one_ipv6_network_and_mapped_addresses_share_a_key() {
    let key = |text: &str| AddressKey::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
    assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
}

#[test]
fn a_choice_among_a_hundred_thousand_connections_takes_no_search() {
    let mut order = EvictionOrder::default();
    let now = Instant::now();
    for number in 0..100_000 {
        order.open(number, AddressKey(u128::from(number) << 64));
        order.enqueue(number, Waiting::Idle, now);
    }
    let began = Instant::now();
    for number in 0..10_000_u32 {
        let closed = order.next_to_close(None, now, true).unwrap();
        order.close(closed);
        order.open(closed, AddressKey(u128::from(number) << 32));
        order.enqueue(closed, Waiting::Idle, now);
    }
    // A search would look at 1,000,000,000 connections.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
