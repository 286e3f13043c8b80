//! A small validator for the part of JSON Schema 2020-12 that schemars emits. An unknown keyword is an error of the schema,
//! so that nothing is passed over in silence.

use ntpbox::applets::schemas::REPORTS;
use serde_json::{Map, Value};

/// Keywords that describe and do not constrain.
const REMARKS: &[&str] = &["$schema", "$defs", "title", "description", "examples", "default", "deprecated"];

/// Checks `value` against `schema`; each complaint says where (as a JSON pointer) and what.
pub(crate) fn validate(schema: &Value, value: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    Validator { root: schema }.check(schema, value, "", &mut complaints);
    complaints
}

/// Parses the output of `--json` (one object, or several one a line), checks each against the committed schema that it
/// names and against the rules that every envelope keeps; returns the objects.
#[track_caller]
pub(crate) fn check_output(stdout: &str) -> Vec<Value> {
    let stream = serde_json::Deserializer::from_str(stdout).into_iter::<Value>();
    let objects: Vec<Value> =
        stream.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("not JSON ({e}): {stdout}"));
    assert!(!objects.is_empty(), "no JSON object on stdout");
    for object in &objects {
        let name = object["schema"].as_str().unwrap_or_else(|| panic!("no schema name in {object}"));
        let report = REPORTS
            .iter()
            .find(|report| report.name == name)
            .unwrap_or_else(|| panic!("{name} is not in applets::schemas::REPORTS"));
        let complaints = validate(&report.schema().to_value(), object);
        assert!(complaints.is_empty(), "{name}: {complaints:#?}\n{object:#}");
    }
    objects
}

struct Validator<'a> {
    root: &'a Value,
}

impl Validator<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        match schema {
            Value::Bool(true) => {}
            Value::Bool(false) => found.push(format!("{at}: nothing is allowed here")),
            Value::Object(keywords) => {
                for (keyword, rule) in keywords {
                    if !REMARKS.contains(&keyword.as_str()) {
                        self.keyword(keywords, keyword, rule, value, at, found);
                    }
                }
            }
            other => found.push(format!("{at}: {other} is no schema")),
        }
    }

    fn keyword(
        &self,
        siblings: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
        found: &mut Vec<String>,
    ) {
        let mut expect = |holds: bool| {
            if !holds {
                found.push(format!("{at}: {value} breaks {keyword} {rule}"));
            }
        };
        match keyword {
            "type" => expect(words(rule).any(|name| has_type(value, name))),
            "const" => expect(value == rule),
            "enum" => expect(rule.as_array().unwrap().contains(value)),
            "minimum" => expect(value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap())),
            "maximum" => expect(value.as_f64().is_none_or(|v| v <= rule.as_f64().unwrap())),
            "minLength" => expect(value.as_str().is_none_or(|v| v.chars().count() >= size(rule))),
            "maxLength" => expect(value.as_str().is_none_or(|v| v.chars().count() <= size(rule))),
            "minItems" => expect(value.as_array().is_none_or(|v| v.len() >= size(rule))),
            "maxItems" => expect(value.as_array().is_none_or(|v| v.len() <= size(rule))),
            "uniqueItems" => {
                expect(value.as_array().is_none_or(|v| (1..v.len()).all(|i| !v[..i].contains(&v[i]))))
            }
            "required" => {
                let lacks = |name: &str| value.as_object().is_some_and(|v| !v.contains_key(name));
                expect(!words(rule).any(lacks));
            }
            "format" => match rule.as_str().unwrap() {
                "date-time" => expect(value.as_str().is_none_or(is_date_time)),
                "ip" => expect(value.as_str().is_none_or(|v| v.parse::<std::net::IpAddr>().is_ok())),
                // numeric formats of schemars come with a minimum and a maximum, or span their type
                "double" | "float" | "uint8" | "uint16" | "uint32" | "uint64" | "uint" | "int8" | "int16"
                | "int32" | "int64" | "int" => {}
                _ => expect(false),
            },
            "$ref" => {
                let path = rule.as_str().unwrap().strip_prefix('#').expect("references are local");
                let target = self.root.pointer(path).unwrap_or_else(|| panic!("{rule} points nowhere"));
                self.check(target, value, at, found);
            }
            "allOf" => rule.as_array().unwrap().iter().for_each(|s| self.check(s, value, at, found)),
            "anyOf" => expect(self.fitting(rule, value) >= 1),
            "oneOf" => expect(self.fitting(rule, value) == 1),
            "not" => expect(self.fitting(&Value::Array(vec![rule.clone()]), value) == 0),
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        self.check(schema, inner, &format!("{at}/{name}"), found);
                    }
                }
            }
            "additionalProperties" => {
                let known = siblings.get("properties").and_then(Value::as_object);
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|k| !k.contains_key(name)) {
                        self.check(rule, inner, &format!("{at}/{name}"), found);
                    }
                }
            }
            "prefixItems" => {
                for (i, (schema, inner)) in
                    rule.as_array().unwrap().iter().zip(value.as_array().into_iter().flatten()).enumerate()
                {
                    self.check(schema, inner, &format!("{at}/{i}"), found);
                }
            }
            "items" => {
                let skip = siblings.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                for (i, inner) in value.as_array().into_iter().flatten().enumerate().skip(skip) {
                    self.check(rule, inner, &format!("{at}/{i}"), found);
                }
            }
            unknown => found.push(format!("{at}: the validator does not know the keyword {unknown}")),
        }
    }

    fn fitting(&self, schemas: &Value, value: &Value) -> usize {
        let fits = |schema: &&Value| {
            let mut found = Vec::new();
            self.check(schema, value, "", &mut found);
            found.is_empty()
        };
        schemas.as_array().unwrap().iter().filter(fits).count()
    }
}

fn words(rule: &Value) -> impl Iterator<Item = &str> {
    let several = rule.as_array().into_iter().flatten();
    several.chain(rule.is_string().then_some(rule)).filter_map(Value::as_str)
}

fn size(rule: &Value) -> usize {
    usize::try_from(rule.as_u64().unwrap()).unwrap()
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

/// `2026-11-21T10:16:23.120378308Z`: ours are always UTC with nine digits.
fn is_date_time(text: &str) -> bool {
    let shape = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(t, s)| if s == b'd' { t.is_ascii_digit() } else { t == s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_breaks_a_schema_is_found() {
        let schema = json!({
            "type": "object",
            "required": ["a", "b"],
            "additionalProperties": false,
            "properties": {
                "a": { "type": ["integer", "null"], "minimum": 0 },
                "b": { "type": "array", "items": { "$ref": "#/$defs/word" } },
                "t": { "type": "string", "format": "date-time" },
                "x": { "anyOf": [{ "const": 1 }, { "type": "null" }] },
            },
            "$defs": { "word": { "enum": ["one", "two"] } },
        });
        let good = json!({ "a": null, "b": ["one", "two"], "t": "2026-11-21T10:16:23.120378308Z", "x": 1 });
        assert_eq!(validate(&schema, &good), Vec::<String>::new());
        for (bad, complaints) in [
            (json!({ "b": [] }), 1),
            (json!({ "a": -1, "b": [] }), 1),
            (json!({ "a": 1.5, "b": [] }), 1),
            (json!({ "a": 1, "b": ["three", "four"] }), 2),
            (json!({ "a": 1, "b": [], "c": 0 }), 1),
            (json!({ "a": 1, "b": [], "t": "2026-11-21 10:16:23" }), 1),
            (json!({ "a": 1, "b": [], "x": 2 }), 1),
            (json!([]), 1),
        ] {
            assert_eq!(validate(&schema, &bad).len(), complaints, "{bad}: {:?}", validate(&schema, &bad));
        }
    }

    #[test]
    fn a_keyword_that_is_not_known_is_refused() {
        assert_eq!(validate(&json!({ "minProperties": 1 }), &json!({})).len(), 1);
    }
}
