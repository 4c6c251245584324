//! What can be wrong with the click log.

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AlertKind {
    Wal,
    WalSetAside,
    WalDamage,
    WalRemoval,
    Rings,
    RingSetAside,
    SmallRings,
    Store,
}

pub(super) type ClickAlerts = crate::active_alerts::ActiveAlerts<AlertKind>;
