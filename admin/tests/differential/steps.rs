//! Steps of a stream. Steps refer to visits and postbacks by step number, so a stream keeps its
//! meaning when steps are removed.

/// Number of a step, unchanged when other steps are removed.
pub(crate) type Number = u32;

pub(crate) const OPEN: usize = 0;
/// The advertiser with a token; code first, first touch.
pub(crate) const CAREFUL: usize = 1;
pub(crate) const TOKEN: &str = "s3cret";

/// The codes; steps use the index.
pub(crate) const CODES: [&str; 13] = [
    "ALPHA", "BOTH", "GAMMA", "DELTA", "TRUST", "EURO9", "CLICKS", "DUPES", "PAUSED", "EXPIRED",
    "NOBODY", "LATER", "MOVES",
];
pub(crate) const UNKNOWN_CODE: usize = CODES.len();

pub(crate) const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/126.0",
    "Googlebot/2.1",
    "Checker/1.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1",
];
pub(crate) const BOT: usize = 3;
/// A bot only while the network's list names it.
pub(crate) const CHECKER: usize = 4;
pub(crate) const SUBS: [&str; 3] = ["", "story", "mail"];
pub(crate) const EVENT: &str = "Newsletter";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) number: Number,
    pub(crate) step: StreamStep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamStep {
    Visit(Visit),
    Report(Postback),
    /// Postbacks sent in this order without waiting for answers.
    Burst(Vec<Numbered>),
    /// Visits and postbacks while the admin is away.
    Away(Vec<Numbered>),
    Edit(Edit),
    /// Decision by hand about the conversion of this postback.
    Decide {
        postback: Number,
        approve: bool,
    },
    /// `kill -9` and a restart.
    Kill {
        admin: bool,
        daemon: bool,
    },
    /// Longer than the duplicate window of visits.
    Pause,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) how: How,
    pub(crate) sub1: usize,
    pub(crate) agent: usize,
    pub(crate) address: u8,
    pub(crate) is_prefetch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Code {
        code: usize,
        offer: Option<usize>,
    },
    /// A page reports a click with offer and partner instead of a code.
    Page {
        offer: usize,
        partner: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    Click(Number),
    /// A well-formed id without a click.
    Invented,
    Garbage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventNamed {
    Base,
    ByName,
    /// The first event entry of the offer, whether or not it still exists.
    First,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    None,
    Good,
    Wrong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Postback {
    pub(crate) ids: Vec<Id>,
    pub(crate) code: Option<usize>,
    pub(crate) offer: Option<usize>,
    pub(crate) partner: Option<usize>,
    pub(crate) event: EventNamed,
    pub(crate) order: Option<u32>,
    pub(crate) amount: Option<&'static str>,
    pub(crate) currency: Option<&'static str>,
    pub(crate) refund: Option<u32>,
    pub(crate) token: Token,
    /// A JSON body instead of a query.
    pub(crate) is_json: bool,
}

impl Postback {
    pub(crate) const NOTHING: Postback = Postback {
        ids: Vec::new(),
        code: None,
        offer: None,
        partner: None,
        event: EventNamed::Base,
        order: None,
        amount: None,
        currency: None,
        refund: None,
        token: Token::None,
        is_json: false,
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    CodeStatus {
        code: usize,
        offer: usize,
        active: bool,
    },
    /// Moves a code with one row to another partner.
    CodePartner {
        code: usize,
        offer: usize,
        partner: usize,
    },
    /// Moves a code with one row to another offer.
    CodeOffer {
        code: usize,
        offer: usize,
        to: usize,
    },
    CodeDeleted {
        code: usize,
        offer: usize,
    },
    CodeCreated {
        code: usize,
        offer: usize,
        partner: Option<usize>,
    },
    OfferStatus {
        offer: usize,
        active: bool,
    },
    Currency {
        offer: usize,
        currency: &'static str,
    },
    /// Other percentages and amounts.
    Terms {
        offer: usize,
        terms: usize,
    },
    Duplicates {
        offer: usize,
        allowed: bool,
    },
    MustApprove {
        offer: usize,
        must: bool,
    },
    /// Removes the event's entry, or makes a new one.
    Event {
        offer: usize,
        is_there: bool,
    },
    /// Whether an offer's session identifies visitors by address alone.
    Session {
        offer: usize,
        by_address: bool,
    },
    /// Whether the checker is a bot.
    Bots {
        checker: bool,
    },
    /// The visits that an offer refuses.
    Rules {
        offer: usize,
        rules: Rules,
    },
}

/// Rules of an offer for visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    None,
    /// An excluded operating system.
    NotIos,
    /// Included operating systems. Nobody knows that of a program.
    OnlyWindowsAndIos,
    /// Excluded addresses: up to this one of the network 192.0.2.0/24.
    NotAddressesTo(u8),
    /// A filter of sub ids.
    NotSub(usize),
}
