//! The statements that run for every request and for every batch of the cleaner's, by name: their plans are
//! what a database with a million sessions stands or falls by, and `tests/it/database` asks for them.

use super::Db;
use super::registry::blobs::FIND as FIND_BLOB;
use super::registry::files::texts as files;
use super::registry::hub::texts as hub;
use super::registry::manifests::texts as manifests;
use super::registry::{file_locks, link_batches, links, readers, referrers, removal, scrub, tags};
use super::upkeep::{audit, quotas, usage};
use super::uploads::batches;
use super::uploads::commit::COMMIT;
use super::uploads::parts::{PARTS, SWAP_WITH_PARTS};
use super::uploads::placing::{CLAIM, HELD, HOLD, HOLDS, PLACED, RENEW};
use super::uploads::redirected::{DUE, OF_BLOBS, OF_USER, TAKE as TAKE_LOOK};
use super::uploads::sessions::{COUNT_OPEN, FIND, INSERT};
use super::uploads::swap::{RENEW as RENEW_LEASE, SWAP};
use super::uploads::sweep::{
    ABANDONED, DISCARDED, EXPIRE, FIND_ALL, FORGET, IS_PLACING, PUT_OFF, UNDISCARDED,
};

impl Db {
    /// The hot statements of this database, exactly as they run, each with a name.
    #[must_use]
    pub fn hot_statements(&self) -> Vec<(&'static str, &'static str)> {
        let mut statements = vec![
            ("begin", self.text(INSERT)),
            ("lock_project", self.text(quotas::LOCK)),
            ("sum_usage", quotas::SUM),
            ("is_limited", quotas::IS_LIMITED),
            ("reserve", quotas::RESERVE),
            ("release", quotas::RELEASE),
            ("fold_usage", self.text(quotas::TAKE)),
            ("is_counted", links::IS_COUNTED),
            ("pushed_before", self.text(manifests::THERE)),
            ("usage", usage::USAGE),
            ("find", FIND),
            ("count_open", self.text(COUNT_OPEN)),
            ("swap", SWAP),
            ("renew_lease", RENEW_LEASE),
            ("redirected_uploads", self.text(OF_BLOBS)),
            ("redirected_uploads_of", OF_USER),
            ("uploads_to_look_at", DUE),
            ("take_look", TAKE_LOOK),
            ("batched_uploads", self.text(batches::OF_BATCH)),
            ("prolong_uploads", self.text(batches::PROLONG)),
            ("parts", PARTS),
            ("put_off", self.text(PUT_OFF)),
            ("expire", self.text(EXPIRE)),
            ("abandoned", ABANDONED),
            ("undiscarded", UNDISCARDED),
            ("mark_discarded", self.text(DISCARDED)),
            ("find_all", self.text(FIND_ALL)),
            ("forget", self.text(FORGET)),
            ("is_placing", IS_PLACING),
            ("claim_unplaced", CLAIM),
            ("renew_placing", RENEW),
            ("mark_placed", PLACED),
            ("hold_sealed", HOLD),
            ("holds_blob", HOLDS),
            ("held_uploads", self.text(HELD)),
            ("audit_entries_of_project", audit::OF_PROJECT),
            ("audit_entries_of_name", audit::OF_NAME),
        ];
        statements.extend(self.hot_statements_of_registry());
        match self {
            Self::Postgres(_) => {
                statements.extend([("commit", COMMIT), ("swap_with_parts", SWAP_WITH_PARTS)]);
            }
            Self::Sqlite(_) => statements.push(("forget_audit_entries", audit::FORGET)),
        }
        statements
    }

    /// Those about blobs, manifests, tags, files and trees.
    fn hot_statements_of_registry(&self) -> Vec<(&'static str, &'static str)> {
        vec![
            ("find_blob", FIND_BLOB),
            ("find_link", links::FIND),
            ("find_links", self.text(link_batches::FIND)),
            ("readable_blobs", self.text(readers::READABLE)),
            ("blobs_of_any", self.text(readers::OF_ANY)),
            ("hold_blobs", self.text(link_batches::HOLD)),
            ("counted_blobs", self.text(link_batches::COUNTED)),
            ("link_blobs", self.text(link_batches::LINK)),
            ("file_locks", file_locks::PAGE),
            ("find_file_lock", file_locks::FIND),
            ("find_file_lock_of", file_locks::FIND_BY_PATH),
            ("insert_file_lock", file_locks::INSERT),
            ("delete_file_lock", file_locks::DELETE),
            ("renew_link", links::ASK_FOR),
            ("revive_blob", links::REVIVE),
            ("hold_blob", self.text(links::HOLD)),
            ("unneeded", links::DUE),
            ("unlink_unneeded", self.text(links::UNLINK_DUE)),
            ("mark_unneeded", self.text(links::MARK_UNNEEDED)),
            ("tombstone", self.text(links::TOMBSTONE)),
            ("find_stored", removal::FIND_STORED),
            ("removable", self.text(removal::REMOVABLE)),
            ("claim_removal", self.text(removal::CLAIM)),
            ("forget_blob", removal::FORGET),
            ("placed_blobs", scrub::PLACED),
            ("known_blobs", self.text(removal::KNOWN)),
            ("lock_links", self.text(manifests::LOCK_LINKS)),
            ("children", self.text(manifests::CHILDREN)),
            ("insert_manifest", manifests::INSERT),
            ("insert_references", self.text(manifests::INSERT_BLOBS)),
            ("insert_children", self.text(manifests::INSERT_CHILDREN)),
            ("listed_by", manifests::LISTED_BY),
            ("keep_links", self.text(manifests::KEEP)),
            ("upsert_tags", self.text(manifests::UPSERT_TAGS)),
            ("find_manifest", manifests::FIND_BY_DIGEST),
            ("find_manifest_by_tag", manifests::FIND_BY_TAG),
            ("describe_manifest", manifests::DESCRIBE_BY_DIGEST),
            ("describe_manifest_by_tag", manifests::DESCRIBE_BY_TAG),
            ("references", manifests::REFERENCES),
            ("lock_manifest", self.text(manifests::LOCK)),
            ("lock_tags", self.text(manifests::LOCK_TAGS)),
            ("delete_manifest", manifests::DELETE),
            ("find_file", files::FIND),
            ("blob_of_file", files::BLOB_OF),
            ("readable_blob", files::READABLE),
            ("lock_file", self.text(files::LOCK)),
            ("insert_file", files::INSERT),
            ("update_file", files::UPDATE),
            ("delete_file", files::DELETE),
            ("files_below", files::BELOW),
            ("files_to_delete", files::BATCH),
            ("lock_files", self.text(files::LOCK_ALL)),
            ("delete_files", self.text(files::DELETE_ALL)),
            ("directory_entries", self.text(files::ENTRIES)),
            ("find_hub_repository", hub::FIND),
            ("commit_of_ref", hub::COMMIT_OF_REF),
            ("commits_back_from", self.text(hub::HISTORY)),
            ("tree_entry", hub::ENTRY),
            ("tree_entries", hub::ENTRIES),
            ("insert_tree_entries", self.text(hub::INSERT_ENTRIES)),
            ("insert_commit", hub::INSERT_COMMIT),
            ("hub_refs", hub::REFS),
            ("lock_ref", self.text(hub::LOCK_REF)),
            ("move_ref", hub::MOVE_REF),
            ("insert_ref", self.text(hub::INSERT_REF)),
            ("entries_to_delete", hub::SOME_ENTRIES),
            ("delete_entries", hub::DELETE_ENTRIES),
            ("delete_commits", hub::DELETE_COMMITS),
            ("tags", tags::TAGS),
            ("blobs_of_repository", tags::BLOBS),
            ("delete_tag", tags::DELETE),
            ("has_repository", tags::EXISTS),
            ("repositories", tags::REPOSITORIES),
            ("visible_repositories", self.text(readers::VISIBLE_REPOSITORIES)),
            ("make_repository", links::MAKE_REPOSITORY),
            ("referrers", referrers::REFERRERS),
        ]
    }
}
