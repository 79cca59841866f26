//! Objects stay until somebody deletes them, whatever else has their bytes.

use std::sync::Arc;

use super::{Lfs, NAME, object};
use crate::support::Stack;
use crate::support::api::{Repository, digest_of};

pub async fn kept(stack: Arc<Stack>) {
    let server = stack.server(&["--clean-interval", "1h"]).await;
    let (lfs, repository) = (Lfs::of(&server, NAME), Repository::of(server.base_url(), NAME));
    let objects = [&b"the layer of one"[..], b"the layer of two", b"the layer of three"];
    // One is an object before it is a layer, one afterwards, and one once its image is gone.
    lfs.push(objects[0]).await;
    for tag in ["one", "two", "three"] {
        let image = repository.tagged(tag).await;
        if tag == "two" {
            assert_eq!(lfs.one("upload", objects[1]).await, object(objects[1]), "it is there");
        }
        repository.delete(image.digest()).await.expect(202);
    }
    assert_eq!(lfs.one("upload", objects[2]).await, object(objects[2]), "it is there");
    stack.command(&["gc", "--gc-grace", "0s"]).await.done();
    assert_eq!(stack.objects().await.len(), 3, "the layers, and no config");
    for content in objects {
        let found = lfs.one("download", content).await;
        assert!(found["actions"]["download"]["href"].is_string(), "{found}");
        repository.delete_blob(&digest_of(content)).await.expect(202);
    }
    stack.command(&["gc", "--gc-grace", "0s"]).await.done();
    assert_eq!(stack.objects().await, []);
}
