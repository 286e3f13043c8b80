//! The JSON Schema (2020-12) of what `--json` prints: the whole envelope around one kind of report.
//!
//! The schemas come from the report structs, so they cannot drift from the code. They are committed under `tests/schema/`;
//! `tests/generated.rs` compares.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;

use super::{Envelope, ErrorReport};

/// A report's name and version with its schema.
#[derive(Debug, Clone, Copy)]
pub struct ReportSchema {
    /// What stands in the envelope's `schema`, e.g. `ntpbox/chronyc.tracking/1`.
    pub name: &'static str,
    build: fn(&'static str) -> Schema,
}

/// The `data` of a name under which only failures are reported: always null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NoData;

impl JsonSchema for NoData {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NoData".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        json_schema!({ "type": "null" })
    }
}

impl ReportSchema {
    /// The schema of an envelope whose `data` is a `T`.
    pub const fn of<T: JsonSchema + Serialize + 'static>(name: &'static str) -> Self {
        Self { name, build: envelope::<T> }
    }

    /// The JSON Schema of the envelope.
    pub fn schema(&self) -> Schema {
        (self.build)(self.name)
    }

    /// Name of the committed file: `ntpbox/chronyc.tracking/1` is kept in `chronyc.tracking.1.json`.
    pub fn file_name(&self) -> String {
        let name = self.name.strip_prefix("ntpbox/").unwrap_or(self.name);
        format!("{}.json", name.replace('/', "."))
    }
}

fn envelope<T: JsonSchema + Serialize + 'static>(name: &'static str) -> Schema {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let error = generator.subschema_for::<ErrorReport>();
    let mut schema = generator.into_root_schema_for::<Envelope<'static, T>>();
    schema.insert("title".to_owned(), name.into());
    if let Some(slot) = schema.get_mut("properties").and_then(|p| p.get_mut("schema")) {
        *slot = json_schema!({ "description": "Name and version of this format.", "const": name }).to_value();
    }
    // success has no error; a failure has one, and no report
    let halves = json_schema!({ "oneOf": [
        { "properties": { "ok": { "const": true }, "error": { "type": "null" } } },
        { "properties": { "ok": { "const": false }, "data": { "type": "null" }, "error": error } },
    ] });
    if let Some(object) = halves.as_object() {
        schema.ensure_object().extend(object.clone());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_names_itself_and_ties_ok_to_error() {
        let report = ReportSchema::of::<NoData>("ntpbox/chronyc.tracking/1");
        assert_eq!(report.file_name(), "chronyc.tracking.1.json");
        let schema = report.schema().to_value();
        assert_eq!(schema["properties"]["schema"]["const"], "ntpbox/chronyc.tracking/1");
        let required = schema["required"].as_array().unwrap();
        for key in ["schema", "ntpbox", "time", "ok", "exit_code", "data", "messages", "error"] {
            assert!(required.iter().any(|r| r == key), "{key} is always there");
        }
    }
}
