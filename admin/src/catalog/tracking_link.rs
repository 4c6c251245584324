//! The link of a code.

/// What a code's link depends on.
#[derive(Debug, Clone, Copy)]
pub struct TrackingLink<'a> {
    /// The base URL of the offer's tracking domain, else of the default one.
    pub base_url: Option<&'a str>,
    /// As typed.
    pub code: &'a str,
    /// The offer.
    pub offer_id: u32,
    /// The code belongs to a partner.
    pub is_assigned: bool,
    /// The code stands on other offers too.
    pub is_on_several_offers: bool,
}

/// The link, or a word for why there is none.
///
/// # Errors
/// `unassigned` or `no_tracking_domain`.
pub fn tracking_link(of: TrackingLink<'_>) -> Result<String, &'static str> {
    if !of.is_assigned {
        return Err("unassigned");
    }
    let base = of.base_url.ok_or("no_tracking_domain")?;
    let link = format!("{base}/{}/", of.code);
    Ok(if of.is_on_several_offers { format!("{link}?oid={}", of.offer_id) } else { link })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_offer_only_where_the_code_stands_on_several() {
        let of = TrackingLink {
            base_url: Some("https://go.example.com"),
            code: "WINTER25",
            offer_id: 16,
            is_assigned: true,
            is_on_several_offers: false,
        };
        assert_eq!(tracking_link(of), Ok("https://go.example.com/WINTER25/".into()));
        let several = TrackingLink { is_on_several_offers: true, ..of };
        assert_eq!(tracking_link(several), Ok("https://go.example.com/WINTER25/?oid=16".into()));
        assert_eq!(tracking_link(TrackingLink { is_assigned: false, ..of }), Err("unassigned"));
        assert_eq!(tracking_link(TrackingLink { base_url: None, ..of }), Err("no_tracking_domain"));
    }
}
