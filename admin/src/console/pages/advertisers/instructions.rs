//! The ways to report sales, with the ids of an advertiser.

use std::fmt::Write as _;

/// The ids and proofs in the postbacks of an advertiser.
pub(super) struct Reporter<'a> {
    /// The address of the default tracking domain.
    pub(super) base_url: &'a str,
    pub(super) network_id: u64,
    pub(super) advertiser_id: u32,
    pub(super) needs_token: bool,
    pub(super) needs_signature: bool,
    /// An active code, for the command to try; empty if there is no code.
    pub(super) code: &'a str,
    /// The offer of the code.
    pub(super) offer_id: u64,
}

/// Texts to copy. The advertiser replaces the parts in braces.
pub(super) struct Instructions {
    pub(super) by_click: String,
    pub(super) by_code: String,
    pub(super) post: String,
    pub(super) script: String,
    /// A shell command to report a sale; empty without a code.
    pub(super) curl: String,
}

const SALE: &str = "order_id={order_id}&amount={amount}";

impl Reporter<'_> {
    pub(super) fn instructions(&self) -> Instructions {
        let ids = format!("nid={}&aid={}", self.network_id, self.advertiser_id);
        let proof = self.proof();
        let base = self.base_url;
        Instructions {
            by_click: format!("{base}/?{ids}&transaction_id={{transaction_id}}&{SALE}{proof}"),
            by_code: format!("{base}/?{ids}&coupon_code={{coupon_code}}&{SALE}{proof}"),
            post: format!(
                "POST {base}/?{ids}\n\
                 Content-Type: application/x-www-form-urlencoded\n\n\
                 transaction_id={{transaction_id}}&coupon_code={{coupon_code}}&{SALE}{proof}"
            ),
            script: self.script(),
            curl: self.curl(&ids),
        }
    }

    /// The parts of the query with proofs of the sender.
    fn proof(&self) -> String {
        let mut proof = String::new();
        if self.needs_token {
            proof.push_str("&verification_token={verification_token}");
        }
        if self.needs_signature {
            proof.push_str("&timestamp={timestamp}&signature={signature}");
        }
        proof
    }

    fn script(&self) -> String {
        format!(
            "<script src=\"{}/scripts/main.js\"></script>\n\
             <script>\n\
             EF.conversion({{\n\
             \x20 aid: {},\n\
             \x20 coupon_code: \"{{coupon_code}}\",\n\
             \x20 order_id: \"{{order_id}}\",\n\
             \x20 amount: \"{{amount}}\"\n\
             }});\n\
             </script>",
            self.base_url, self.advertiser_id
        )
    }

    fn curl(&self, ids: &str) -> String {
        if self.code.is_empty() {
            return String::new();
        }
        let mut query = format!(
            "{ids}&coupon_code={}&oid={}&order_id=TRY-1&amount=1.00",
            self.code, self.offer_id
        );
        if self.needs_token {
            query.push_str("&verification_token=$TOKEN");
        }
        let base = self.base_url;
        if !self.needs_signature {
            return format!("curl \"{base}/?{query}\"");
        }
        let mut command = format!("Q=\"{query}&timestamp=$(date +%s)\"\n");
        let _ = write!(
            command,
            "S=$(printf %s \"$Q\" | openssl dgst -sha256 -hmac \"$KEY\" -r | cut -d' ' -f1)\n\
             curl \"{base}/?$Q&signature=$S\""
        );
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reporter(needs_token: bool, needs_signature: bool) -> Instructions {
        let base_url = "https://go.example.com";
        Reporter {
            base_url,
            network_id: 1,
            advertiser_id: 4,
            needs_token,
            needs_signature,
            code: "WINTER25",
            offer_id: 3,
        }
        .instructions()
    }

    #[test]
    fn each_text_names_the_advertiser() {
        let texts = reporter(false, false);
        assert_eq!(
            texts.by_click,
            "https://go.example.com/?nid=1&aid=4&transaction_id={transaction_id}\
             &order_id={order_id}&amount={amount}"
        );
        assert!(texts.by_code.contains("&aid=4&coupon_code={coupon_code}&"), "{}", texts.by_code);
        assert!(texts.post.starts_with("POST https://go.example.com/?nid=1&aid=4\n"));
        assert!(texts.script.contains("aid: 4,"), "{}", texts.script);
        assert_eq!(
            texts.curl,
            "curl \"https://go.example.com/?nid=1&aid=4&coupon_code=WINTER25&oid=3\
             &order_id=TRY-1&amount=1.00\""
        );
    }

    #[test]
    fn each_text_carries_the_proofs() {
        let texts = reporter(true, true);
        for text in [&texts.by_click, &texts.by_code, &texts.post] {
            assert!(text.contains("&verification_token={verification_token}&timestamp="), "{text}");
        }
        assert!(texts.curl.contains("&verification_token=$TOKEN&timestamp=$(date +%s)\"\nS=$("));
    }
}
