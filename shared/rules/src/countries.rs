//! The countries, with the ids that Everflow's API gives them.
//!
//! Everflow numbers the countries of ISO 3166-1 from 1, in the order of the codes. Later members of
//! the standard have higher numbers. Unknown numbers are replaced by ours, from 1001.

/// A country or territory of ISO 3166-1, or Kosovo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country {
    pub id: u32,
    /// ISO 3166-1 alpha-2, in upper case.
    pub code: &'static str,
    /// In English.
    pub name: &'static str,
}

impl Country {
    const fn new(id: u32, code: &'static str, name: &'static str) -> Country {
        Country { id, code, name }
    }

    #[must_use]
    pub fn find_by_id(id: u32) -> Option<&'static Country> {
        COUNTRIES.iter().find(|country| country.id == id)
    }

    /// The code may be in lower case.
    #[must_use]
    pub fn find_by_code(code: &str) -> Option<&'static Country> {
        let upper: [u8; 2] = code.as_bytes().try_into().ok()?;
        let upper = upper.map(|letter| letter.to_ascii_uppercase());
        let at = COUNTRIES.binary_search_by(|country| country.code.as_bytes().cmp(&upper));
        at.ok().map(|at| &COUNTRIES[at])
    }
}

/// All countries, by code.
pub static COUNTRIES: [Country; 250] = [
    Country::new(1, "AD", "Andorra"),
    Country::new(2, "AE", "United Arab Emirates"),
    Country::new(3, "AF", "Afghanistan"),
    Country::new(4, "AG", "Antigua and Barbuda"),
    Country::new(5, "AI", "Anguilla"),
    Country::new(6, "AL", "Albania"),
    Country::new(7, "AM", "Armenia"),
    Country::new(8, "AO", "Angola"),
    Country::new(9, "AQ", "Antarctica"),
    Country::new(10, "AR", "Argentina"),
    Country::new(11, "AS", "American Samoa"),
    Country::new(12, "AT", "Austria"),
    Country::new(13, "AU", "Australia"),
    Country::new(14, "AW", "Aruba"),
    Country::new(15, "AX", "Åland Islands"),
    Country::new(16, "AZ", "Azerbaijan"),
    Country::new(17, "BA", "Bosnia and Herzegovina"),
    Country::new(18, "BB", "Barbados"),
    Country::new(19, "BD", "Bangladesh"),
    Country::new(20, "BE", "Belgium"),
    Country::new(21, "BF", "Burkina Faso"),
    Country::new(22, "BG", "Bulgaria"),
    Country::new(23, "BH", "Bahrain"),
    Country::new(24, "BI", "Burundi"),
    Country::new(25, "BJ", "Benin"),
    Country::new(1001, "BL", "Saint Barthélemy"),
    Country::new(26, "BM", "Bermuda"),
    Country::new(27, "BN", "Brunei"),
    Country::new(28, "BO", "Bolivia"),
    Country::new(1002, "BQ", "Caribbean Netherlands"),
    Country::new(29, "BR", "Brazil"),
    Country::new(30, "BS", "Bahamas"),
    Country::new(31, "BT", "Bhutan"),
    Country::new(32, "BV", "Bouvet Island"),
    Country::new(33, "BW", "Botswana"),
    Country::new(34, "BY", "Belarus"),
    Country::new(35, "BZ", "Belize"),
    Country::new(36, "CA", "Canada"),
    Country::new(37, "CC", "Cocos (Keeling) Islands"),
    Country::new(38, "CD", "Democratic Republic of the Congo"),
    Country::new(39, "CF", "Central African Republic"),
    Country::new(40, "CG", "Republic of the Congo"),
    Country::new(41, "CH", "Switzerland"),
    Country::new(42, "CI", "Ivory Coast"),
    Country::new(43, "CK", "Cook Islands"),
    Country::new(44, "CL", "Chile"),
    Country::new(45, "CM", "Cameroon"),
    Country::new(46, "CN", "China"),
    Country::new(47, "CO", "Colombia"),
    Country::new(48, "CR", "Costa Rica"),
    Country::new(49, "CU", "Cuba"),
    Country::new(50, "CV", "Cape Verde"),
    Country::new(246, "CW", "Curaçao"),
    Country::new(51, "CX", "Christmas Island"),
    Country::new(52, "CY", "Cyprus"),
    Country::new(53, "CZ", "Czechia"),
    Country::new(54, "DE", "Germany"),
    Country::new(55, "DJ", "Djibouti"),
    Country::new(56, "DK", "Denmark"),
    Country::new(57, "DM", "Dominica"),
    Country::new(58, "DO", "Dominican Republic"),
    Country::new(59, "DZ", "Algeria"),
    Country::new(60, "EC", "Ecuador"),
    Country::new(61, "EE", "Estonia"),
    Country::new(62, "EG", "Egypt"),
    Country::new(63, "EH", "Western Sahara"),
    Country::new(64, "ER", "Eritrea"),
    Country::new(65, "ES", "Spain"),
    Country::new(66, "ET", "Ethiopia"),
    Country::new(67, "FI", "Finland"),
    Country::new(68, "FJ", "Fiji"),
    Country::new(69, "FK", "Falkland Islands"),
    Country::new(70, "FM", "Micronesia"),
    Country::new(71, "FO", "Faroe Islands"),
    Country::new(72, "FR", "France"),
    Country::new(73, "GA", "Gabon"),
    Country::new(74, "GB", "United Kingdom"),
    Country::new(75, "GD", "Grenada"),
    Country::new(76, "GE", "Georgia"),
    Country::new(77, "GF", "French Guiana"),
    Country::new(78, "GG", "Guernsey"),
    Country::new(79, "GH", "Ghana"),
    Country::new(80, "GI", "Gibraltar"),
    Country::new(81, "GL", "Greenland"),
    Country::new(82, "GM", "Gambia"),
    Country::new(83, "GN", "Guinea"),
    Country::new(84, "GP", "Guadeloupe"),
    Country::new(85, "GQ", "Equatorial Guinea"),
    Country::new(86, "GR", "Greece"),
    Country::new(87, "GS", "South Georgia and South Sandwich Islands"),
    Country::new(88, "GT", "Guatemala"),
    Country::new(89, "GU", "Guam"),
    Country::new(90, "GW", "Guinea-Bissau"),
    Country::new(91, "GY", "Guyana"),
    Country::new(92, "HK", "Hong Kong"),
    Country::new(93, "HM", "Heard Island and McDonald Islands"),
    Country::new(94, "HN", "Honduras"),
    Country::new(95, "HR", "Croatia"),
    Country::new(96, "HT", "Haiti"),
    Country::new(97, "HU", "Hungary"),
    Country::new(98, "ID", "Indonesia"),
    Country::new(99, "IE", "Ireland"),
    Country::new(100, "IL", "Israel"),
    Country::new(101, "IM", "Isle of Man"),
    Country::new(102, "IN", "India"),
    Country::new(103, "IO", "British Indian Ocean Territory"),
    Country::new(104, "IQ", "Iraq"),
    Country::new(105, "IR", "Iran"),
    Country::new(106, "IS", "Iceland"),
    Country::new(107, "IT", "Italy"),
    Country::new(108, "JE", "Jersey"),
    Country::new(109, "JM", "Jamaica"),
    Country::new(110, "JO", "Jordan"),
    Country::new(111, "JP", "Japan"),
    Country::new(112, "KE", "Kenya"),
    Country::new(113, "KG", "Kyrgyzstan"),
    Country::new(114, "KH", "Cambodia"),
    Country::new(115, "KI", "Kiribati"),
    Country::new(116, "KM", "Comoros"),
    Country::new(117, "KN", "Saint Kitts and Nevis"),
    Country::new(118, "KP", "North Korea"),
    Country::new(119, "KR", "South Korea"),
    Country::new(120, "KW", "Kuwait"),
    Country::new(121, "KY", "Cayman Islands"),
    Country::new(122, "KZ", "Kazakhstan"),
    Country::new(123, "LA", "Laos"),
    Country::new(124, "LB", "Lebanon"),
    Country::new(125, "LC", "Saint Lucia"),
    Country::new(126, "LI", "Liechtenstein"),
    Country::new(127, "LK", "Sri Lanka"),
    Country::new(128, "LR", "Liberia"),
    Country::new(129, "LS", "Lesotho"),
    Country::new(130, "LT", "Lithuania"),
    Country::new(131, "LU", "Luxembourg"),
    Country::new(132, "LV", "Latvia"),
    Country::new(133, "LY", "Libya"),
    Country::new(134, "MA", "Morocco"),
    Country::new(135, "MC", "Monaco"),
    Country::new(136, "MD", "Moldova"),
    Country::new(137, "ME", "Montenegro"),
    Country::new(1003, "MF", "Saint Martin"),
    Country::new(138, "MG", "Madagascar"),
    Country::new(139, "MH", "Marshall Islands"),
    Country::new(140, "MK", "North Macedonia"),
    Country::new(141, "ML", "Mali"),
    Country::new(142, "MM", "Myanmar"),
    Country::new(143, "MN", "Mongolia"),
    Country::new(144, "MO", "Macao"),
    Country::new(145, "MP", "Northern Mariana Islands"),
    Country::new(146, "MQ", "Martinique"),
    Country::new(147, "MR", "Mauritania"),
    Country::new(148, "MS", "Montserrat"),
    Country::new(149, "MT", "Malta"),
    Country::new(150, "MU", "Mauritius"),
    Country::new(151, "MV", "Maldives"),
    Country::new(152, "MW", "Malawi"),
    Country::new(153, "MX", "Mexico"),
    Country::new(154, "MY", "Malaysia"),
    Country::new(155, "MZ", "Mozambique"),
    Country::new(156, "NA", "Namibia"),
    Country::new(157, "NC", "New Caledonia"),
    Country::new(158, "NE", "Niger"),
    Country::new(159, "NF", "Norfolk Island"),
    Country::new(160, "NG", "Nigeria"),
    Country::new(161, "NI", "Nicaragua"),
    Country::new(162, "NL", "Netherlands"),
    Country::new(163, "NO", "Norway"),
    Country::new(164, "NP", "Nepal"),
    Country::new(165, "NR", "Nauru"),
    Country::new(166, "NU", "Niue"),
    Country::new(167, "NZ", "New Zealand"),
    Country::new(168, "OM", "Oman"),
    Country::new(169, "PA", "Panama"),
    Country::new(170, "PE", "Peru"),
    Country::new(171, "PF", "French Polynesia"),
    Country::new(172, "PG", "Papua New Guinea"),
    Country::new(173, "PH", "Philippines"),
    Country::new(174, "PK", "Pakistan"),
    Country::new(175, "PL", "Poland"),
    Country::new(176, "PM", "Saint Pierre and Miquelon"),
    Country::new(177, "PN", "Pitcairn Islands"),
    Country::new(178, "PR", "Puerto Rico"),
    Country::new(179, "PS", "Palestine"),
    Country::new(180, "PT", "Portugal"),
    Country::new(181, "PW", "Palau"),
    Country::new(182, "PY", "Paraguay"),
    Country::new(183, "QA", "Qatar"),
    Country::new(184, "RE", "Réunion"),
    Country::new(185, "RO", "Romania"),
    Country::new(186, "RS", "Serbia"),
    Country::new(187, "RU", "Russia"),
    Country::new(188, "RW", "Rwanda"),
    Country::new(189, "SA", "Saudi Arabia"),
    Country::new(190, "SB", "Solomon Islands"),
    Country::new(191, "SC", "Seychelles"),
    Country::new(192, "SD", "Sudan"),
    Country::new(193, "SE", "Sweden"),
    Country::new(194, "SG", "Singapore"),
    Country::new(195, "SH", "Saint Helena, Ascension and Tristan da Cunha"),
    Country::new(196, "SI", "Slovenia"),
    Country::new(197, "SJ", "Svalbard and Jan Mayen"),
    Country::new(198, "SK", "Slovakia"),
    Country::new(199, "SL", "Sierra Leone"),
    Country::new(200, "SM", "San Marino"),
    Country::new(201, "SN", "Senegal"),
    Country::new(202, "SO", "Somalia"),
    Country::new(203, "SR", "Suriname"),
    Country::new(1004, "SS", "South Sudan"),
    Country::new(204, "ST", "São Tomé and Príncipe"),
    Country::new(205, "SV", "El Salvador"),
    Country::new(1005, "SX", "Sint Maarten"),
    Country::new(206, "SY", "Syria"),
    Country::new(207, "SZ", "Eswatini"),
    Country::new(208, "TC", "Turks and Caicos Islands"),
    Country::new(209, "TD", "Chad"),
    Country::new(210, "TF", "French Southern Territories"),
    Country::new(211, "TG", "Togo"),
    Country::new(212, "TH", "Thailand"),
    Country::new(213, "TJ", "Tajikistan"),
    Country::new(214, "TK", "Tokelau"),
    Country::new(215, "TL", "Timor-Leste"),
    Country::new(216, "TM", "Turkmenistan"),
    Country::new(217, "TN", "Tunisia"),
    Country::new(218, "TO", "Tonga"),
    Country::new(219, "TR", "Türkiye"),
    Country::new(220, "TT", "Trinidad and Tobago"),
    Country::new(221, "TV", "Tuvalu"),
    Country::new(222, "TW", "Taiwan"),
    Country::new(223, "TZ", "Tanzania"),
    Country::new(224, "UA", "Ukraine"),
    Country::new(225, "UG", "Uganda"),
    Country::new(226, "UM", "U.S. Outlying Islands"),
    Country::new(227, "US", "United States"),
    Country::new(228, "UY", "Uruguay"),
    Country::new(229, "UZ", "Uzbekistan"),
    Country::new(230, "VA", "Vatican City"),
    Country::new(231, "VC", "Saint Vincent and Grenadines"),
    Country::new(232, "VE", "Venezuela"),
    Country::new(233, "VG", "British Virgin Islands"),
    Country::new(234, "VI", "U.S. Virgin Islands"),
    Country::new(235, "VN", "Vietnam"),
    Country::new(236, "VU", "Vanuatu"),
    Country::new(237, "WF", "Wallis and Futuna"),
    Country::new(238, "WS", "Samoa"),
    Country::new(1006, "XK", "Kosovo"),
    Country::new(239, "YE", "Yemen"),
    Country::new(240, "YT", "Mayotte"),
    Country::new(241, "ZA", "South Africa"),
    Country::new(242, "ZM", "Zambia"),
    Country::new(243, "ZW", "Zimbabwe"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_sorted_by_code_and_have_ids_of_their_own() {
        assert!(COUNTRIES.is_sorted_by(|one, other| one.code < other.code));
        let mut ids: Vec<u32> = COUNTRIES.iter().map(|country| country.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), COUNTRIES.len());
    }

    #[test]
    fn countries_have_everflows_ids() {
        let known =
            [("AE", 2), ("AT", 12), ("CA", 36), ("CH", 41), ("DE", 54), ("US", 227), ("CW", 246)];
        for (code, id) in known {
            assert_eq!(Country::find_by_code(code).map(|country| country.id), Some(id), "{code}");
            assert_eq!(Country::find_by_id(id).map(|country| country.code), Some(code));
        }
    }

    #[test]
    fn a_code_is_found_in_any_case_and_nothing_else_is() {
        assert_eq!(Country::find_by_code("de").unwrap().name, "Germany");
        for code in ["", "D", "DEU", "XX", "T1", "UK", "ü", "EU"] {
            assert_eq!(Country::find_by_code(code), None, "{code}");
        }
        assert_eq!(Country::find_by_id(0), None);
        assert_eq!(Country::find_by_id(244), None);
    }
}
