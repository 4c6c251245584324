//! Closed sets of words: an enum with one list of words for JSON, CSV and the store.

/// A word outside the set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not one of {allowed}")]
pub struct UnknownWord {
    /// The word.
    pub found: String,
    /// The words of the set.
    pub allowed: &'static str,
}

/// A closed set of words, for filters and other readers of free text.
pub trait WordSet {
    /// All words, aliases included.
    const WORDS: &'static [&'static str];

    /// The stored word for a typed word or alias.
    ///
    /// # Errors
    /// When the word is not in the set.
    fn canonical(word: &str) -> Result<&'static str, UnknownWord>;
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text $(, alias = $alias)*)] $variant),+
        }

        impl $name {
            /// The word in JSON, CSV and the store.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some([$($text),+]))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl $crate::catalog::words::WordSet for $name {
            const WORDS: &'static [&'static str] = &[$($text $(, $alias)*),+];

            fn canonical(word: &str) -> Result<&'static str, $crate::catalog::words::UnknownWord> {
                word.parse().map($name::as_str)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::catalog::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($text $(| $alias)* => Ok($name::$variant),)+
                    other => Err($crate::catalog::words::UnknownWord {
                        found: other.into(),
                        allowed: concat!($("`", $text, "` "),+).trim_ascii_end(),
                    }),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// The status of an advertiser or a partner.
    AccountStatus {
        /// Takes part.
        Active = "active",
        /// Does not take part.
        Inactive = "inactive",
        /// Does not take part, for a reason.
        Suspended = "suspended",
        /// A partner who does not take part yet.
        Pending = "pending",
    }
}

words! {
    /// The visibility of one offer for one partner.
    PartnerVisibility {
        /// The partner may run the offer.
        Visible = "visible",
        /// The partner does not see the offer.
        Hidden = "hidden",
        /// The partner asked and was refused.
        Rejected = "rejected",
    }
}

words! {
    /// The visibility to set for one partner.
    PartnerVisibilityEdit {
        /// The partner may run the offer.
        Visible = "visible",
        /// The partner does not see the offer.
        Hidden = "hidden",
        /// The partner asked and was refused.
        Rejected = "rejected",
        /// The partner has no entry of its own: the offer's visibility decides.
        Default = "default",
    }
}

impl PartnerVisibilityEdit {
    /// The entry to store; `None` for no entry.
    pub(crate) fn entry(self) -> Option<PartnerVisibility> {
        match self {
            PartnerVisibilityEdit::Visible => Some(PartnerVisibility::Visible),
            PartnerVisibilityEdit::Hidden => Some(PartnerVisibility::Hidden),
            PartnerVisibilityEdit::Rejected => Some(PartnerVisibility::Rejected),
            PartnerVisibilityEdit::Default => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_json_and_text() {
        for status in [AccountStatus::Active, AccountStatus::Inactive, AccountStatus::Suspended] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let error = "gone".parse::<PartnerVisibility>().unwrap_err();
        assert_eq!(error.to_string(), "`gone` is not one of `visible` `hidden` `rejected`");
    }
}
