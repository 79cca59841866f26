//! Blobs that cannot be placed: a person removed the objects that were proven.

use std::sync::Arc;

use overside::db::Committed;
use overside::domain::blob::{Blob, Placement, Proof, SealedObject};
use overside::domain::digest::Digest;
use overside::domain::upload::{Lease, State, Transfer, Upload as Row};
use serde_json::Value;
use uuid::Uuid;

use super::{NAME, now};
use crate::support::Stack;
use crate::support::api::{self, Repository};

/// More than are placed at a time.
const BLOBS: u8 = 9;

pub async fn told(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let db = api::database(&stack).await;
    for byte in 0..BLOBS {
        let upload = repository.begin().await;
        let begun = upload.row(&stack).await;
        let (digest, lease) =
            (Digest::from_sha256([byte; 32]), Lease { owner: Uuid::nil(), expires_at: now() });
        let finalizing = State::Finalizing { transfer: Transfer::Put, claim: digest.into(), lease };
        let claimed = Row { state: finalizing, ..begun.clone() };
        assert!(db.swap_upload(&begun, &claimed, now()).await.expect("a swap"));
        let claimed = upload.row(&stack).await;
        let completed = Row { state: State::Completed { digest, size: 3 }, size: Some(3), ..claimed.clone() };
        let path = format!("temp/{}/data", upload.id());
        let sealed = SealedObject { upload: upload.id(), path, etag: None };
        let placement = Placement::Sealed(sealed);
        let blob = Blob { digest, size: 3, proof: Proof::ReadBack, created_at: now(), placement };
        assert_eq!(
            db.commit_blob(&claimed, &completed, &blob, now(), None, None).await.expect("a commit"),
            Committed::Done
        );
    }
    db.close().await;

    let cleaning = stack.command(&["cleanup", "--json"]).await;
    assert_eq!(cleaning.code, Some(1), "{cleaning:?}");
    let report: Value = serde_json::from_str(&cleaning.stdout).expect("a report");
    assert_eq!((&report["failures"], &report["placed_blobs"]), (&BLOBS.into(), &0.into()), "{report}");
    // Nothing is given up: the rows still say where the bytes were proven.
    assert_eq!(stack.database.unsettled().await, 2 * i64::from(BLOBS));
}
