//! `GET …/uploads/{uuid}?presigned=true&parts=1-10000`: as many parts as an upload can have, in one answer.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::Value;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Repository, send};
use crate::support::trial::Story;

const PART_SIZE: usize = 5 << 20;
const PARTS: usize = 10_000;
/// Answers on their way at once, of several megabytes each.
const ANSWERS: usize = 16;
/// What they may add to the service's memory all together: buffers of connections, a piece of each answer. Held
/// whole they would be ten times that.
const MOST_MEMORY: u64 = 12 << 20;

pub fn cases() -> Vec<Story> {
    vec![("ten_thousand_parts_are_signed_in_one_answer_in_constant_memory", all)]
}

fn all(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let size = (PARTS * PART_SIZE - 1).to_string();
        upload.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200);
        let before = server.memory();
        let asking = join_all((0..ANSWERS).map(|_| upload.sign(&[("parts", "1-10000")]))).await;
        let after = server.memory();
        assert!(after.peak < before.peak + MOST_MEMORY, "{before:?} {after:?}");

        let mut length = 0;
        for answer in &asking {
            length += answer.body.len();
            let signed = answer.json();
            let parts = signed["parts"].as_array().expect("a list");
            assert_eq!((parts.len(), answer.status), (PARTS, 200));
            assert_eq!((&signed["mode"], &signed["part_count"]), (&"multipart".into(), &PARTS.into()));
            for (index, part) in parts.iter().enumerate() {
                let size = if index + 1 < PARTS { PART_SIZE } else { PART_SIZE - 1 };
                assert_eq!(
                    (&part["part_number"], &part["offset"], &part["size"], &part["headers"]),
                    (
                        &Value::from(index + 1),
                        &Value::from(index * PART_SIZE),
                        &Value::from(size),
                        &serde_json::json!({ "content-length": size.to_string() })
                    )
                );
            }
        }
        assert!(length as u64 > 2 * MOST_MEMORY, "{length} bytes would show nothing");

        // Any of them is as good as one that was signed alone, and for its own part only.
        let signed = asking[0].json();
        let mut received = Vec::new();
        for (number, size) in [(4711, PART_SIZE), (PARTS, PART_SIZE - 1)] {
            let part = &signed["parts"][number - 1];
            let sent = send(&upload.http, part, vec![7; size]).await.expect(200);
            let etag = sent.header("etag").expect("a name for the part");
            received.push(serde_json::json!({ "part_number": number, "size": size, "etag": etag }));
        }
        let rest = upload.sign(&[("parts", "1-10000")]).await.expect(200).json();
        let (told, parts) = (&rest["received"], rest["parts"].as_array().map(Vec::len));
        assert_eq!((told, parts), (&received.into(), Some(PARTS)));

        upload.sign(&[("parts", "1-10001")]).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(upload.abort().await.status, 204);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
