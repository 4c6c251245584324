//! Enums of facts. Each variant has a number and a name, which stand in catalogs, rules and stored
//! counts and never change.

macro_rules! named_numbers {
    ($(#[$doc:meta])* pub enum $enum:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $name:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $enum {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $enum {
            pub const ALL: &'static [$enum] = &[$($enum::$variant),*];

            /// Names in the order of [`Self::ALL`].
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            #[must_use]
            pub fn number(self) -> u8 {
                self as u8
            }

            /// `None` if the number stands for no variant.
            #[must_use]
            pub fn from_number(number: u8) -> Option<$enum> {
                match number {
                    $($number => Some($enum::$variant),)*
                    _ => None,
                }
            }

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $($enum::$variant => $name,)*
                }
            }

            /// Finds a variant by its name, ignoring ASCII case.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$enum> {
                $enum::ALL.iter().copied().find(|known| known.as_str().eq_ignore_ascii_case(name))
            }
        }
    };
}

pub(crate) use named_numbers;
