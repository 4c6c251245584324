//! Networks in CIDR notation, or single addresses.

use std::net::IpAddr;

use ipnet::IpNet;

pub(crate) fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| format!("`{text}` is neither an address nor a network such as 10.0.0.0/8"))
}
