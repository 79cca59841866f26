//! Sessions that ended, and sessions that live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use overside::domain::digest::Digest;
use overside::domain::upload::Status;

use super::{FLAGS, TWO_PARTS, assert_status, cleanup, is_there, uploads_of_every_kind};
use crate::support::Stack;
use crate::support::api::{Repository, content, digest_of, send, send_parts};
use crate::support::trial::Story;

/// Sessions that expire together: several batches of the cleaner's.
const MANY: usize = 250;
/// For what a cleaner inside `serve` does every second.
const LOOP_LIMIT: Duration = Duration::from_secs(30);

pub fn cases() -> Vec<Story> {
    vec![
        ("expired_uploads_of_every_kind_leave_nothing", expired),
        ("aborted_and_mismatched_uploads_leave_nothing_at_once", ended),
        ("a_dry_run_counts_and_removes_nothing", dry_run),
        ("living_uploads_are_left_alone_and_complete_afterwards", living),
        ("a_late_put_is_swept_and_changes_nothing_published", late_put),
        ("hundreds_of_expired_sessions_go_in_batches", many),
        ("the_loop_inside_serve_cleans_as_the_command_does", inside_serve),
        ("the_text_report_says_what_was_done", text),
    ]
}

fn expired(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[&FLAGS[..], &["--upload-lifetime=2s"]].concat()).await;
        let uploads = uploads_of_every_kind(&Repository::of(server.base_url(), "team/app")).await;
        for upload in &uploads {
            assert!(is_there(&stack, upload.id()).await, "{} has nothing to clean", upload.url);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let report = cleanup(&stack, &[]).await;
        assert_eq!(report["expired_sessions"], uploads.len());
        assert_eq!(report["discarded_sessions"], uploads.len());
        for upload in &uploads {
            assert_status(&stack, upload, Status::Expired).await;
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert!(stack.objects().await.is_empty());
        let again = cleanup(&stack, &[]).await;
        assert_eq!((&again["expired_sessions"], &again["swept_objects"]), (&0.into(), &0.into()));
    }
    .boxed()
}

fn ended(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&FLAGS).await;
        let repository = Repository::of(server.base_url(), "team/app");
        for upload in uploads_of_every_kind(&repository).await {
            upload.abort().await.expect(204);
            assert!(!is_there(&stack, upload.id()).await, "{}", upload.url);
        }
        let wrong = Digest::from_sha256([1; 32]);
        for (index, upload) in uploads_of_every_kind(&repository).await.into_iter().enumerate() {
            if index == 1 {
                let signed = upload.sign(&[("parts", "2-2")]).await.expect(200).json();
                send_parts(&upload.http, &signed, &content(TWO_PARTS)).await;
            }
            upload.finalize(&wrong).await.refused(400, "DIGEST_INVALID");
            assert_status(&stack, &upload, Status::Failed).await;
            assert!(!is_there(&stack, upload.id()).await, "{}", upload.url);
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn dry_run(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[&FLAGS[..], &["--upload-lifetime=1s"]].concat()).await;
        let uploads = uploads_of_every_kind(&Repository::of(server.base_url(), "team/app")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = stack.temp_leftovers().await;
        let report = cleanup(&stack, &["--dry-run"]).await;
        assert_eq!(report["dry_run"], true);
        assert_eq!(report["expired_sessions"], uploads.len());
        assert_eq!(report["discarded_sessions"], uploads.len());
        assert_eq!(stack.temp_leftovers().await, before);
        for upload in &uploads {
            assert!(!upload.row(&stack).await.state.status().is_terminal());
        }
    }
    .boxed()
}

fn living(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&FLAGS).await;
        let uploads = uploads_of_every_kind(&Repository::of(server.base_url(), "team/app")).await;
        let before = stack.temp_leftovers().await;
        // However old they look: their sessions live.
        let report = cleanup(&stack, &["--sweep-grace=1ms"]).await;
        assert_eq!(report["swept_objects"], 0, "{report}");
        assert_eq!(report["swept_multipart_uploads"], 0, "{report}");
        assert_eq!(stack.temp_leftovers().await, before);
        let signed = uploads[1].sign(&[("parts", "2-2")]).await.expect(200).json();
        send_parts(&uploads[1].http, &signed, &content(TWO_PARTS)).await;
        for (upload, length) in uploads.iter().zip([1000, TWO_PARTS, TWO_PARTS, 500]) {
            let digest = digest_of(&content(length));
            upload.finalize(&digest).await.expect(201);
            assert_eq!(stack.store.blob_hash(&digest).await, Some(digest));
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn late_put(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&FLAGS).await;
        let repository = Repository::of(server.base_url(), "team/app");
        let (bytes, other) = (content(1000), content(2000)[1000..].to_vec());
        let digest = digest_of(&bytes);
        let (finished, aborted) = (repository.begin().await, repository.begin().await);
        let mut late = Vec::new();
        for upload in [&finished, &aborted] {
            let signed = upload.sign(&[("size", "1000")]).await.expect(200).json();
            send(&upload.http, &signed, bytes.clone()).await.expect(200);
            late.push(signed);
        }
        finished.finalize(&digest).await.expect(201);
        aborted.abort().await.expect(204);
        for signed in &late {
            // A bucket takes it, for it knows nothing of sessions; the filesystem refuses.
            send(&repository.http, signed, other.clone()).await;
        }
        assert_eq!(repository.read(&digest).await.expect(200).body, bytes);
        cleanup(&stack, &[]).await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.objects().await.len(), 1);
    }
    .boxed()
}

fn many(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[&FLAGS[..], &["--upload-lifetime=1s"]].concat()).await;
        let repository = Repository::of(server.base_url(), "team/app");
        for _ in 0..MANY / 25 {
            join_all((0..25).map(|_| repository.begin())).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Two at once share the work and count nothing twice.
        let (first, second) = tokio::join!(cleanup(&stack, &[]), cleanup(&stack, &[]));
        let expired = [&first, &second].map(|report| report["expired_sessions"].as_u64().expect("a count"));
        assert_eq!(expired.iter().sum::<u64>(), MANY as u64, "{first} {second}");
        let rest = cleanup(&stack, &["--retention=1ms"]).await;
        assert_eq!(rest["expired_sessions"], 0);
        assert_eq!(rest["forgotten_sessions"], MANY, "{rest}");
    }
    .boxed()
}

fn inside_serve(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size=5MiB", "--clean-interval=1s", "--upload-lifetime=3s"]).await;
        let uploads = uploads_of_every_kind(&Repository::of(server.base_url(), "team/app")).await;
        let deadline = Instant::now() + LOOP_LIMIT;
        while !stack.temp_leftovers().await.is_empty() {
            assert!(Instant::now() < deadline, "{:?}", stack.temp_leftovers().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for upload in &uploads {
            assert_status(&stack, upload, Status::Expired).await;
        }
    }
    .boxed()
}

fn text(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[&FLAGS[..], &["--upload-lifetime=1s"]].concat()).await;
        Repository::of(server.base_url(), "team/app").begin().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let dry = stack.command(&["cleanup", "--dry-run"]).await;
        assert_eq!(dry.code, Some(0), "{}", dry.stderr);
        insta::assert_snapshot!(dry.stdout, @r"
        1 expired sessions would be ended
        1 ended sessions would be cleaned up
        0 temporary objects would be swept
        0 incomplete multipart uploads would be swept
        0 old sessions would be forgotten
        ");
        let done = stack.command(&["cleanup"]).await;
        insta::assert_snapshot!(done.stdout, @r"
        1 expired sessions were ended
        1 ended sessions were cleaned up
        0 temporary objects were swept
        0 incomplete multipart uploads were swept
        0 old sessions were forgotten
        ");
    }
    .boxed()
}
