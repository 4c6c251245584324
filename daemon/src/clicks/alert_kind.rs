//! The kinds of alerts of the click log.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AlertKind {
    Wal,
    WalSetAside,
    WalDamage,
    WalRemoval,
    NewerBlocks,
    Rings,
    RingSetAside,
    SmallRings,
    Store,
    StoreBounds,
}

pub(super) type ClickAlerts = crate::active_alerts::ActiveAlerts<AlertKind>;
