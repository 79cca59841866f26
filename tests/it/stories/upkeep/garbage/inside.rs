//! Collectors beside each other and inside `serve`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{NAME, NO_GRACE, collect, published, push_image};
use crate::support::Stack;
use crate::support::api::Repository;

const PATIENCE: Duration = Duration::from_mins(1);

pub async fn two_at_once(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    for index in 0..24 {
        let digest = repository.push(format!("blob {index:02}").as_bytes()).await;
        repository.delete_blob(&digest).await.expect(202);
    }
    stack.settled().await;
    let reports = join_all((0..3).map(|_| collect(&stack, &NO_GRACE))).await;
    let sum = |field: &str| reports.iter().map(|report| report[field].as_u64().expect(field)).sum::<u64>();
    assert_eq!((sum("removed_blobs"), sum("freed_bytes"), sum("failures")), (24, 24 * 7, 0), "{reports:?}");
    assert_eq!(published(&stack).await, []);
}

pub async fn serve(stack: Arc<Stack>) {
    let server = stack.server(&["--gc-interval", "200ms", "--gc-grace", "0s"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let kept = push_image(&repository, "kept", &[b"config", b"base"]).await;
    let image = push_image(&repository, "v1", &[b"config", b"layer"]).await;
    stack.settled().await;
    repository.delete(image).await.expect(202);
    let deadline = Instant::now() + PATIENCE;
    while stack.objects().await.len() > 2 {
        assert!(Instant::now() < deadline, "{:?}", stack.objects().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    repository.delete(kept).await.expect(202);
    while !stack.objects().await.is_empty() {
        assert!(Instant::now() < deadline, "{:?}", stack.objects().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
