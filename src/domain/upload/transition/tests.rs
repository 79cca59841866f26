use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{FailureCode, Proxied};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap_or_default()
}

fn begun() -> Upload {
    let name: RepositoryName = "team/app".parse().unwrap_or_else(|e| panic!("{e}"));
    Upload::begin(name, None, serde_json::Value::Null, at(0), at(100))
}

fn lease(owner: u128, until: i64) -> Lease {
    Lease { owner: Uuid::from_u128(owner), expires_at: at(until) }
}

/// Applies one of every kind of transition at `now`; what is refused leaves the session as it was.
fn step(upload: Upload, choice: u8, now: i64) -> Upload {
    let owner = u128::from(choice % 2) + 1;
    let keep = upload.clone();
    let stored =
        Proxied { received: 1, hash_state: vec![], part_size: 8, store_upload_id: None, tail_id: None };
    let failure = Failure { code: FailureCode::DigestMismatch, message: "x".into() };
    let plan = PartPlan::new(1, 0).unwrap_or_else(|e| panic!("{e}"));
    match choice / 2 {
        0 => upload.into_put(None, None, at(now)),
        1 => upload.into_multipart(plan, None, "m".into(), at(now)),
        2 => upload.into_append(8, None, lease(owner, now + 5), at(now)),
        3 => upload.appended(Uuid::from_u128(owner), stored, None),
        4 | 5 => upload.claim(Digest::EMPTY.into(), lease(owner, now + 5), at(now)),
        6 => upload.reopen(Uuid::from_u128(owner)),
        7 => upload.complete(Uuid::from_u128(owner), 1),
        8 => upload.fail(Uuid::from_u128(owner), failure),
        9 => upload.abort(at(now)),
        10 => upload.expire(at(now)),
        11 => upload.ask_store(at(now)),
        _ => upload.renew(lease(owner, now + 5)),
    }
    .unwrap_or(keep)
}

proptest! {
    #[test]
    fn whatever_happens_a_finished_session_never_changes_again(
        steps in prop::collection::vec((0u8..26, 0i64..8), 0..60),
    ) {
        let (mut upload, mut now) = (begun(), 0);
        for (choice, wait) in steps {
            now += wait;
            let before = upload.clone();
            upload = step(upload, choice, now);
            if before.state.status().is_terminal() {
                prop_assert_eq!(&before.state, &upload.state);
            }
            // Completion is reached from finalizing alone, and by the holder of the lease alone.
            if upload.state.status() == Status::Completed && before.state.status() != Status::Completed {
                let owner = before.state.lease().map(|lease| lease.owner.as_u128());
                prop_assert_eq!(before.state.status(), Status::Finalizing);
                prop_assert_eq!(owner, Some(u128::from(choice % 2) + 1));
            }
            // A live lease is only ever ended by its owner.
            if let Some(lease) = before.state.lease() && lease.is_live(at(now))
                && upload.state.lease().map(|l| l.owner) != Some(lease.owner)
                && before.state.status() == Status::Finalizing {
                prop_assert_eq!(lease.owner.as_u128(), u128::from(choice % 2) + 1);
            }
        }
    }
}

#[test]
fn an_expired_lease_is_claimed_by_another_and_the_first_owner_is_told() {
    let upload =
        begun().into_put(None, None, at(1)).and_then(|u| u.claim(Digest::EMPTY.into(), lease(1, 10), at(1)));
    let upload = upload.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(upload.clone().claim(Digest::EMPTY.into(), lease(2, 20), at(9)), Err(Refusal::Finalizing));
    let stolen = upload.claim(Digest::EMPTY.into(), lease(2, 20), at(10)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(stolen.clone().complete(Uuid::from_u128(1), 3), Err(Refusal::LeaseLost));
    assert!(stolen.complete(Uuid::from_u128(2), 3).is_ok());
}

#[test]
fn what_was_declared_stays_declared() {
    let late = begun().into_put(None, None, at(1)).and_then(|u| u.into_put(None, Some(Digest::EMPTY), at(1)));
    assert_eq!(late, Err(Refusal::DeclaredLate));
    let upload = begun().into_put(Some(5), Some(Digest::EMPTY), at(1)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(upload.clone().into_put(Some(6), None, at(1)), Err(Refusal::Redeclared("size")));
    let other = Digest::from_sha256([1; 32]);
    assert_eq!(upload.clone().into_put(None, Some(other), at(1)), Err(Refusal::Redeclared("digest")));
    assert_eq!(upload.clone().claim(other.into(), lease(1, 9), at(1)), Err(Refusal::Redeclared("digest")));
    assert_eq!(upload.into_append(8, None, lease(1, 9), at(1)), Err(Refusal::WrongMode(TransferMode::Put)));
}

#[test]
fn the_cleaner_leaves_alone_what_is_finalizing_under_a_live_lease() {
    let upload = begun()
        .into_put(None, None, at(1))
        .and_then(|u| u.claim(Digest::EMPTY.into(), lease(1, 200), at(99)));
    let upload = upload.unwrap_or_else(|e| panic!("{e}"));
    assert!(upload.clone().expire(at(150)).is_err());
    assert_eq!(upload.expire(at(TimeDelta::seconds(200).num_seconds())).map(|u| u.state), Ok(State::Expired));
    assert!(begun().expire(at(99)).is_err());
}
