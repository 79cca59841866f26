//! `GET /api/2.0/mlflow-artifacts/artifacts?path=`: what lies in a directory. MLflow knows no pages, so the answer is
//! written a page at a time while its client reads it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::Answer;
use super::route::Place;
use super::wire::Entry;
use crate::domain::file::DirectoryEntry;
use crate::domain::path::FilePath;
use crate::service::{MAX_PAGE, Service, ServiceError};

/// An entry in JSON, rounded up: a piece mostly grows no further.
const ENTRY_LENGTH: usize = 96;

struct Listing {
    service: Arc<Service>,
    place: Place,
    from: Option<String>,
    is_first: bool,
    is_done: bool,
}

pub(super) async fn list(service: &Arc<Service>, place: &Place) -> Answer {
    let (service, place) = (Arc::clone(service), place.clone());
    let mut listing = Listing { service, place, from: None, is_first: true, is_done: false };
    // The first before the answer begins: what fails then has a status.
    let first = listing.piece().await?;
    let body = if listing.is_done {
        Body::from(first)
    } else {
        let rest = stream::try_unfold(listing, |mut listing| async move {
            if listing.is_done {
                return Ok(None);
            }
            let piece = listing.piece().await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(Some((Bytes::from(piece), listing)))
        });
        Body::from_stream(stream::iter([Ok(Bytes::from(first))]).chain(rest))
    };
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

impl Listing {
    async fn piece(&mut self) -> Result<Vec<u8>, ServiceError> {
        let Place { repository, directory } = &self.place;
        let page = self.service.directory(repository, directory, self.from.as_deref(), MAX_PAGE).await?;
        let mut json = Vec::with_capacity(page.entries.len() * ENTRY_LENGTH);
        if self.is_first {
            json.extend_from_slice(br#"{"files":["#);
        }
        let mut entries: Vec<Entry> = page.entries.iter().map(entry).collect();
        // What is listed may be a file, and is what there is then.
        if let (true, true, Some(path)) = (self.is_first, entries.is_empty(), directory.path()) {
            match self.service.file(repository, path).await {
                Ok(file) => entries.push(entry(&DirectoryEntry::File(file))),
                Err(ServiceError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 || !self.is_first {
                json.push(b',');
            }
            // Text and numbers: nothing of it cannot be written.
            let _ = serde_json::to_writer(&mut json, entry);
        }
        self.from = page.entries.last().map(DirectoryEntry::next);
        (self.is_first, self.is_done) = (false, !page.has_more);
        if self.is_done {
            json.extend_from_slice(b"]}");
        }
        Ok(json)
    }
}

fn entry(entry: &DirectoryEntry) -> Entry {
    let name = |path: &FilePath| path.file_name().to_owned();
    match entry {
        DirectoryEntry::File(file) => {
            Entry { path: name(&file.path), is_dir: false, file_size: Some(file.size) }
        }
        DirectoryEntry::Directory(path) => Entry { path: name(path), is_dir: true, file_size: None },
    }
}
