//! Lists, a page at a time, as Harbor numbers them: `page` from 1, `page_size`, `X-Total-Count`, and `Link` to the pages
//! before and after (RFC 8288).

use axum::Json;
use axum::http::header::LINK;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use overside_protocol::wire::TOTAL_COUNT;
use serde::Serialize;
use url::form_urlencoded;

use crate::http::error::HttpError;
use crate::http::extract::Parameters;

const DEFAULT_SIZE: u32 = 10;
/// Harbor's.
const MAX_SIZE: u32 = 100;

/// Which page is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    number: u32,
    size: u32,
}

impl Page {
    pub fn of(parameters: &Parameters) -> Result<Self, HttpError> {
        let number = |name: &str, default: u32| match parameters.number(name)? {
            None => Ok(default),
            Some(0) => Err(HttpError::invalid(format!("{name}= counts from 1"))),
            Some(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        };
        Ok(Self { number: number("page", 1)?, size: number("page_size", DEFAULT_SIZE)?.min(MAX_SIZE) })
    }

    pub const fn limit(self) -> u32 {
        self.size
    }

    pub const fn offset(self) -> u64 {
        (self.number as u64 - 1) * self.size as u64
    }

    /// The page of a list that has `total` entries in all.
    pub fn of_list<T: Serialize>(self, entries: &[T], total: u64, uri: &Uri) -> Response {
        let mut response = Json(entries).into_response();
        response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(total));
        let link = |number: u32, relation| self.link(uri, ("page", i64::from(number)), relation);
        let before = (self.number > 1).then(|| link(self.number - 1, "prev"));
        let has_more = self.offset() + u64::from(self.size) < total;
        let after = has_more.then(|| link(self.number + 1, "next"));
        let links: Vec<_> = before.into_iter().chain(after).collect();
        if !links.is_empty()
            && let Ok(links) = HeaderValue::try_from(links.join(", "))
        {
            response.headers_mut().insert(LINK, links);
        }
        response
    }

    /// The page of entries before one: the next one begins before `last`, where this page is not the last.
    pub fn of_list_before<T: Serialize>(
        self,
        entries: &[T],
        total: u64,
        uri: &Uri,
        last: Option<i64>,
    ) -> Response {
        let mut response = Json(entries).into_response();
        response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(total));
        if let Some(last) = last
            && let Ok(link) = HeaderValue::try_from(self.link(uri, ("before", last), "next"))
        {
            response.headers_mut().insert(LINK, link);
        }
        response
    }

    fn link(self, uri: &Uri, (name, begins): (&str, i64), relation: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !matches!(&*name, "page" | "page_size" | "before") {
                query.append_pair(&name, &value);
            }
        }
        query.append_pair(name, &begins.to_string()).append_pair("page_size", &self.size.to_string());
        format!("<{}?{}>; rel=\"{relation}\"", uri.path(), query.finish())
    }
}
