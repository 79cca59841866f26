//! Files and folders: put and get, and what the commands say to people and to scripts.

mod folder;
mod hostile;
mod kept;
mod many;
mod names;
mod titled;
mod told;

use futures_util::future::FutureExt;

use crate::support::trial::Story;

const NAME: &str = "team/cargo";
/// Files from here on go up in parts.
const SMALL_PARTS: [&str; 2] = ["--part-size", "5MiB"];

pub fn cases() -> Vec<Story> {
    vec![
        ("put_takes_files_and_quoted_patterns_and_sends_nothing_twice", |s| many::files(s).boxed()),
        ("put_keeps_the_good_files_when_one_fails", |s| many::one_fails(s).boxed()),
        ("no_file_is_taken_for_a_name", |s| names::story(s).boxed()),
        ("files_with_a_tag_are_restored_under_their_names", |s| titled::restored(s).boxed()),
        ("ls_shows_what_is_in_a_repository", |s| titled::listed(s).boxed()),
        ("put_takes_standard_input_of_any_length", |s| many::standard_input(s).boxed()),
        ("standard_input_goes_on_from_the_servers_offset", |s| many::cut(s).boxed()),
        ("a_folder_is_put_and_restored_byte_by_byte", |s| folder::restored(s).boxed()),
        ("modes_links_and_empty_folders_come_back_and_what_is_excluded_does_not", |s| kept::tree(s).boxed()),
        ("links_of_an_artifact_that_lead_out_are_refused", |s| kept::hostile(s).boxed()),
        ("a_file_that_has_not_changed_is_not_read_again", |s| kept::remembered(s).boxed()),
        ("bwlimit_holds_for_all_bodies_together", |s| kept::limited(s).boxed()),
        ("a_call_that_is_repeated_is_told_of", |s| kept::repeated(s).boxed()),
        ("an_interrupted_get_goes_on_with_what_is_missing", |s| folder::interrupted(s).boxed()),
        ("titles_that_lead_out_of_the_folder_are_refused", |s| hostile::titles(s).boxed()),
        ("links_that_lead_out_of_the_folder_are_not_followed", |s| hostile::links(s).boxed()),
        ("json_is_an_object_a_line_and_ends_with_a_result", |s| told::json(s).boxed()),
        ("a_dry_run_sends_nothing", |s| told::dry_run(s).boxed()),
        ("the_exit_code_tells_failure_from_bad_usage", |s| told::exit_codes(s).boxed()),
        ("ctrl_c_ends_with_130", |s| told::interrupted(s).boxed()),
        ("project_create_makes_the_project_once", |s| told::project_create(s).boxed()),
    ]
}
