//! Optional ids: 0, null and a missing field are the same; the API answers 0.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(id: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    id.unwrap_or(0).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    Ok(Option::<u32>::deserialize(deserializer)?.filter(|id| *id != 0))
}
