//! MLflow's artifacts: the endpoints one by one, and MLflow's own client.

// The client as people install it.
mod client;
// Files through the service, and lists of them.
mod files;
// Large files, whose parts go to the bucket.
mod parts;

use reqwest::Client;

use super::Group;
use crate::support::api::Answer;
use crate::support::process::Server;
use crate::support::{Servers, Shows, http};

pub fn groups(servers: &Servers) -> Vec<Group> {
    let stories = [files::cases(), parts::cases()].concat();
    let client = Group::new("mlflow::client", Shows::Databases, client::cases());
    vec![
        Group::new("mlflow", Shows::Databases, stories),
        client.if_there(client::CLIENT.program(servers).is_some()),
    ]
}

/// A project's artifacts, asked for as MLflow does.
#[derive(Debug, Clone)]
struct Artifacts {
    http: Client,
    base: String,
}

impl Artifacts {
    fn of(server: &Server) -> Self {
        Self { http: http(), base: format!("{}/api/2.0/mlflow-artifacts", server.base_url()) }
    }

    fn url(&self, below: &str) -> String {
        format!("{}/{below}", self.base)
    }

    async fn put(&self, path: &str, content: &[u8]) -> Answer {
        Answer::to(self.http.put(self.url(&format!("artifacts/{path}"))).body(content.to_vec())).await
    }

    /// The bytes, from wherever they are.
    async fn read(&self, path: &str) -> Answer {
        let answer = Answer::to(self.http.get(self.url(&format!("artifacts/{path}")))).await;
        match answer.header("location") {
            Some(url) if answer.status == 307 => Answer::to(self.http.get(url)).await.expect(200),
            _ => answer,
        }
    }

    async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.http.delete(self.url(&format!("artifacts/{path}")))).await
    }

    /// Names in a directory, those of directories with a slash, and sizes of files.
    async fn list(&self, path: &str) -> Vec<(String, u64)> {
        let list = Answer::to(self.http.get(self.url("artifacts")).query(&[("path", path)])).await;
        let list = list.expect(200).json();
        let entry = |entry: &serde_json::Value| {
            let name = entry["path"].as_str().expect("a name");
            let is_directory = entry["is_dir"].as_bool().expect("whether it is one");
            let size = entry["file_size"].as_u64();
            assert_eq!(size.is_none(), is_directory, "{entry}");
            (if is_directory { format!("{name}/") } else { name.to_owned() }, size.unwrap_or_default())
        };
        list["files"].as_array().expect("files").iter().map(entry).collect()
    }
}

/// What is said to whoever is refused, and the code it has.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) -> String {
    let error = answer.json();
    assert_eq!((answer.status, &error["error_code"]), (status, &code.into()), "{error}");
    error["message"].as_str().expect("a message").to_owned()
}
