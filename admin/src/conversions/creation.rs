//! Conversions that the network's own users create for clicks: sales that no postback reported.
//!
//! They take the way of postbacks, as those of a sender whom the advertiser trusts, so a sale is
//! never counted twice, and caps, history, partner postbacks and webhooks see no difference. They
//! wait for nothing: every click must have arrived.

use coupon_shared::postback::{Channel, Postback as Message, PostbackId, SpoolId, Verdict};
use coupon_shared::transaction_id::TransactionId;
use url::form_urlencoded;

use super::now_ms;
use super::processor::PostbackProcessor;
use super::received::ReceivedPostback;
use crate::attribution::evidence::ClickEvidence;
use crate::attribution::postback_fields::ByNetwork;
use crate::catalog::FieldError;
use crate::click_lookup::{ClickLookup, LookUpError};
use crate::store::StoreError;

/// Stands for a spool in the log: no daemon took these postbacks.
const NO_SPOOL: SpoolId = SpoolId([0; 16]);

/// Conversions to create, one for each click.
#[derive(Debug, Clone, Default)]
pub struct WantedConversions {
    pub offer_id: u32,
    /// The offer's payout entry; 0 is the base conversion.
    pub event_id: u32,
    pub transaction_ids: Vec<TransactionId>,
    /// When the sales were made, in Unix milliseconds; `None` for now.
    pub sold_ms: Option<u64>,
    pub by_network: ByNetwork,
    /// Further parameters, named as in postbacks.
    pub parameters: Vec<(&'static str, String)>,
}

/// Why nothing was created.
#[derive(Debug, thiserror::Error)]
pub enum CreationError {
    /// A click is unknown, of another offer, or later than the sale.
    #[error("no conversion was created")]
    Invalid(Vec<FieldError>),
    #[error("the clicks cannot be looked up: {0}")]
    Clicks(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl From<LookUpError> for CreationError {
    fn from(error: LookUpError) -> CreationError {
        match error {
            LookUpError::Store(error) => CreationError::Store(error),
            LookUpError::Archive(error) => CreationError::Clicks(error.to_string()),
        }
    }
}

impl PostbackProcessor {
    /// Creates all conversions or none. The verdicts have the order of the clicks.
    pub(super) async fn create(
        &self,
        wanted: WantedConversions,
    ) -> Result<Vec<Verdict>, CreationError> {
        let of_click = |id| self.postback(&wanted, id);
        let received = wanted.transaction_ids.iter().map(of_click);
        let received = received.collect::<Result<Vec<_>, CreationError>>()?;
        let clicks = self.look_up(&received).await?;
        check_clicks(&wanted, &clicks).map_err(CreationError::Invalid)?;
        let processor = self.clone();
        let decisions = self.store.write(move |tx| {
            let mut writer = processor.writer(tx)?;
            received.iter().try_for_each(|received| writer.ingest(received, &clicks))?;
            writer.finish()
        });
        let decisions: Result<_, StoreError> = decisions.await;
        Ok(decisions?.verdicts)
    }

    fn postback(
        &self,
        wanted: &WantedConversions,
        id: &TransactionId,
    ) -> Result<ReceivedPostback, CreationError> {
        let mut random = [0; 10];
        getrandom::fill(&mut random)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("nid", &self.network_id().to_string())
            .append_pair("oid", &wanted.offer_id.to_string())
            .append_pair("event_id", &wanted.event_id.to_string())
            .append_pair("transaction_id", &id.to_string())
            .extend_pairs(&wanted.parameters);
        let query = query.finish();
        let received_ms = now_ms();
        let message = Message {
            id: PostbackId::new(received_ms, random),
            unix_ms: received_ms,
            node: 0,
            channel: Channel::Server,
            is_post: true,
            address: std::net::Ipv4Addr::UNSPECIFIED.into(),
            host: b"",
            query: query.as_bytes(),
            body: b"",
            content_type: b"",
            user_agent: b"",
            referer: b"",
            origin: b"",
        };
        let mut received = ReceivedPostback::read(NO_SPOOL, 0, &message.encode());
        received.row.address.clear();
        if let Some(fields) = &mut received.fields {
            fields.sold_ms = wanted.sold_ms;
            fields.steps.note("created_by_network", "a user of the network created the conversion");
            fields.by_network = Some(wanted.by_network.clone());
        }
        Ok(received)
    }
}

fn check_clicks(wanted: &WantedConversions, clicks: &ClickLookup) -> Result<(), Vec<FieldError>> {
    let mut wrong = Vec::new();
    for (at, id) in wanted.transaction_ids.iter().enumerate() {
        let error = match clicks.evidence(id) {
            ClickEvidence::Found(click) if click.offer_id != wanted.offer_id => {
                format!("is a click of offer {}", click.offer_id)
            }
            ClickEvidence::Found(click) if wanted.sold_ms.is_some_and(|at| at < click.unix_ms) => {
                "is a click later than date".into()
            }
            ClickEvidence::Found(_) => continue,
            ClickEvidence::Awaited => "is a click that has not arrived yet; try again soon".into(),
            ClickEvidence::Gone => "is a click that is not kept any more".into(),
            ClickEvidence::Invented => "is no click of this network".into(),
        };
        wrong.push(FieldError { field: format!("transaction_ids[{at}]"), error });
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
