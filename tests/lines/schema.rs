//! Lines of JSON against `packaging/events.schema.json`: the part of JSON Schema that it uses, and the order of keys.

use regex_lite::Regex;
use serde_json::Value;

/// The keys of an event, in order.
const ORDER: [&str; 21] = [
    "skb",
    "skb_shared_info",
    "cpu",
    "process",
    "func",
    "caller_func",
    "time",
    "netns",
    "netns_name",
    "mark",
    "iface",
    "proto",
    "mtu",
    "len",
    "cb",
    "tuple",
    "tunnel_tuple",
    "stack",
    "skb_metadata",
    "metadata",
    "map",
];

/// The schema of an event.
pub struct Schema(Value);

impl Schema {
    /// Reads the file.
    pub fn read() -> Schema {
        let text = include_str!("../../packaging/events.schema.json");
        Schema(serde_json::from_str(text).expect("the schema is JSON"))
    }

    /// Panics if `line` is no event.
    pub fn check(&self, line: &str) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        if let Err(error) = self.fits(&self.0, &value, "event") {
            panic!("{error}\n{line}");
        }
        // Keys as they stand in the text: strings that look like one have their quotes escaped.
        let mut last = 0;
        for key in ORDER.iter().chain(&["prog"]).filter(|key| value.get(**key).is_some()) {
            let at = line[last..].find(&format!("\"{key}\":")).map(|at| at + last);
            last = at.unwrap_or_else(|| panic!("`{key}` stands too early in {line}"));
        }
    }

    fn fits(&self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            let target = self.0.pointer(name.trim_start_matches('#')).expect("the schema has what it refers to");
            return self.fits(target, value, path);
        }
        let is = |kind: &str| match kind {
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("the checker does not know the type {other}"),
        };
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            other => panic!("{path} has the type {other}"),
        };
        let wrong = |what: &str| Err(format!("{path} is {value}: {what}"));
        if !kinds.iter().any(|kind| is(kind)) {
            return wrong(&format!("it must be {}", kinds.join(" or ")));
        }
        if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
            && !Regex::new(pattern).expect("a pattern of the schema").is_match(text)
        {
            return wrong(&format!("it must match {pattern}"));
        }
        if let Some(number) = value.as_i64() {
            let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
            if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
                return wrong("it is out of range");
            }
        }
        if let Some(items) = value.as_array() {
            let (least, most) = (schema["minItems"].as_u64(), schema["maxItems"].as_u64());
            let count = items.len() as u64;
            if least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most) {
                return wrong("it has another number of items");
            }
            for item in items {
                self.fits(&schema["items"], item, &format!("{path}[]"))?;
            }
        }
        if let Some(object) = value.as_object() {
            for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !object.contains_key(key) {
                    return wrong(&format!("`{key}` is missing"));
                }
            }
            for (key, value) in object {
                let path = format!("{path}.{key}");
                match (schema["properties"].get(key), &schema["additionalProperties"]) {
                    (Some(schema), _) => self.fits(schema, value, &path)?,
                    (None, Value::Bool(false)) => return Err(format!("{path} is not in the schema")),
                    (None, more) => self.fits(more, value, &path)?,
                }
            }
        }
        Ok(())
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let schema = Schema::read();
    let properties = schema.0["properties"].as_object().expect("an event has properties");
    assert!(properties.keys().all(|key| ORDER.contains(&key.as_str()) || key == "prog"));
    assert_eq!(properties.len(), ORDER.len() + 1);
    let good =
        r#"{"skb":"0x1","process":"a:1","func":"f","tuple":{"saddr":"10.0.0.1","sport":1},"metadata":{"a":null}}"#;
    schema.check(good);
    for (part, by) in [
        (r#""skb":"0x1","#, ""),
        (r#""0x1""#, "1"),
        ("0x1", "0xfg"),
        (r#""func":"f""#, r#""func":"f","other":1"#),
        (r#""sport":1"#, r#""sport":0"#),
        (r#""sport":1"#, r#""sport":65536"#),
        ("null", "[1]"),
        (r#""func":"f""#, r#""func":"f","cb":[1,2,3,4]"#),
        (r#""func":"f""#, r#""func":"f","cpu":1"#),
    ] {
        let bad = good.replace(part, by);
        assert!(std::panic::catch_unwind(|| schema.check(&bad)).is_err(), "{bad}");
    }
}
