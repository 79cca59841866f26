//! What a collection says of itself.

use std::sync::Arc;

use overside::storage::key;

use super::{NAME, NO_GRACE, collect, push_image};
use crate::support::Stack;
use crate::support::api::{Repository, digest_of};

pub async fn dry_run(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let image = push_image(&repository, "v1", &[b"config", b"layer"]).await;
    let digest = repository.push(b"plain").await;
    stack.settled().await;
    repository.delete(image).await.expect(202);
    repository.delete_blob(&digest).await.expect(202);
    stack.store.write(key::blob(&digest_of(b"stray!")).as_str(), b"stray!").await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;

    let flags = [&NO_GRACE[..], &["--sweep-grace", "1ms"]].concat();
    let mut would = collect(&stack, &[&flags[..], &["--dry-run"]].concat()).await;
    assert_eq!(would["dry_run"], true);
    assert_eq!(stack.objects().await.len(), 4, "nothing was touched");
    // What would be taken out of the repository would be removed a grace later.
    assert_eq!(would["removed_blobs"], 1);
    let did = collect(&stack, &flags).await;
    would["dry_run"] = false.into();
    would["removed_blobs"] = 3.into();
    would["freed_bytes"] = (5 + 6 + 11).into();
    assert_eq!(would, did);
    assert_eq!(stack.objects().await.len(), 0);
}

pub async fn told(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let digest = repository.push(b"plain").await;
    stack.settled().await;
    repository.delete_blob(&digest).await.expect(202);

    let done = stack.command(&["gc", "--gc-grace", "0s"]).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    insta::allow_duplicates! { insta::assert_snapshot!(done.stdout, @r"
    0 blobs were taken out of repositories
    1 blobs were removed
    0 objects without a row were swept
    5 B were freed
    ") }
    let wrong = stack.command(&["gc", "--gc-grace", "soon"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let nowhere = stack.command(&["gc", "--database", "postgres://127.0.0.1:1/nowhere"]).await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.contains("cannot reach the database"), "{nowhere:?}");
}
