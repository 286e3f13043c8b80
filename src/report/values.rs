//! How the values of [`crate::types`] look in JSON (decisions.md, "One sign, one unit").

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::types::{Frequency, Leap, LogInterval, Reach, RefId, Secs, Stratum, Timestamp, civil};

impl Serialize for Secs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.get())
    }
}

impl JsonSchema for Secs {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secs".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

/// Serialises a [`Frequency`] in ppm, for fields named `…_ppm`.
///
/// # Errors
/// Those of the serializer.
pub fn ppm<S: Serializer>(frequency: &Frequency, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(frequency.ppm())
}

impl Serialize for Stratum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.get())
    }
}

impl JsonSchema for Stratum {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Stratum".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": 255 })
    }
}

impl Serialize for LogInterval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i8(self.log2())
    }
}

impl JsonSchema for LogInterval {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "LogInterval".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": -128, "maximum": 127 })
    }
}

impl Serialize for Leap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::None => "none",
            Self::Add => "add",
            Self::Delete => "delete",
            Self::Unsynchronised => "unsynchronised",
        })
    }
}

impl JsonSchema for Leap {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Leap".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["none", "add", "delete", "unsynchronised"] })
    }
}

/// An instant as RFC 3339 in UTC with nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline, extend("format" = "date-time"))]
pub struct Instant(String);

impl From<Timestamp> for Instant {
    fn from(t: Timestamp) -> Self {
        Self(civil::rfc3339(t))
    }
}

impl Instant {
    /// Of seconds since 1970 and ns within the second; `None` outside of the years 0 … 9999, which RFC 3339 cannot write.
    pub fn from_unix(secs: i64, nanos: u32) -> Option<Self> {
        let c = civil::CivilTime::from_unix(secs, nanos, 0);
        (0..=9999).contains(&c.year).then(|| Self(civil::rfc3339_civil(&c)))
    }
}

/// `{"hex":"7F000001","text":"127.0.0.1"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct RefIdValue {
    /// Eight upper-case hex digits.
    pub hex: String,
    /// The readable form that fits the stratum.
    pub text: String,
}

/// The JSON form of a reference ID seen with this stratum.
pub fn refid_value(refid: RefId, stratum: Stratum) -> RefIdValue {
    RefIdValue { hex: refid.to_string(), text: refid.text(stratum) }
}

/// `{"bits":255,"octal":"377"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ReachValue {
    /// The register, newest poll in bit 0.
    pub bits: u8,
    /// The same as ntpq and chronyc print it.
    pub octal: String,
}

/// The JSON form of a reach register.
pub fn reach_value(reach: Reach) -> ReachValue {
    ReachValue { bits: reach.bits(), octal: format!("{:o}", reach.bits()) }
}
