//! The document as a page: no script, and nothing loaded from anywhere.

use serde_json::Value;

use super::parts::{self, DOORS, Door};
use crate::http::endpoint::Endpoint;

/// Allowed by its hash: see [`crate::http::browser`].
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:62rem;margin:2rem auto;padding:0 1rem}h2{margin-top:3rem}h3{margin:2rem 0 .2rem;font-size:1rem}\
table{border-collapse:collapse;width:100%}th{font-weight:600;white-space:nowrap}td:last-child{width:50%}\
td,th{border-top:1px solid #8884;padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}\
code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}";

pub(super) fn page(document: &Value) -> String {
    let info = &document["info"];
    let links = DOORS.map(|(name, _, what, _)| format!("<li><a href=\"#{name}\">{what}</a></li>"));
    let types = fields(&document["components"]["schemas"]).map(|(name, schema)| {
        let what = text(&schema["description"]);
        format!("<h3 id=\"{name}\"><code>{name}</code></h3><p>{what}</p>{}", table(schema))
    });
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Overside</title><style>{STYLE}</style></head>\
         <body><h1>Overside {}</h1><p>{}</p><p>{} <a href=\"openapi.json\">As OpenAPI</a></p>\
         <ul>{}<li><a href=\"#types\">Types</a></li></ul>{}<h2 id=\"types\">Types</h2>{}</body></html>\n",
        text(&info["version"]),
        text(&info["summary"]),
        text(&info["description"]),
        links.concat(),
        DOORS.map(|door| section(document, door)).concat(),
        types.collect::<Vec<_>>().concat(),
    )
}

fn section(document: &Value, door: Door) -> String {
    let endpoints = Endpoint::ALL.iter().filter(|endpoint| parts::door(endpoint.path()) == door);
    let endpoints: Vec<_> = endpoints.map(|endpoint| operation(document, *endpoint)).collect();
    let (name, _, what, refusal) = door;
    let refusal = refusal.map(|name| &document["components"]["responses"][name]);
    let refusal =
        refusal.map(|refusal| format!("<p>{}: {}</p>", content(refusal), text(&refusal["description"])));
    format!("<h2 id=\"{name}\">{what}</h2>{}{}", refusal.unwrap_or_default(), endpoints.concat())
}

fn operation(document: &Value, endpoint: Endpoint) -> String {
    let (method, path) = (endpoint.method(), endpoint.path());
    let operation = &document["paths"][path][method.as_str().to_ascii_lowercase()];
    let parameters = items(&operation["parameters"]).map(|parameter| {
        let parameter = resolved(document, parameter);
        let place = format!("{}: {}", text(&parameter["in"]), kind(&parameter["schema"]));
        row(&code(&parameter["name"]), &place, parameter["required"] == true, &parameter["description"])
    });
    let body = operation.get("requestBody");
    let body = body.map(|body| row("body", &content(body), body["required"] == true, &body["description"]));
    // What is said of every refusal stands above.
    let answers = fields(&operation["responses"]).filter(|(status, _)| *status != "default");
    let answers = answers.map(|(status, answer)| {
        let headers: Vec<_> = fields(&answer["headers"]).map(|(name, _)| name.as_str()).collect();
        let known = [content(answer), headers.join(", ")].into_iter().filter(|one| !one.is_empty());
        let known = known.collect::<Vec<_>>().join("<br>");
        row(status, &known, true, &answer["description"])
    });
    let rows: Vec<_> = parameters.chain(body).chain(answers).collect();
    format!(
        "<h3 id=\"{}\"><code>{method} {path}</code></h3><p>{}. {}</p><table>{}</table>",
        text(&operation["operationId"]),
        text(&operation["summary"]),
        text(&operation["description"]),
        rows.concat(),
    )
}

/// The fields of a type, or what it is where it has none.
fn table(schema: &Value) -> String {
    let is_required = |name: &str| items(&schema["required"]).any(|one| one == name);
    let rows = fields(&schema["properties"]).map(|(name, field)| {
        row(&format!("<code>{name}</code>"), &kind(field), is_required(name), &field["description"])
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() { kind(schema) } else { format!("<table>{}</table>", rows.concat()) }
}

fn row(name: &str, kind: &str, is_required: bool, what: &Value) -> String {
    let may = if is_required { "" } else { " <i>may be left out</i>" };
    format!("<tr><th>{name}</th><td>{kind}{may}</td><td>{}</td></tr>", text(what))
}

/// Of each media type what it consists of.
fn content(of: &Value) -> String {
    let bodies = fields(&of["content"]).map(|(name, body)| format!("{name} {}", kind(&body["schema"])));
    bodies.collect::<Vec<_>>().join("<br>")
}

/// What a schema describes, in a few words, with links to the types that it names.
fn kind(schema: &Value) -> String {
    let all = |of: &Value, joint: &str| items(of).map(kind).collect::<Vec<_>>().join(joint);
    if let Some((_, name)) = schema["$ref"].as_str().and_then(|place| place.rsplit_once('/')) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    for (choice, joint) in [("oneOf", " or "), ("allOf", " with ")] {
        if schema[choice].is_array() {
            return all(&schema[choice], joint);
        }
    }
    if schema["enum"].is_array() {
        return items(&schema["enum"]).map(code).collect::<Vec<_>>().join(" ");
    }
    match schema["type"].as_str().unwrap_or_default() {
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" if schema["properties"].is_object() => {
            let fields = fields(&schema["properties"]);
            let fields = fields.map(|(name, field)| format!("<code>{name}</code>: {}", kind(field)));
            fields.collect::<Vec<_>>().join(", ")
        }
        "" => items(&schema["type"]).map(text).collect::<Vec<_>>().join(" or "),
        simple => schema["format"].as_str().unwrap_or(simple).to_owned(),
    }
}

/// What the document has at a reference to one of its own parts.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let place = value["$ref"].as_str().and_then(|place| document.pointer(place.strip_prefix('#')?));
    place.unwrap_or(value)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn fields(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn code(name: &Value) -> String {
    format!("<code>{}</code>", text(name))
}

/// A text of the document; code in it is between backquotes.
fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let parts = text.split('`').enumerate();
    let parts = parts
        .map(|(index, part)| if index % 2 == 0 { part.to_owned() } else { format!("<code>{part}</code>") });
    parts.collect()
}
