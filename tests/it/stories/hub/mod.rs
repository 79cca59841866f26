//! Repositories of the Hugging Face Hub: the endpoints one by one, and its own client.

// The client as people install it.
mod client;
// Commits, and what is wrong with them.
mod commits;
// Commits whose replica dies.
mod killed;
// What is read, and who may read it.
mod reads;

use overside::domain::digest::Digest;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::Group;
use crate::support::api::{Answer, digest_of};
use crate::support::process::Server;
use crate::support::{Login, Servers, Shows, http};

pub fn groups(servers: &Servers) -> Vec<Group> {
    let stories = [commits::cases(), reads::cases()].concat();
    let mut groups = vec![
        Group::new("hub", Shows::Databases, stories),
        Group::new("hub", Shows::Replicas, killed::cases()),
    ];
    for (module, client) in client::CLIENTS {
        let group = Group::new(module, Shows::Databases, client::cases(client));
        groups.push(group.if_there(client.program(servers).is_some()));
    }
    groups
}

/// One repository, asked for as clients of the Hub do.
#[derive(Debug, Clone)]
struct Hub {
    http: Client,
    base: String,
    /// With its kind, as the API names it: `models/team/Model`.
    name: String,
    login: Option<Login>,
}

impl Hub {
    fn of(server: &Server, name: &str) -> Self {
        let base = server.base_url().trim_end_matches('/').to_owned();
        Self { http: http(), base, name: name.to_owned(), login: None }
    }

    fn by(&self, login: &Login) -> Self {
        Self { login: Some(login.clone()), ..self.clone() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/{path}", self.base));
        match &self.login {
            // As the client sends whatever it was given for a token.
            Some(login) => request.bearer_auth(format!("{}:{}", login.name, login.secret)),
            None => request,
        }
    }

    async fn get(&self, rest: &str) -> Answer {
        Answer::to(self.request(Method::GET, &format!("api/{}/{rest}", self.name))).await
    }

    async fn post(&self, rest: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, &format!("api/{}/{rest}", self.name)).json(body)).await
    }

    async fn delete(&self, rest: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, &format!("api/{}/{rest}", self.name))).await
    }

    fn named(&self) -> Value {
        let (kind, name) = self.name.split_once('/').expect("a kind");
        let (project, name) = name.split_once('/').expect("a project");
        json!({ "name": name, "organization": project, "type": kind.trim_end_matches('s') })
    }

    async fn create(&self) -> Answer {
        Answer::to(self.request(Method::POST, "api/repos/create").json(&self.named())).await
    }

    async fn end(&self) -> Answer {
        Answer::to(self.request(Method::DELETE, "api/repos/delete").json(&self.named())).await
    }

    /// Lines of JSON.
    async fn send(&self, branch: &str, lines: &[Value]) -> Answer {
        let body = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        let path = format!("api/{}/commit/{branch}", self.name);
        let post = self.request(Method::POST, &path).header("content-type", "application/x-ndjson");
        Answer::to(post.body(body)).await
    }

    /// Commits to `main`, and gives the commit.
    async fn commit(&self, changes: &[Value]) -> String {
        let committed = self.send("main", &[&[header(None)], changes].concat()).await.expect(200).json();
        committed["commitOid"].as_str().expect("a commit").to_owned()
    }

    async fn head(&self) -> String {
        self.get("revision/main").await.expect(200).json()["sha"].as_str().expect("a commit").to_owned()
    }

    /// Outside the API models have no kind.
    fn path(&self) -> &str {
        self.name.strip_prefix("models/").unwrap_or(&self.name)
    }

    /// The bytes, from wherever they are.
    async fn read(&self, revision: &str, path: &str) -> Answer {
        let answer = self.resolve(Method::GET, revision, path).await;
        match answer.header("location") {
            Some(url) if answer.status == 302 => Answer::to(self.http.get(url)).await.expect(200),
            _ => answer,
        }
    }

    async fn resolve(&self, method: Method, revision: &str, path: &str) -> Answer {
        Answer::to(self.request(method, &format!("{}/resolve/{revision}/{path}", self.path()))).await
    }

    async fn batch(&self, transfers: &[&str], objects: &[Value]) -> Answer {
        let path = format!("{}.git/info/lfs/objects/batch", self.path());
        let body = json!({
            "operation": "upload", "transfers": transfers, "objects": objects, "hash_algo": "sha256",
            "ref": { "name": "main" },
        });
        Answer::to(self.request(Method::POST, &path).json(&body)).await
    }

    /// What is to be done with an object that is sent whole.
    async fn asked(&self, object: &Value) -> Value {
        self.batch(&["basic", "multipart"], std::slice::from_ref(object)).await.expect(200).json()["objects"]
            [0]
        .clone()
    }

    /// Sends an object as the client does, which sends none of the headers that come with its URL.
    async fn push(&self, content: &[u8]) -> Digest {
        let asked = self.asked(&object(content)).await;
        if asked["actions"].is_object() {
            self.put(&asked, content).await.expect(200);
            self.verify(&asked, &object(content)).await.expect(200);
        }
        digest_of(content)
    }

    async fn put(&self, asked: &Value, content: &[u8]) -> Answer {
        let href = asked["actions"]["upload"]["href"].as_str().expect("a URL");
        Answer::to(self.http.put(href).body(content.to_vec())).await
    }

    async fn verify(&self, asked: &Value, said: &Value) -> Answer {
        let href = asked["actions"]["verify"]["href"].as_str().expect("a URL");
        Answer::to(self.http.post(href).bearer_auth("hf_of_somebody").json(said)).await
    }
}

/// An object as a batch names it.
fn object(content: &[u8]) -> Value {
    json!({ "oid": digest_of(content).hex(), "size": content.len() })
}

fn header(parent: Option<&str>) -> Value {
    json!({ "key": "header", "value": { "summary": "a change", "description": "of files", "parentCommit": parent } })
}

fn file(path: &str, content: &str) -> Value {
    use base64::Engine;
    let content = base64::engine::general_purpose::STANDARD.encode(content);
    json!({ "key": "file", "value": { "content": content, "path": path, "encoding": "base64" } })
}

fn lfs_file(path: &str, content: &[u8]) -> Value {
    let (oid, size) = (digest_of(content).hex(), content.len());
    json!({ "key": "lfsFile", "value": { "path": path, "algo": "sha256", "oid": oid, "size": size } })
}

fn deleted(path: &str) -> Value {
    let key = if path.ends_with('/') { "deletedFolder" } else { "deletedFile" };
    json!({ "key": key, "value": { "path": path } })
}

/// What is said to whoever is refused, in the header that clients show and in the body.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: Option<&str>) -> String {
    assert_eq!((answer.status, answer.header("x-error-code")), (status, code), "{}", answer.text());
    let message = answer.header("x-error-message").filter(|message| !message.is_empty()).expect("a message");
    assert_eq!(answer.json()["error"], message);
    message.to_owned()
}
