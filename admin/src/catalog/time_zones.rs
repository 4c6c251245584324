//! Everflow's numbers of time zones.

/// Names in the IANA database, by number from 1.
pub(crate) const NUMBERED: [&str; 99] = [
    "Pacific/Kiritimati",
    "Pacific/Enderbury",
    "Pacific/Tongatapu",
    "Pacific/Chatham",
    "Pacific/Auckland",
    "Pacific/Fiji",
    "Asia/Kamchatka",
    "Pacific/Norfolk",
    "Australia/Lord_Howe",
    "Pacific/Guadalcanal",
    "Australia/Adelaide",
    "Australia/Sydney",
    "Australia/Brisbane",
    "Australia/Darwin",
    "Asia/Seoul",
    "Asia/Tokyo",
    "Asia/Hong_Kong",
    "Asia/Kuala_Lumpur",
    "Asia/Manila",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Taipei",
    "Australia/Perth",
    "Asia/Bangkok",
    "Asia/Ho_Chi_Minh",
    "Asia/Jakarta",
    "Asia/Rangoon",
    "Asia/Dhaka",
    "Asia/Kathmandu",
    "Asia/Colombo",
    "Asia/Kolkata",
    "Asia/Karachi",
    "Asia/Tashkent",
    "Asia/Yekaterinburg",
    "Asia/Kabul",
    "Asia/Baku",
    "Asia/Dubai",
    "Asia/Tbilisi",
    "Asia/Yerevan",
    "Asia/Tehran",
    "Africa/Nairobi",
    "Asia/Baghdad",
    "Asia/Kuwait",
    "Asia/Riyadh",
    "Europe/Minsk",
    "Europe/Moscow",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Europe/Athens",
    "Europe/Bucharest",
    "Europe/Helsinki",
    "Europe/Istanbul",
    "Africa/Johannesburg",
    "Europe/Amsterdam",
    "Europe/Berlin",
    "Europe/Brussels",
    "Europe/Paris",
    "Europe/Prague",
    "Europe/Rome",
    "Europe/Lisbon",
    "Africa/Algiers",
    "Europe/London",
    "Atlantic/Cape_Verde",
    "Africa/Casablanca",
    "Europe/Dublin",
    "UTC",
    "America/Scoresbysund",
    "Atlantic/Azores",
    "Atlantic/South_Georgia",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Argentina/Buenos_Aires",
    "America/Santiago",
    "America/Halifax",
    "America/Puerto_Rico",
    "Atlantic/Bermuda",
    "America/Caracas",
    "America/Indiana/Indianapolis",
    "America/New_York",
    "America/Bogota",
    "America/Lima",
    "America/Panama",
    "America/Mexico_City",
    "America/Chicago",
    "America/El_Salvador",
    "America/Denver",
    "America/Mazatlan",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Tijuana",
    "Pacific/Pitcairn",
    "America/Anchorage",
    "Pacific/Gambier",
    "America/Adak",
    "Pacific/Marquesas",
    "Pacific/Honolulu",
    "Pacific/Niue",
    "Pacific/Pago_Pago",
];

/// The zone of a number.
///
/// # Errors
/// How to name a zone instead.
pub(crate) fn zone_name(id: u32) -> Result<&'static str, String> {
    let found = usize::try_from(id).ok().and_then(|id| NUMBERED.get(id.checked_sub(1)?));
    found.copied().ok_or_else(|| {
        format!(
            "{id} is no time zone; the numbers are 1 to {}, and names like Europe/Berlin work, too",
            NUMBERED.len()
        )
    })
}

/// The number of a zone; `None` if the zone has no number.
pub(crate) fn number(zone: &str) -> Option<u32> {
    (1..).zip(NUMBERED).find_map(|(id, name)| (name == zone).then_some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_known_for_certain_name_their_zones() {
        for (id, name) in [
            (1, "Pacific/Kiritimati"),
            (16, "Asia/Tokyo"),
            (56, "Europe/Berlin"),
            (67, "UTC"),
            (80, "America/New_York"),
            (85, "America/Chicago"),
            (87, "America/Denver"),
            (90, "America/Los_Angeles"),
            (99, "Pacific/Pago_Pago"),
        ] {
            assert_eq!(zone_name(id), Ok(name));
        }
        assert!(zone_name(0).is_err() && zone_name(100).is_err());
    }

    #[test]
    fn every_zone_is_in_the_database() {
        for name in NUMBERED {
            assert!(jiff::tz::TimeZone::get(name).is_ok(), "{name}");
        }
    }
}
