//! The offers, partners and other objects that an input refers to.
//!
//! A short list is a plain choice. A long one is an input that takes an id, with suggestions that
//! the server finds while the user types.

use serde::Deserialize;
use serde_json::Value;

use super::api_client::{ApiClient, Refusal};
use super::form::Form;
use super::list::encode;
use super::viewer::Viewer;

/// The longest list that is a plain choice.
const MAX_CHOICES: usize = 100;

/// Kinds of objects that inputs refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Referred {
    Offer,
    Partner,
    Advertiser,
    Domain,
    OfferGroup,
    OfferUrl,
}

impl Referred {
    /// Path, field of the rows, field of the id and field of the name in the API's list.
    fn list(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Referred::Offer => ("offers", "offers", "network_offer_id", "name"),
            Referred::Partner => ("affiliates", "affiliates", "network_affiliate_id", "name"),
            Referred::Advertiser => ("advertisers", "advertisers", "network_advertiser_id", "name"),
            Referred::OfferGroup => {
                ("offergroups", "offer_groups", "network_offer_group_id", "name")
            }
            Referred::OfferUrl => ("offerurls", "urls", "network_offer_url_id", "name"),
            Referred::Domain => {
                ("trackingdomains", "tracking_domains", "network_tracking_domain_id", "base_url")
            }
        }
    }

    /// The word in the address of the suggestions.
    fn word(self) -> &'static str {
        match self {
            Referred::Offer => "offers",
            Referred::Partner => "partners",
            Referred::Advertiser => "advertisers",
            Referred::Domain => "domains",
            Referred::OfferGroup => "offer-groups",
            Referred::OfferUrl => "offer-urls",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Referred> {
        let all = [
            Referred::Offer,
            Referred::Partner,
            Referred::Advertiser,
            Referred::Domain,
            Referred::OfferGroup,
            Referred::OfferUrl,
        ];
        all.into_iter().find(|referred| referred.word() == word)
    }
}

/// An object that can be referred to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) id: u64,
    pub(crate) name: String,
}

impl Choice {
    /// The text in lists; it begins with the id, which the form reads back.
    pub(crate) fn label(&self) -> String {
        format!("{} – {}", self.id, self.name)
    }
}

/// The objects of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    referred: Referred,
    rows: Vec<Choice>,
    is_whole: bool,
}

#[derive(Deserialize)]
struct AnyList {
    #[serde(flatten)]
    fields: serde_json::Map<String, Value>,
}

impl Options {
    /// The first objects of a kind.
    pub(crate) async fn load(
        api: &ApiClient,
        viewer: &Viewer,
        referred: Referred,
    ) -> Result<Options, Refusal> {
        let rows = find(api, viewer, referred, "").await?;
        let is_whole = rows.len() <= MAX_CHOICES;
        Ok(Options { referred, rows, is_whole })
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(crate) fn rows(&self) -> &[Choice] {
        &self.rows
    }

    /// Whether the form refers to this object.
    pub(crate) fn is_chosen(&self, form: &Form, name: &str, choice: &Choice) -> bool {
        form.value(name) == choice.id.to_string()
    }

    /// The text of the input: the label of the object that the form refers to.
    pub(crate) fn text(&self, form: &Form, name: &str) -> String {
        let value = form.value(name);
        if value == "0" {
            return String::new();
        }
        let found = self.rows.iter().find(|choice| choice.id.to_string() == value);
        found.map_or_else(|| value.to_owned(), Choice::label)
    }

    /// The label of an object, or its id alone.
    pub(crate) fn label_of(&self, id: &str) -> String {
        let found = self.rows.iter().find(|choice| choice.id.to_string() == id);
        found.map_or_else(|| id.to_owned(), Choice::label)
    }

    /// The address of the suggestions.
    pub(crate) fn source(&self) -> String {
        format!("/console/options/{}", self.referred.word())
    }
}

/// Objects whose name contains a text, or whose id is the text; one more than a plain choice shows.
pub(super) async fn find(
    api: &ApiClient,
    viewer: &Viewer,
    referred: Referred,
    search: &str,
) -> Result<Vec<Choice>, Refusal> {
    let (path, plural, id_field, name_field) = referred.list();
    let narrowed = match search {
        "" => String::new(),
        id if id.parse::<u32>().is_ok() => format!("&filter={id_field}%3D{id}"),
        name => format!("&search={}", encode(name)),
    };
    let size = MAX_CHOICES + 1;
    let path = format!("/v1/networks/{path}?page_size={size}{narrowed}");
    let list: AnyList = api.get(viewer, &path).await?;
    let rows = list.fields.get(plural).and_then(Value::as_array).cloned().unwrap_or_default();
    let choice = |row: &Value| Choice {
        id: row[id_field].as_u64().unwrap_or_default(),
        name: row[name_field].as_str().unwrap_or_default().to_owned(),
    };
    Ok(rows.iter().map(choice).collect())
}
