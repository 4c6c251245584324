//! The link of a code.

/// What a code's link depends on.
#[derive(Debug, Clone, Copy)]
pub struct TrackingLink<'a> {
    /// The base URL of the offer's tracking domain, else of the default one.
    pub base_url: Option<&'a str>,
    /// As typed.
    pub code: &'a str,
    /// The code is for conversions only.
    pub is_conversion_only: bool,
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
/// `not_url_safe`, `unassigned` or `no_tracking_domain`; what stays in the way longest comes first.
pub fn tracking_link(of: TrackingLink<'_>) -> Result<String, &'static str> {
    if of.is_conversion_only {
        return Err("not_url_safe");
    }
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
            is_conversion_only: false,
            offer_id: 16,
            is_assigned: true,
            is_on_several_offers: false,
        };
        assert_eq!(tracking_link(of), Ok("https://go.example.com/WINTER25/".into()));
        let several = TrackingLink { is_on_several_offers: true, ..of };
        assert_eq!(tracking_link(several), Ok("https://go.example.com/WINTER25/?oid=16".into()));
    }

    #[test]
    fn without_a_link_the_reason_is_the_one_that_stays_longest() {
        let nothing_fits = TrackingLink {
            base_url: None,
            code: "SAVE-20",
            is_conversion_only: true,
            offer_id: 16,
            is_assigned: false,
            is_on_several_offers: true,
        };
        assert_eq!(tracking_link(nothing_fits), Err("not_url_safe"));
        let linked = TrackingLink { code: "SAVE20", is_conversion_only: false, ..nothing_fits };
        assert_eq!(tracking_link(linked), Err("unassigned"));
        let assigned = TrackingLink { is_assigned: true, ..linked };
        assert_eq!(tracking_link(assigned), Err("no_tracking_domain"));
    }
}
