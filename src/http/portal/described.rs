//! What the OpenAPI document says of the page and of signing in to it.

use serde_json::json;

use crate::http::description::{Description, shaped};
use crate::http::endpoint::Endpoint;

/// None for those of other front doors.
pub(in crate::http) fn described(endpoint: Endpoint) -> Option<Description> {
    let to = Description::new;
    Some(match endpoint {
        Endpoint::Portal => to("The page for people").answers(
            200,
            "A page",
            &["ETag", "Set-Cookie", "X-Harbor-CSRF-Token"],
            [shaped("text/html", json!({}))],
        ),
        Endpoint::PortalFile => {
            to("What the page loads").answers(200, "A script, a style or a picture", &[], [])
        }
        Endpoint::SignIn => to("Begins a session of a browser")
            .note(
                "Without the right token it is refused, and the answer has cookie and token of the next try.",
            )
            .header("X-Harbor-CSRF-Token", "From the page's answer, or from the refusal")
            .takes(shaped(
                "application/x-www-form-urlencoded",
                json!({
                    "type": "object",
                    "properties": {
                        "principal": { "type": "string", "description": "A user's name" },
                        "password": { "type": "string", "format": "password" },
                    },
                    "required": ["principal", "password"],
                }),
            ))
            .answers(
                200,
                "The cookie `sid` has the session's id",
                &["Set-Cookie", "X-Harbor-CSRF-Token"],
                [],
            ),
        Endpoint::SignOut => to("Ends the session").answers(200, "It has ended", &["Set-Cookie"], []),
        _ => return None,
    })
}
