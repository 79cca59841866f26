//! Who is let in where, and what whoever is not may learn.

mod browsers;
mod federated;
mod guessing;
mod hidden;
mod login;
mod sessions;
mod table;
mod tokens;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::FutureExt;
use overside::domain::access::{Action, Actions, Role};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::support::accounts::{Accounts, Login};
use crate::support::api::Repository;
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Stack, http_with};

pub fn cases() -> Vec<Story> {
    vec![
        ("every_endpoint_lets_in_whom_it_should_and_nobody_else", |s| table::all(s).boxed()),
        ("a_token_is_good_for_what_its_bearer_may_of_what_was_asked_for", |s| tokens::granted(s).boxed()),
        ("a_client_is_told_where_to_get_a_token_and_for_what", |s| tokens::challenged(s).boxed()),
        ("who_may_not_is_told_that_no_other_token_would_help", |s| tokens::unpermitted(s).boxed()),
        ("tokens_of_one_replica_are_taken_by_another_whichever_key_signed_them", |s| {
            tokens::shared(s).boxed()
        }),
        ("a_token_that_nobody_issued_opens_nothing", |s| tokens::forged(s).boxed()),
        ("what_a_token_is_asked_for_in_vain_is_said", |s| tokens::refused(s).boxed()),
        ("what_is_private_looks_like_what_is_not_there", |s| hidden::answers(s).boxed()),
        ("a_digest_is_no_right_to_what_it_names", |s| hidden::digests(s).boxed()),
        ("a_mount_takes_only_what_its_caller_may_read", |s| hidden::mounts(s).boxed()),
        ("what_a_mount_asks_of_the_database_does_not_tell_who_has_the_blob", |s| hidden::asked(s).boxed()),
        ("the_catalog_has_what_its_reader_may_pull", |s| hidden::catalog(s).boxed()),
        ("a_catalog_ends_at_its_end_however_much_its_reader_may_not_see_in_between", |s| {
            hidden::catalog_in_between(s).boxed()
        }),
        ("an_upload_is_its_beginners_alone", |s| sessions::owned(s).boxed()),
        ("a_url_that_outlives_its_upload_changes_nothing", |s| sessions::outlived(s).boxed()),
        ("guessing_a_password_becomes_slow_and_stays_the_guessers_trouble", |s| guessing::slowed(s).boxed()),
        ("guesses_sent_at_once_are_counted_before_they_are_tried", |s| guessing::at_once(s).boxed()),
        ("a_name_that_nobody_has_is_refused_and_slowed_like_any_other", |s| guessing::nobody(s).boxed()),
        ("the_same_wrong_password_again_is_no_other_guess", |s| guessing::repeated(s).boxed()),
        ("who_signs_in_again_and_again_may_mistype_in_between", |s| guessing::mistyped(s).boxed()),
        ("whoever_has_a_network_of_ipv6_guesses_as_often_as_whoever_has_an_address", |s| {
            guessing::networks(s).boxed()
        }),
        ("wrong_secrets_become_slow_and_do_not_fill_the_log", |s| guessing::secrets(s).boxed()),
        ("who_signed_in_with_podman_is_signed_in_here", |s| login::by_podman(s).boxed()),
        ("signing_in_keeps_what_the_registry_takes_where_docker_keeps_it", |s| login::kept(s).boxed()),
        ("a_helper_that_is_not_installed_breaks_nothing_that_needs_no_credentials", |s| {
            login::without_its_helper(s).boxed()
        }),
        ("a_browsers_session_is_good_on_every_replica_until_it_signs_out", |s| browsers::shared(s).boxed()),
        ("a_page_of_another_site_changes_nothing", |s| browsers::forged(s).boxed()),
        ("nobody_is_signed_in_as_somebody_else_by_a_page", |s| browsers::planted(s).boxed()),
        ("a_browsers_session_ends_by_its_time_and_with_its_password_or_user", |s| browsers::ended(s).boxed()),
        ("a_program_beside_a_page_is_who_it_says_it_is", |s| browsers::beside_programs(s).boxed()),
        ("guessing_a_password_at_the_page_becomes_slow", |s| browsers::guessed(s).boxed()),
        ("a_job_signs_in_with_what_its_platform_gives_it", |s| federated::accepted(s).boxed()),
        ("a_platforms_token_that_is_not_for_us_is_refused", |s| federated::refused(s).boxed()),
        ("an_issuer_that_fails_keeps_nobody_waiting_whose_key_is_known", |s| federated::failing(s).boxed()),
        ("nothing_that_a_token_says_of_itself_acts_on_whoever_reads_the_log", |s| {
            federated::logged(s).boxed()
        }),
        ("an_issuers_new_key_is_found_and_one_that_is_away_is_outlasted", |s| federated::rotated(s).boxed()),
    ]
}

/// As long as each other: what differs in an answer is not a name's length.
const PRIVATE: &str = "inner";
const PUBLIC: &str = "outer";
const NOWHERE: &str = "empty";

/// Somebody at the door, with a client that shows what they have with every request.
#[derive(Debug, Clone)]
struct Visitor {
    name: &'static str,
    authorization: Option<String>,
    http: reqwest::Client,
}

impl Visitor {
    fn new(name: &'static str, authorization: Option<String>) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = &authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).expect("ASCII"));
        }
        Self { name, authorization, http: http_with(|builder| builder.default_headers(headers)) }
    }

    fn nobody() -> Self {
        Self::new("nobody", None)
    }

    fn basic(name: &'static str, account: &str, secret: &str) -> Self {
        let credentials = STANDARD.encode(format!("{account}:{secret}"));
        Self::new(name, Some(format!("Basic {credentials}")))
    }

    fn of(name: &'static str, login: &Login) -> Self {
        Self::basic(name, &login.name, &login.secret)
    }

    fn bearer(name: &'static str, token: &str) -> Self {
        Self::new(name, Some(format!("Bearer {token}")))
    }

    fn repository(&self, server: &Server, name: &str) -> Repository {
        let mut repository = Repository::of(server.base_url(), name);
        repository.http = self.http.clone();
        repository
    }
}

/// A public and a private project, and somebody of each kind.
struct Town {
    server: Server,
    visitors: Vec<Visitor>,
    /// Repositories that have what the endpoints are asked about.
    furnished: Mutex<HashSet<String>>,
}

impl Town {
    async fn new(stack: &Arc<Stack>, flags: &[&str]) -> Self {
        let server = stack.server(&[&["--auth", "token"], flags].concat()).await;
        let accounts = Accounts::of(stack).await;
        for (project, is_public) in [(PRIVATE, false), (PUBLIC, true)] {
            accounts.project(project, is_public).await;
        }
        let mut visitors = vec![Visitor::nobody(), Visitor::of("stranger", &accounts.user("stranger").await)];
        for (name, role) in [
            ("guest", Role::Guest),
            ("developer", Role::Developer),
            ("maintainer", Role::Maintainer),
            ("head", Role::Admin),
        ] {
            let login = accounts.user(name).await;
            for project in [PRIVATE, PUBLIC] {
                accounts.member(project, name, role).await;
            }
            visitors.push(Visitor::of(name, &login));
        }
        visitors.push(Visitor::of("operator", &accounts.administrator("operator").await));
        let pulls = Actions::NONE.with(Action::Pull);
        // Both are of the private project: in the other they are strangers.
        for (name, actions) in [("puller", pulls), ("pusher", pulls.with(Action::Push))] {
            visitors.push(Visitor::of(name, &accounts.robot(PRIVATE, name, actions).await));
        }
        Self { server, visitors, furnished: Mutex::default() }
    }

    fn visitor(&self, name: &str) -> &Visitor {
        self.visitors.iter().find(|visitor| visitor.name == name).expect(name)
    }

    fn repository(&self, visitor: &str, name: &str) -> Repository {
        self.visitor(visitor).repository(&self.server, name)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.base_url())
    }
}
