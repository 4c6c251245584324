//! Placeholders: values in a postback for an absent value, such as `null` or an unfilled macro. A
//! coupon code with the form of a placeholder could never convert, so it cannot be created.

/// Words for an absent value, in any case.
pub(crate) const WORDS: [&str; 2] = ["null", "undefined"];

/// The brackets of unfilled macros.
const BRACKETS: [(&str, &str); 3] = [("{", "}"), ("[", "]"), ("${", "}")];

/// Further brackets of unfilled macros in order ids, as shop systems write them.
const ORDER_BRACKETS: [(&str, &str); 5] =
    [("<", ">"), ("%", "%"), ("__", "__"), ("$", "$"), ("*|", "|*")];

/// Order ids that stand for no order, reduced to lower-case letters and digits.
const ORDER_WORDS: [&str; 7] = ["na", "none", "nil", "nan", "null", "undefined", "false"];

/// Endings of parameter names that stand for an order id, reduced to lower-case letters and digits.
const ORDER_NAMES: [&str; 5] = ["orderid", "ordernumber", "orderno", "ordernr", "orderreference"];

/// Whether a value counts as absent: empty, a word for an absent value, or an unfilled macro.
#[must_use]
pub(crate) fn is_placeholder(value: &str) -> bool {
    value.is_empty()
        || WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
        || is_within(&BRACKETS, value)
}

/// Whether an order id counts as absent. Many orders would share such an id and count as one order.
#[must_use]
pub(crate) fn is_placeholder_order_id(value: &str) -> bool {
    let plain: String =
        value.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    let is_punctuation = value.bytes().all(|b| b.is_ascii_punctuation() || b == b' ');
    let has_macro = value.find('{').is_some_and(|at| value[at..].contains('}'));
    let is_name = || {
        !plain.contains(|c: char| c.is_numeric())
            && ORDER_NAMES.iter().any(|name| plain.ends_with(name))
    };
    is_placeholder(value)
        || is_punctuation
        || has_macro
        || is_within(&ORDER_BRACKETS, value)
        || (!plain.is_empty() && plain.chars().all(|c| c == '0'))
        || ORDER_WORDS.contains(&plain.as_str())
        || is_name()
}

fn is_within(brackets: &[(&str, &str)], value: &str) -> bool {
    let is_in = |(open, close): &(&str, &str)| {
        value.len() > open.len() && value.starts_with(open) && value.ends_with(close)
    };
    brackets.iter().any(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_nothing_and_unfilled_macros_say_nothing() {
        for value in ["", "null", "NULL", "Undefined", "{code}", "{}", "[VIP]", "${code}"] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in ["nullable", "0", "N/A", "{", "[", "VIP]", "a{b}", "{VIP", "<VIP>", "none"] {
            assert!(!is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn placeholders_are_no_order_ids() {
        for value in [
            "0",
            "000",
            "N/A",
            "n.a.",
            "none",
            "NaN",
            "nil",
            "-",
            "--",
            "#",
            "null",
            "ORDER_ID",
            "order id",
            "orderId",
            "$order_id",
            "event.orderNumber",
            ":order_no",
            "<order>",
            "<%= id %>",
            "{order}",
            "SHOP-{order_id}",
            "shop_${id}_x",
            "%%ORDER%%",
            "%order%",
            "__ORDER__",
            "*|ORDER|*",
            "[object Object]",
            "$ref$",
        ] {
            assert!(is_placeholder_order_id(value), "{value}");
        }
        for value in [
            "1",
            "10",
            "0x1f",
            "A0",
            "#1001",
            "$5",
            "N1",
            "order-7",
            "ORDER_ID_7",
            "100%",
            "%7",
            "nana",
            "nullable",
            "<1",
            "a_b",
            "{7",
            "None1",
            "\u{fffd}",
            "\u{6ce8}\u{6587}9",
        ] {
            assert!(!is_placeholder_order_id(value), "{value}");
        }
    }
}
