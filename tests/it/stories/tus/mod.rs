//! tus on the wire, rule by rule, and tus-js-client.

// tus-js-client in Node, as people install it.
mod client;
// What breaks off, and goes on.
mod resumed;
// Each rule of the protocol.
mod rules;

use reqwest::{Body, Client, Method, RequestBuilder};

use super::Group;
use crate::support::api::{Answer, Repository};
use crate::support::process::Server;
use crate::support::{Servers, Shows, http};

const NAME: &str = "team/app";

pub fn groups(servers: &Servers) -> Vec<Group> {
    let stories = [rules::cases(), resumed::cases()].concat();
    let client = Group::new("tus::client", Shows::Databases, client::cases());
    vec![
        Group::new("tus", Shows::Databases, stories),
        client.if_there(client::CLIENT.program(servers).is_some()),
    ]
}

/// A client of one server, and one repository.
#[derive(Debug)]
struct Tus {
    http: Client,
    server: String,
}

/// An upload that was begun, by its URL.
#[derive(Debug)]
struct TusUpload {
    http: Client,
    url: String,
}

impl Tus {
    fn of(server: &Server) -> Self {
        Self { http: http(), server: server.base_url().to_owned() }
    }

    fn url(&self) -> String {
        format!("{}/tus/{NAME}", self.server)
    }

    fn post(&self) -> RequestBuilder {
        self.http.post(self.url()).header("tus-resumable", "1.0.0").header("content-length", 0)
    }

    async fn begin(&self, length: usize) -> TusUpload {
        let begun = Answer::to(self.post().header("upload-length", length)).await.expect(201);
        self.begun(&begun)
    }

    /// Of a length that is told later.
    async fn begin_deferred(&self) -> TusUpload {
        let begun = Answer::to(self.post().header("upload-defer-length", 1)).await.expect(201);
        self.begun(&begun)
    }

    fn begun(&self, answer: &Answer) -> TusUpload {
        let url = answer.header("location").expect("a place").to_owned();
        assert!(url.starts_with(&format!("{}/_uploads/", self.url())), "{url}");
        TusUpload { http: self.http.clone(), url }
    }

    fn repository(&self) -> Repository {
        Repository::of(&self.server, NAME)
    }
}

impl TusUpload {
    fn request(&self, method: Method) -> RequestBuilder {
        self.http.request(method, &self.url).header("tus-resumable", "1.0.0")
    }

    fn patch(&self, offset: usize, body: impl Into<Body>) -> RequestBuilder {
        let patch = self.request(Method::PATCH).header("content-type", "application/offset+octet-stream");
        patch.header("upload-offset", offset).body(body)
    }

    async fn head(&self) -> Answer {
        Answer::to(self.request(Method::HEAD)).await
    }

    /// Where it stands, by its own word.
    async fn offset(&self) -> usize {
        let head = self.head().await.expect(200);
        assert_eq!(head.header("cache-control"), Some("no-store"));
        offset(&head)
    }

    /// At another replica.
    fn at(&self, server: &Server) -> Self {
        let path = &self.url[self.url.find("/tus/").expect("a path")..];
        Self { http: self.http.clone(), url: format!("{}{path}", server.base_url()) }
    }
}

#[track_caller]
fn offset(answer: &Answer) -> usize {
    answer.header("upload-offset").expect("an offset").parse().expect("a number")
}

/// What is said to whoever is refused.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    answer.text()
}
