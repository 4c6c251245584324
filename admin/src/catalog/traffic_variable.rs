//! The words of rules that compare what a link or a visitor brings: variables and comparisons.
//! Traffic controls and forwarding rules have the same ones.

use super::words::words;

words! {
    /// The fact about a visit that a rule compares.
    TrafficVariable {
        /// The partner's first sub id.
        Sub1 = "sub1",
        /// The partner's second sub id.
        Sub2 = "sub2",
        /// The partner's third sub id.
        Sub3 = "sub3",
        /// The partner's fourth sub id.
        Sub4 = "sub4",
        /// The partner's fifth sub id.
        Sub5 = "sub5",
        /// The partner's id of the traffic source.
        SourceId = "source_id",
        /// The English name of the visitor's country.
        CountryName = "country_name",
        /// The host of the link.
        TrackingDomain = "tracking_domain",
        /// The coupon code of the link.
        CouponCode = "coupon_code",
        /// The host of the page with the link.
        RefererHost = "referer_host",
        /// The number of the visitor's network.
        Asn = "asn",
        /// The language that the visitor prefers.
        Language = "language",
        /// The visitor's browser, as the browser names itself.
        UserAgent = "user_agent",
    }
}

words! {
    /// The comparison of a variable with the values of a rule. Case does not count.
    ComparisonMethod {
        /// The variable is the value.
        ExactMatch = "exact_match",
        /// The variable contains the value.
        Contains = "contains",
        /// The variable does not contain the value.
        DoesNotContain = "does_not_contain",
        /// The variable starts with the value.
        StartsWith = "starts_with",
        /// The variable ends with the value.
        EndsWith = "ends_with",
        /// The variable is empty or absent.
        NotPresent = "not_present",
        /// The variable is not the value.
        DoesNotMatch = "does_not_match",
    }
}
