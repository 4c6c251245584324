//! A delivered postback: its bytes, its fields and its log row before the decision.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use coupon_shared::postback::{self, Postback as Message, SpoolId};
use coupon_shared::transaction_id::TransactionId;
use sha2::{Digest, Sha256};

use crate::attribution::decision_step::DecisionSteps;
use crate::attribution::postback_fields::{
    PostbackFields, SentEvent, url_without_secrets, without_secrets,
};
use crate::catalog::FoldedKey;
use crate::store::conversions::{Channel, ConversionId};
use crate::store::postbacks::{Outcome, Postback, VerdictWord};

/// A delivered postback.
#[derive(Clone)]
pub(super) struct ReceivedPostback {
    /// The log row; the decision is still open.
    pub(super) row: Postback,
    /// `None` where this program cannot read the message.
    pub(super) fields: Option<PostbackFields>,
    /// The encoded message; empty where this program cannot read it.
    pub(super) message: Vec<u8>,
}

impl ReceivedPostback {
    /// Reads a postback of a spool. An unreadable message becomes a row with the raw bytes.
    pub(super) fn read(spool: SpoolId, sequence: u64, bytes: &[u8]) -> ReceivedPostback {
        let read = Message::decode(bytes).map_err(|error| error.to_string()).and_then(|message| {
            let fields = catch_unwind(AssertUnwindSafe(|| PostbackFields::read(&message)));
            fields.map(|fields| (message, fields)).map_err(|_| "reading it failed".to_owned())
        });
        match read {
            Ok((message, fields)) => ReceivedPostback {
                row: row(spool, sequence, &message, &fields),
                fields: Some(fields),
                message: bytes.to_vec(),
            },
            Err(error) => ReceivedPostback {
                row: unreadable(spool, sequence, bytes, error),
                fields: None,
                message: Vec::new(),
            },
        }
    }

    /// Lets the first known code of a list stand for the list.
    pub(super) fn with_listed_code<E>(
        &self,
        is_known: impl FnMut(&FoldedKey) -> Result<bool, E>,
    ) -> Result<Cow<'_, ReceivedPostback>, E> {
        let code = self.fields.as_ref().and_then(|fields| fields.coupon_code.as_ref());
        if code.is_none_or(|code| code.listed.is_empty()) {
            return Ok(Cow::Borrowed(self));
        }
        let mut chosen = self.clone();
        if let Some(fields) = &mut chosen.fields {
            fields.choose_listed_code(is_known)?;
            (chosen.row.coupon_code, chosen.row.folded_code) = code_columns(fields);
        }
        Ok(Cow::Owned(chosen))
    }

    pub(super) fn transaction_ids(&self) -> impl Iterator<Item = TransactionId> + '_ {
        let sent = self.fields.iter().flat_map(|fields| &fields.transaction_ids);
        sent.filter_map(|sent| sent.id)
    }
}

impl From<postback::PostbackId> for ConversionId {
    fn from(id: postback::PostbackId) -> ConversionId {
        ConversionId(id.0)
    }
}

/// The code as sent, and its lookup key.
fn code_columns(fields: &PostbackFields) -> (String, String) {
    let code = fields.coupon_code.as_ref();
    let folded = code.and_then(|code| code.folded.as_ref());
    let text = |folded: &FoldedKey| folded.as_str().to_owned();
    (code.map(|code| code.typed.clone()).unwrap_or_default(), folded.map(text).unwrap_or_default())
}

fn row(spool: SpoolId, sequence: u64, message: &Message<'_>, fields: &PostbackFields) -> Postback {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (query, body) = without_secrets(message);
    let (coupon_code, folded_code) = code_columns(fields);
    let ids: Vec<&str> = fields.transaction_ids.iter().map(|id| id.text.as_str()).collect();
    Postback {
        id: message.id.into(),
        spool: spool.0,
        sequence,
        received_ms: message.unix_ms,
        node: message.node,
        channel: match message.channel {
            postback::Channel::Server => Channel::Server,
            postback::Channel::Sdk => Channel::Sdk,
        },
        is_post: message.is_post,
        address: message.address.to_string(),
        host: text(message.host),
        user_agent: text(message.user_agent),
        referer: url_without_secrets(message.referer),
        content_type: text(message.content_type),
        query,
        body,
        network_id: fields.network_id.unwrap_or_default(),
        transaction_id: ids.join("|"),
        coupon_code,
        folded_code,
        offer_id: fields.offer_id.unwrap_or_default(),
        affiliate_id: fields.affiliate_id.unwrap_or_default(),
        event: match &fields.event {
            SentEvent::Base => String::new(),
            SentEvent::Id(id) => id.to_string(),
            SentEvent::Name(name) => name.clone(),
        },
        order_id: fields.order_id.clone().unwrap_or_default(),
        amount: fields.amount.map(|amount| amount.to_string()).unwrap_or_default(),
        currency: fields.currency.clone().unwrap_or_default(),
        email: fields.email.clone(),
        verdict: VerdictWord::Queued,
        outcome: Outcome::Waits,
        error_code: 0,
        error: String::new(),
        conversion_id: None,
        decided_ms: 0,
        steps: "[]".into(),
        raw: None,
        unidentified_bytes: 0,
    }
}

/// Stored text of a postback that identifies nothing.
const MAX_UNIDENTIFIED_BYTES: usize = 2 << 10;
/// Stored steps of its decision.
const MAX_STEPS_BYTES: usize = 1 << 10;
/// Size of a row without its texts, including its index entries.
const ROW_BYTES: usize = 512;

/// Shortens a postback that identifies nothing, and sets its remaining size.
pub(super) fn cut_unidentified(row: &mut Postback) {
    let texts = cut_text(row);
    row.steps = first_steps(&row.steps);
    row.unidentified_bytes = (texts + row.steps.len() + row.error.len() + ROW_BYTES) as u64;
}

/// Shortens the texts of a postback to [`MAX_UNIDENTIFIED_BYTES`] in total. The parsed fields are
/// kept first, the raw text last. Returns the remaining size.
pub(super) fn cut_text(row: &mut Postback) -> usize {
    let texts = [
        &mut row.coupon_code,
        &mut row.folded_code,
        &mut row.transaction_id,
        &mut row.order_id,
        &mut row.event,
        &mut row.amount,
        &mut row.currency,
        &mut row.email,
        &mut row.host,
        &mut row.content_type,
        &mut row.query,
        &mut row.body,
        &mut row.user_agent,
        &mut row.referer,
    ];
    let mut left = MAX_UNIDENTIFIED_BYTES;
    for text in texts {
        text.truncate(text.floor_char_boundary(left));
        text.shrink_to_fit();
        left -= text.len();
    }
    MAX_UNIDENTIFIED_BYTES - left
}

/// The first steps of a JSON array that fit into [`MAX_STEPS_BYTES`].
fn first_steps(json: &str) -> String {
    if json.len() <= MAX_STEPS_BYTES {
        return json.to_owned();
    }
    let mut steps: DecisionSteps = serde_json::from_str(json).unwrap_or_default();
    let mut bytes = "[]".len();
    let fit = steps.0.iter().take_while(|step| {
        bytes += serde_json::to_string(step).map_or(MAX_STEPS_BYTES, |text| text.len() + 1);
        bytes <= MAX_STEPS_BYTES
    });
    let fit = fit.count();
    steps.0.truncate(fit);
    serde_json::to_string(&steps).unwrap_or_else(|_| "[]".into())
}

/// The id is derived from spool and sequence, because the id in the message cannot be read.
fn unreadable(spool: SpoolId, sequence: u64, bytes: &[u8], error: String) -> Postback {
    let place = Sha256::new().chain_update(spool.0).chain_update(sequence.to_le_bytes()).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&place[..16]);
    Postback {
        spool: spool.0,
        sequence,
        received_ms: super::now_ms(),
        error,
        decided_ms: super::now_ms(),
        raw: Some(bytes.to_vec()),
        ..Postback::empty(ConversionId(id))
    }
}

impl ReceivedPostback {
    /// The row of a postback whose decision fails.
    pub(super) fn undecided(&self) -> Postback {
        Postback {
            verdict: VerdictWord::Invalid,
            outcome: Outcome::Unreadable,
            error: "deciding it failed; it is kept, and counts for nobody".into(),
            decided_ms: super::now_ms(),
            ..self.row.clone()
        }
    }
}
