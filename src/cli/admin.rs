//! What the commands that manage users, projects, robots and settings have in common: they call the management API of a
//! server as whoever is signed in there or, with `--database`, the same API on a database, within this process.

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{Method, Request};
use chrono::{DateTime, SecondsFormat, Utc};
use http_body_util::BodyExt;
use overside_client::{Error, ManagementAnswer, Registry};
use overside_protocol::wire::{ErrorEnvelope, IS_NAME, MANAGEMENT_PATH, TOTAL_COUNT};
use serde_json::Value;
use tower::ServiceExt;

use super::advice::advised;
use super::login::read_line;
use super::output::ResultFormat;
use super::remote::RemoteArgs;
use crate::auth::password::Password;
use crate::{http, open};

/// Entries asked for at a time: as many as a page has at most.
const PAGE_SIZE: usize = 100;

#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    #[command(flatten)]
    pub format: ResultFormat,
    /// Work on this database beside running servers, and past all permissions; without a URL on the one that
    /// `OVERSIDE_DATABASE` names [default: ask --server, as whoever is signed in there]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "", help_heading = "Where")]
    database: Option<String>,
    #[command(flatten, next_help_heading = "Where")]
    remote: RemoteArgs,
}

/// Where a new password comes from.
#[derive(Debug, clap::Args)]
pub(super) struct PasswordSource {
    /// Read the password from the first line of standard input [default: make one and show it once]
    #[arg(long)]
    pub password_stdin: bool,
}

/// Who answers.
#[derive(Debug)]
pub(super) enum Api {
    Server(Box<Registry>),
    Database(Router),
}

impl AdminArgs {
    pub async fn api(&self) -> anyhow::Result<Api> {
        if let Some(url) = self.database() {
            let service = open::management(&url).await?;
            return Ok(Api::Database(http::router(service, &[], http::redirects::Redirects::default())));
        }
        Ok(Api::Server(Box::new(self.remote.registry(&self.remote.server).await?)))
    }

    /// The database to work on, if that was asked for.
    pub fn database(&self) -> Option<String> {
        let url = self.database.clone()?;
        Some(if url.is_empty() { open::default_database() } else { url })
    }

    /// Prints one object, or a sentence about it.
    pub fn say(&self, json: &Value, text: &str) -> anyhow::Result<()> {
        self.format.say(json, || say!("{text}"))
    }

    /// Prints one array, or a table of it with a heading.
    pub fn table<const N: usize>(
        &self,
        heading: [&str; N],
        rows: &[Value],
        cells: impl Fn(&Value) -> [String; N],
    ) -> anyhow::Result<()> {
        self.format.say(&rows, || {
            let lines: Vec<_> =
                std::iter::once(heading.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
            let widths: [usize; N] = std::array::from_fn(|column| {
                lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default()
            });
            for cells in lines {
                let padded: Vec<_> =
                    cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
                say!("{}", padded.join("  ").trim_end());
            }
        })
    }
}

impl Api {
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.call(Method::GET, path, None).await?.json)
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<ManagementAnswer> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        self.call(Method::PUT, path, Some(body)).await.map(drop)
    }

    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        Ok(self.call(Method::PATCH, path, Some(body)).await?.json)
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.call(Method::DELETE, path, None).await.map(drop)
    }

    /// All entries of a list, page by page. `path` may have a query.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut entries = Vec::new();
        for number in 1_u64.. {
            let page = format!("{path}{separator}page={number}&page_size={PAGE_SIZE}");
            let ManagementAnswer { json, total, .. } = self.call(Method::GET, &page, None).await?;
            let Value::Array(page) = json else { bail!("the server sent no list of {path}") };
            let is_last = page.len() < PAGE_SIZE;
            entries.extend(page);
            if is_last || total.is_some_and(|total| entries.len() as u64 >= total) {
                break;
            }
        }
        Ok(entries)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<ManagementAnswer> {
        match self {
            Self::Server(registry) => match registry.manage(method, path, body).await {
                Err(error @ Error::Unauthorized { .. }) => {
                    let told = advised(&error);
                    Err(anyhow::anyhow!("{told}; or, where the server keeps its database, add --database"))
                }
                answered => Ok(answered?),
            },
            Self::Database(router) => on_database(router.clone(), method, path, body).await,
        }
    }
}

/// What a server would answer to an administrator: without credentials there is nobody to ask who that is.
async fn on_database(
    router: Router,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<ManagementAnswer> {
    let request = Request::builder().method(method).uri(format!("{MANAGEMENT_PATH}{path}"));
    let request = request.header(IS_NAME, "true").header(CONTENT_TYPE, "application/json");
    let request = request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))?;
    let answer = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.context("the answer has no end")?.to_bytes();
    if !parts.status.is_success() {
        let said = serde_json::from_slice(&body).ok();
        let error = said.and_then(|ErrorEnvelope { errors }| errors.into_iter().next());
        bail!("{}", error.map_or_else(|| parts.status.to_string(), |error| error.message));
    }
    let header = |name| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
    Ok(ManagementAnswer {
        location: header(LOCATION),
        json: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? },
        total: header(TOTAL_COUNT).and_then(|total| total.parse().ok()),
    })
}

impl PasswordSource {
    /// The password, and whether it is to be shown.
    pub fn read(&self) -> anyhow::Result<(Password, bool)> {
        if !self.password_stdin {
            return Ok((Password::generate(), true));
        }
        Ok((Password::new(read_line()?), false))
    }
}

/// The one entry whose field has this text.
pub(super) fn find(entries: Vec<Value>, field: &str, text: &str, what: &str) -> anyhow::Result<Value> {
    let found = entries.into_iter().find(|entry| entry[field] == text);
    found.with_context(|| format!("there is no {what} {text}, or you may not see it"))
}

/// The id at the end of where something is that was made.
pub(super) fn new_id(answer: &ManagementAnswer) -> Option<i64> {
    answer.location.as_deref()?.rsplit('/').next()?.parse().ok()
}

/// A text within a query.
pub(super) fn query(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A field as people read it.
pub(super) fn text(entry: &Value, field: &str) -> String {
    match &entry[field] {
        Value::String(text) => text.clone(),
        Value::Bool(is_so) => yes_or_no(*is_so),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

/// A moment, told as a date or in seconds since the epoch; -1 is never.
pub(super) fn moment(entry: &Value, field: &str) -> String {
    let time: Option<DateTime<Utc>> = match &entry[field] {
        Value::String(date) => date.parse().ok(),
        value => {
            value.as_i64().filter(|seconds| *seconds >= 0).and_then(|at| DateTime::from_timestamp(at, 0))
        }
    };
    time.map_or_else(|| "never".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

pub(super) fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
