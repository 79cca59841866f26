//! What a front door says of an endpoint for the OpenAPI document, besides what the table of endpoints has: each door has
//! its own in a `described.rs`.

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Named schemas, as types refer to each other by them.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// A body: its media type and what it consists of.
pub(super) struct Shape {
    pub media_type: &'static str,
    pub schema: Value,
    /// The types that it names.
    pub schemas: Schemas,
}

/// An operation in the making.
#[derive(Default)]
pub(super) struct Description {
    pub summary: &'static str,
    pub note: &'static str,
    pub parameters: Vec<Value>,
    pub body: Option<Value>,
    pub answers: Map<String, Value>,
    pub schemas: Schemas,
}

/// JSON of one of our types.
pub(super) fn of<T: ToSchema>() -> Shape {
    typed::<T>("application/json")
}

/// As [`of`], where JSON goes by another name.
pub(super) fn typed<T: ToSchema>(media_type: &'static str) -> Shape {
    let name = T::name().into_owned();
    let schema = refer("schemas", &name);
    let mut schemas = vec![(name, T::schema())];
    T::schemas(&mut schemas);
    Shape { media_type, schema, schemas }
}

pub(super) fn list_of<T: ToSchema>() -> Shape {
    let Shape { schema, schemas, media_type } = of::<T>();
    Shape { media_type, schema: json!({ "type": "array", "items": schema }), schemas }
}

pub(super) fn one_of(shapes: [Shape; 2]) -> Shape {
    let (schemas, named): (Vec<_>, Vec<_>) = shapes.into_iter().map(|one| (one.schema, one.schemas)).unzip();
    Shape { schemas: named.concat(), ..shaped("application/json", json!({ "oneOf": schemas })) }
}

pub(super) fn bytes() -> Shape {
    shaped("application/octet-stream", json!({}))
}

pub(super) fn shaped(media_type: &'static str, schema: Value) -> Shape {
    Shape { media_type, schema, schemas: Vec::new() }
}

impl Description {
    /// What the endpoint does or shows, in half a sentence.
    pub fn new(summary: &'static str) -> Self {
        Self { summary, ..Self::default() }
    }

    /// What to know besides, in sentences.
    pub fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    pub fn query<T: PartialSchema>(self, name: &str, what: &str) -> Self {
        self.parameter("query", name, what, &json!(T::schema()), false)
    }

    /// As [`Self::query`], of one that must be there.
    pub fn needs<T: PartialSchema>(self, name: &str, what: &str) -> Self {
        self.parameter("query", name, what, &json!(T::schema()), true)
    }

    pub fn header(self, name: &str, what: &str) -> Self {
        self.parameter("header", name, what, &json!({ "type": "string" }), false)
    }

    fn parameter(mut self, place: &str, name: &str, what: &str, schema: &Value, is_required: bool) -> Self {
        self.parameters.push(json!({
            "in": place, "name": name, "description": what, "schema": schema, "required": is_required,
        }));
        self
    }

    pub fn takes(mut self, body: Shape) -> Self {
        self.body = Some(json!({ "required": true, "content": self.content([body]) }));
        self
    }

    pub fn may_take(mut self, bodies: impl IntoIterator<Item = Shape>) -> Self {
        self.body = Some(json!({ "content": self.content(bodies) }));
        self
    }

    /// An answer, with its headers' names: what they mean is in [`super::openapi`], for all endpoints.
    pub fn answers(
        mut self,
        status: u16,
        what: &str,
        headers: &[&str],
        bodies: impl IntoIterator<Item = Shape>,
    ) -> Self {
        let header = |name: &&str| ((*name).to_owned(), refer("headers", name));
        let headers: Map<_, _> = headers.iter().map(header).collect();
        let mut answer = json!({ "description": what });
        for (field, value) in [("headers", headers), ("content", self.content(bodies))] {
            if !value.is_empty() {
                answer[field] = value.into();
            }
        }
        self.answers.insert(status.to_string(), answer);
        self
    }

    fn content(&mut self, bodies: impl IntoIterator<Item = Shape>) -> Map<String, Value> {
        let content = bodies.into_iter().map(|Shape { media_type, schema, schemas }| {
            self.schemas.extend(schemas);
            (media_type.to_owned(), json!({ "schema": schema }))
        });
        content.collect()
    }
}

/// To what the document has once, by its kind and name.
pub(super) fn refer(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
