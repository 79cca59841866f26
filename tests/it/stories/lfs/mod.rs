//! Git LFS on the wire, as its client speaks and as others might: batches, signed URLs, locks.

// What a batch is answered.
mod batches;
// What a batch costs, and what it takes when it comes again.
mod counted;
// What else has the bytes of an object, and goes.
mod kept;
// Locks on files.
mod locks;
// Who may know of what.
mod readers;
// What is wrong with what is sent.
mod wrong;

use std::sync::Arc;

use futures_util::future::FutureExt;
use overside::domain::digest::Digest;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::Group;
use crate::support::api::{Answer, digest_of};
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Login, Shows, Stack, http};

/// A name with several segments.
const NAME: &str = "team/app/model";
const JSON: &str = "application/vnd.git-lfs+json";

pub fn groups() -> Vec<Group> {
    let stories: Vec<Story> = vec![
        ("a_batch_says_of_each_object_what_to_do", |s| batches::answered(s).boxed()),
        ("an_object_is_read_by_range_and_by_its_url_alone", |s| batches::read(s).boxed()),
        ("objects_beyond_one_put_come_in_parts_for_clients_that_send_them", |s| batches::in_parts(s).boxed()),
        ("a_batch_of_a_thousand_asks_the_database_once_and_the_store_for_nothing", |s| {
            counted::statements(s).boxed()
        }),
        ("a_batch_that_comes_again_goes_on_with_its_uploads", |s| counted::again(s).boxed()),
        ("of_a_batch_what_fits_into_the_project_is_begun", |s| counted::quota(s).boxed()),
        ("a_batch_begins_as_many_uploads_as_its_user_may_have_open", |s| counted::open(s).boxed()),
        ("three_verifies_at_once_give_one_object", |s| counted::three(s).boxed()),
        ("a_batch_waits_for_what_is_just_being_proven", |s| counted::proving(s).boxed()),
        ("other_bytes_than_the_object_are_refused_and_leave_nothing", |s| wrong::bytes(s).boxed()),
        ("a_batch_that_makes_no_sense_is_refused", |s| wrong::batches(s).boxed()),
        ("a_signed_url_is_good_for_one_thing", |s| wrong::urls(s).boxed()),
        ("an_object_is_told_of_only_to_whoever_may_read_it", |s| readers::told(s).boxed()),
        ("a_signed_url_is_worth_what_its_user_may_do_now", |s| readers::revoked(s).boxed()),
        ("an_object_stays_when_an_image_goes_that_has_its_bytes", |s| kept::kept(s).boxed()),
        ("who_may_not_is_told_how_to_sign_in_or_that_they_may_not", |s| readers::refused(s).boxed()),
        ("locks_are_listed_in_pages_and_end_with_their_project", |s| locks::listed(s).boxed()),
    ];
    vec![Group::new("lfs", Shows::Databases, stories)]
}

/// One repository as a client of Git LFS sees it.
#[derive(Debug, Clone)]
pub struct Lfs {
    http: Client,
    url: String,
    login: Option<Login>,
}

/// An object as a batch names it.
fn object(content: &[u8]) -> Value {
    json!({ "oid": digest_of(content).hex(), "size": content.len() })
}

impl Lfs {
    pub fn of(server: &Server, name: &str) -> Self {
        Self { http: http(), url: format!("{}/{name}.git/info/lfs", server.base_url()), login: None }
    }

    fn by(&self, login: &Login) -> Self {
        Self { login: Some(login.clone()), ..self.clone() }
    }

    async fn post(&self, rest: &str, body: &Value) -> Answer {
        let post = self.http.post(format!("{}/{rest}", self.url)).json(body);
        self.ask(post.header("content-type", "application/vnd.git-lfs+json; charset=utf-8")).await
    }

    async fn get(&self, rest: &str) -> Answer {
        self.ask(self.http.get(format!("{}/{rest}", self.url))).await
    }

    async fn ask(&self, request: RequestBuilder) -> Answer {
        let request = request.header("accept", JSON);
        Answer::to(match &self.login {
            Some(login) => login.sign(request),
            None => request,
        })
        .await
    }

    async fn batch(&self, operation: &str, objects: &[Value]) -> Answer {
        let body = json!({ "operation": operation, "transfers": ["basic"], "objects": objects });
        self.post("objects/batch", &body).await
    }

    /// The answer to one object of a batch.
    async fn one(&self, operation: &str, content: &[u8]) -> Value {
        self.batch(operation, &[object(content)]).await.expect(200).json()["objects"][0].clone()
    }

    /// Sends an object, if it has to be.
    pub async fn push(&self, content: &[u8]) -> Digest {
        let answered = self.one("upload", content).await;
        if answered["actions"].is_object() {
            put(&self.http, &answered["actions"]["upload"], content.to_vec()).await.expect(200);
            verify(&self.http, &answered, &object(content)).await.expect(200);
        }
        digest_of(content)
    }
}

/// Carries an action out that sends a body, without credentials.
async fn put(http: &Client, action: &Value, body: Vec<u8>) -> Answer {
    let mut put = http.put(action["href"].as_str().expect("a URL")).body(body);
    for (name, value) in action["header"].as_object().expect("headers") {
        put = put.header(name, value.as_str().expect("text"));
    }
    Answer::to(put).await
}

/// Says that an object is there, without credentials.
async fn verify(http: &Client, answered: &Value, said: &Value) -> Answer {
    let href = answered["actions"]["verify"]["href"].as_str().expect("a URL");
    Answer::to(http.post(href).header("content-type", JSON).json(said)).await
}

/// The message of an error with this status, in the JSON of Git LFS.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some(JSON));
    let json = answer.json();
    json["message"].as_str().filter(|message| !message.is_empty()).expect("a message").to_owned()
}

async fn nothing_is_left(stack: &Arc<Stack>) {
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
