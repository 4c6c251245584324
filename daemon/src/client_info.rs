//! The client of a request that is not a visit: a postback or a CORS preflight.

use std::net::IpAddr;
use std::sync::Arc;

use coupon_shared::postback::Channel;
use coupon_shared::visit_target::Host;

use crate::not_found_limit::NotFoundRateLimit;

/// The requested host, the client's address, and the limit for the address.
pub struct ClientInfo {
    /// The host of the request.
    pub host: Host,
    /// The client's full address; behind trusted proxies, the forwarded address.
    pub address: IpAddr,
    /// The recordable part of a visitor's address.
    pub recorded_address: IpAddr,
    /// The limit on requests that lead nowhere, in force when the request came.
    pub not_found_limit: Arc<NotFoundRateLimit>,
}

impl ClientInfo {
    /// The address to record for a postback: the full address of a server, because advertisers
    /// trust servers by address; of a visitor's browser only the recordable part.
    pub fn address_to_record(&self, channel: Channel) -> IpAddr {
        match channel {
            Channel::Server => self.address,
            Channel::Sdk => self.recorded_address,
        }
    }
}
