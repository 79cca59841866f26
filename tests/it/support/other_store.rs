//! The S3 stores beside those of every run. `scripts/test --stores` installs and starts them; a run without them
//! has no trial for them. What each can do, measured, is in `docs/stores.md`.

use super::servers::Keys;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherStore {
    Minio,
    VersityGw,
    Rclone,
    S3Proxy,
    JuiceFs,
    Garage,
}

/// A reason not to run a trial on a store: what the store does not do.
pub type Inability = &'static str;

/// One pair for all of them, as `scripts/testing/stores.py` has it.
pub const KEYS: Keys = Keys {
    access_key: "GK0123456789ab0123456789ab",
    secret_key: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

/// `MinIO`'s, for uploads: they may put below `temp/` of any trial, and nothing else.
pub const UPLOAD_KEYS: Keys =
    Keys { access_key: "overside-uploads", secret_key: "only-below-temp-0123456789" };

impl OtherStore {
    pub const ALL: [Self; 6] =
        [Self::Minio, Self::VersityGw, Self::Rclone, Self::S3Proxy, Self::JuiceFs, Self::Garage];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Minio => "minio",
            Self::VersityGw => "versitygw",
            Self::Rclone => "rclone",
            Self::S3Proxy => "s3proxy",
            Self::JuiceFs => "juicefs",
            Self::Garage => "garage",
        }
    }

    /// Where its address is told.
    pub fn variable(self) -> String {
        format!("OVERSIDE_TEST_{}", self.name().to_uppercase())
    }

    pub const fn stack_name(self) -> &'static str {
        match self {
            Self::Minio => "sqlite+minio",
            Self::VersityGw => "sqlite+versitygw",
            Self::Rclone => "sqlite+rclone",
            Self::S3Proxy => "sqlite+s3proxy",
            Self::JuiceFs => "sqlite+juicefs",
            Self::Garage => "sqlite+garage",
        }
    }

    /// Whether it has multipart uploads that our SDK can read.
    pub const fn has_multipart(self) -> bool {
        // It answers with an XML root that S3 does not have.
        !matches!(self, Self::Rclone)
    }

    /// Whether the copy of a part computes a SHA-256 before anything is visible.
    const fn has_gate(self) -> bool {
        matches!(self, Self::VersityGw)
    }

    /// Why this case of the storage suite cannot hold here, if so.
    pub fn cannot(self, case: &str) -> Option<Inability> {
        if !self.has_multipart() && NEED_MULTIPART.contains(&case) {
            return Some("it has no multipart uploads");
        }
        if !self.has_gate() && NEED_GATE.contains(&case) {
            return Some("it computes no SHA-256 while it copies a part");
        }
        INABILITIES.iter().find(|(store, name, _)| *store == self && *name == case).map(|(.., why)| *why)
    }

    /// Why no story can run here, if so: `overside serve` needs more than it has.
    pub const fn cannot_serve(self) -> Option<Inability> {
        if self.has_multipart() {
            None
        } else {
            Some("it has no multipart uploads, which every upload above a part needs")
        }
    }
}

const NEED_MULTIPART: [&str; 24] = [
    "a_body_through_the_service_is_stored_whole_or_not_at_all",
    "a_copy_that_seals_tells_the_digest_of_what_it_sealed",
    "a_late_part_does_not_bring_a_discarded_upload_back",
    "a_part_of_another_length_is_refused_and_not_listed",
    "a_part_sent_again_replaces_the_first",
    "a_part_that_is_missing_cannot_be_completed",
    "a_probe_finds_the_same_again_and_leaves_nothing",
    "a_second_begin_that_is_aborted_harms_nothing",
    "a_wrong_etag_is_refused_and_the_upload_can_still_be_completed",
    "an_append_that_is_dropped_leaves_the_old_offset",
    "appends_of_odd_sizes_make_one_blob",
    "completing_twice_leaves_one_object",
    "discarding_removes_everything_and_can_be_repeated",
    "every_blob_is_listed_with_its_size_and_nothing_else",
    "objects_and_multipart_uploads_are_listed_with_their_owners",
    "one_long_append_makes_one_blob",
    "parts_arrive_in_any_order_and_are_listed_in_theirs",
    "parts_sent_after_completion_change_nothing",
    "these_stores_prove_parts_without_reading",
    "a_body_through_the_service_is_stored_whole_or_not_at_all",
    "what_is_spilled_on_the_way_comes_together_again",
    "what_was_appended_is_sealed_again_after_a_crash",
    "what_was_listed_can_be_removed_and_again",
    "whole_parts_without_a_tail_make_one_blob",
];

const NEED_GATE: [&str; 8] = [
    "a_put_that_is_replayed_while_it_is_staged_publishes_nothing_else",
    "a_staged_copy_is_told_by_its_own_bytes_and_not_by_a_checksum_its_uploader_told",
    "many_staging_one_digest_at_once_publish_one_blob",
    "these_stores_prove_parts_without_reading",
    "what_a_store_does_no_longer_is_not_relied_on_again",
    "what_is_staged_and_given_up_was_never_there",
    "what_is_staged_is_published_whole_and_not_before",
    "what_is_staged_lies_at_its_blobs_place",
];

/// What is the store's own doing, and harms nobody: see `docs/stores.md`.
const INABILITIES: [(OtherStore, &str, Inability); 9] = [
    (
        OtherStore::Minio,
        "a_probe_finds_the_same_again_and_leaves_nothing",
        "it lists multipart uploads by no beginning of a key",
    ),
    (
        OtherStore::VersityGw,
        "a_body_through_the_service_is_stored_whole_or_not_at_all",
        "it lists a part that was cut at its full size, padded with zeros",
    ),
    (
        OtherStore::S3Proxy,
        "parts_arrive_in_any_order_and_are_listed_in_theirs",
        "it lists no parts of an upload that has ended, where others know it no more",
    ),
    (
        OtherStore::S3Proxy,
        "parts_sent_after_completion_change_nothing",
        "it takes a part of an upload that has ended",
    ),
    (
        OtherStore::S3Proxy,
        "a_late_part_does_not_bring_a_discarded_upload_back",
        "it takes a part of an upload that was aborted",
    ),
    (
        OtherStore::JuiceFs,
        "a_body_with_another_checksum_is_refused_and_leaves_nothing_to_seal",
        "it checks no checksum",
    ),
    (OtherStore::JuiceFs, "a_refused_body_leaves_what_was_sent_before", "it checks no checksum"),
    (OtherStore::JuiceFs, "a_probe_finds_the_same_again_and_leaves_nothing", "it checks no checksum"),
    (
        OtherStore::JuiceFs,
        "a_part_that_is_missing_cannot_be_completed",
        "it takes a missing part for a missing upload",
    ),
];
