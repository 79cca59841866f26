//! Users, projects, members, robots and tokens, on either database alike.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::join_all;
use overside::auth::secret::{PersonalToken, Secret};
use overside::db::{AccountChange, Db, DeletedProject, Inserted, ProjectFilter, Pushed, RobotFilter};
use overside::domain::access::ProjectName;
use overside::domain::access::{Action, Actions, ProjectReference, Role};
use overside::domain::account::{AccessToken, FederatedIdentity, RobotName};
use overside::domain::project::{NewProject, ProjectChanges, QuotaLimit};
use overside::domain::upload::Upload;

use super::manifests::{index, push_to, stored_blob};
use super::{Case, begun, name, now};

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("of_replicas_that_start_at_once_one_makes_the_first_user", |db| first_user(db).boxed()),
        ("a_name_or_an_identity_is_one_users_alone", |db| one_of_a_name(db).boxed()),
        ("a_users_end_is_that_of_tokens_and_memberships", |db| end_of_a_user(db).boxed()),
        ("a_project_with_repositories_is_neither_deleted_nor_given_away", |db| projects(db).boxed()),
        ("a_project_that_is_made_anew_while_it_ends_keeps_its_limit", |db| made_anew(db).boxed()),
        ("a_project_ends_beside_uploads_that_reserve_in_it", |db| beside(db).boxed()),
        ("what_a_project_has_is_counted_to_its_borders", |db| borders(db).boxed()),
        ("projects_are_listed_as_far_as_somebody_may_see_them", |db| visible(db).boxed()),
        ("a_browsers_session_is_of_the_password_that_was_proven", |db| browser_sessions(db).boxed()),
        ("robots_are_listed_for_those_who_manage_them", |db| robots(db).boxed()),
    ]
}

fn new_project(name: &str, is_public: bool) -> NewProject {
    let (storage_limit, count_limit) = (QuotaLimit::NONE, QuotaLimit::NONE);
    NewProject { name: name.parse().expect("a name"), is_public, storage_limit, count_limit }
}

pub(super) async fn user(db: &Db, name: &str) -> i64 {
    let name = name.parse().expect("a name");
    created(db.insert_user(&name, None, false, None, now()).await.expect("a row"))
}

pub(super) async fn project(db: &Db, name: &str, is_public: bool) -> i64 {
    created(db.insert_project(&new_project(name, is_public), None, true, now()).await.expect("a row"))
}

#[track_caller]
fn created(inserted: Inserted) -> i64 {
    match inserted {
        Inserted::Created(id) => id,
        Inserted::Exists => panic!("it is there already"),
    }
}

/// Who may make and end projects must not get rid of what an administrator has set.
async fn made_anew(db: Arc<Db>) {
    const LIMIT: i64 = 1_000;
    let alice = user(&db, "alice").await;
    let make = || async {
        db.insert_project(&new_project("team", false), Some((alice, "alice")), false, now()).await
    };
    let mut id = created(make().await.expect("an answer"));
    let limit = QuotaLimit::try_from(LIMIT).expect("a limit");
    let changes = ProjectChanges { storage_limit: Some(limit), ..ProjectChanges::default() };
    assert!(db.update_project(id, &changes, true, now()).await.expect("an answer"));
    for _ in 0..20 {
        let (ended, others) =
            futures_util::join!(db.delete_project(id, -1, now()), join_all((0..8).map(|_| make())));
        assert_eq!(ended.expect("an answer"), DeletedProject::Done);
        if others.into_iter().all(|other| other.expect("an answer") == Inserted::Exists) {
            created(make().await.expect("an answer"));
        }
        let project = ProjectReference::Name("team".parse().expect("a name"));
        let project = db.find_project(&project).await.expect("an answer").expect("the project");
        assert_eq!(project.storage_limit, limit);
        id = project.id;
    }
}

/// Nobody who ends something waits in a circle with those whose sessions end with it.
async fn beside(db: Arc<Db>) {
    for round in 0..10 {
        let project_name = format!("team{round}");
        let id = project(&db, &project_name, false).await;
        let limit = QuotaLimit::try_from(1 << 40).expect("a limit");
        let changes = ProjectChanges { storage_limit: Some(limit), ..ProjectChanges::default() };
        assert!(db.update_project(id, &changes, true, now()).await.expect("an answer"));
        let team: ProjectName = project_name.parse().expect("a name");
        let uploads: Vec<_> = (0..16)
            .map(|_| Upload { repository: name(&format!("{project_name}/app")), size: Some(10), ..begun() })
            .collect();
        for upload in &uploads {
            db.insert_upload(upload, "temp/x/").await.expect("an upload");
        }
        let reserving = uploads.iter().map(|upload| async {
            for more in 1..=10 {
                match db.reserve(upload.id, &team, more * 100, more * 100).await {
                    Ok(_) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        let (ended, _) = futures_util::join!(db.delete_project(id, -1, now()), join_all(reserving));
        assert_eq!(ended.expect("an answer"), DeletedProject::Done);
    }
}

async fn first_user(db: Arc<Db>) {
    let name = "admin".parse().expect("a name");
    let at_once = join_all((0..8).map(|_| db.insert_first_user(&name, "hash", now()))).await;
    let made = at_once.into_iter().filter(|made| *made.as_ref().expect("an answer") != Inserted::Exists);
    assert_eq!(made.count(), 1);
    assert_eq!(db.users(10, 0).await.expect("users").1, 1);
    let other = "other".parse().expect("a name");
    assert_eq!(db.insert_first_user(&other, "hash", now()).await.expect("an answer"), Inserted::Exists);
    let admin = db.find_user_by_name("admin").await.expect("an answer").expect("the user");
    assert!(admin.is_admin && admin.has_password);
}

async fn one_of_a_name(db: Arc<Db>) {
    let identity = |subject: &str| {
        FederatedIdentity::new("https://issuer.example".into(), subject.into()).expect("an identity")
    };
    let add = async |name: &str, subject: &str| {
        let (name, identity) = (name.parse().expect("a name"), identity(subject));
        db.insert_user(&name, None, false, Some(&identity), now()).await.expect("an answer")
    };
    let id = created(add("alice", "1").await);
    assert_eq!(add("alice", "2").await, Inserted::Exists);
    assert_eq!(add("bob", "1").await, Inserted::Exists);
    created(add("Alice", "2").await);
    let found = db.find_user(id).await.expect("an answer").expect("the user");
    assert_eq!((found.name.as_str(), found.identity), ("alice", Some(identity("1"))));
    assert!(!found.has_password && !found.is_admin);

    assert!(db.set_password(id, "hash").await.expect("an answer"));
    assert_eq!(db.set_administrator(id, true).await.expect("an answer"), AccountChange::Done);
    let found = db.find_user(id).await.expect("an answer").expect("the user");
    assert!(found.has_password && found.is_admin);
    let nobody = id + 1000;
    assert!(!db.set_password(nobody, "hash").await.expect("an answer"));
    assert_eq!(db.set_administrator(nobody, true).await.expect("an answer"), AccountChange::Unknown);
    assert_eq!(db.delete_user(nobody, now()).await.expect("an answer"), AccountChange::Unknown);
    let (page, total) = db.users(1, 1).await.expect("users");
    assert_eq!((page.len(), page[0].name.as_str(), total), (1, "alice", 2), "upper case is before lower");
}

async fn browser_sessions(db: Arc<Db>) {
    let (alice, ends) =
        (user(&db, "alice").await, (now() + TimeDelta::hours(1), now() + TimeDelta::hours(2)));
    assert!(db.set_password(alice, "first").await.expect("an answer"));
    let begin = async |ends, password: &str| {
        let id = Secret::generate().hash();
        let begun = db.insert_browser_session(&id, alice, password, ends, 2).await.expect("an answer");
        begun.then_some(id)
    };
    let find = async |id| db.find_browser_session(&id, now()).await.expect("an answer");
    assert_eq!(begin(ends, "another").await, None);
    let first = begin(ends, "first").await.expect("a session");
    assert_eq!(find(first).await.expect("the session").user.name, "alice");
    assert_eq!(db.find_browser_session(&first, ends.0).await.expect("an answer"), None, "its time is up");
    // Beyond the most at once, the oldest ends.
    let later = (ends.0, ends.1 + TimeDelta::hours(1));
    let (second, third) = (begin(later, "first").await, begin(later, "first").await);
    let (second, third) = (second.expect("a session"), third.expect("a session"));
    assert!(find(first).await.is_none() && find(second).await.is_some() && find(third).await.is_some());
    db.renew_browser_session(&second, later.1).await.expect("an answer");
    db.forget_browser_sessions(ends.0).await.expect("an answer");
    assert!(find(second).await.is_some() && find(third).await.is_none());
    assert!(db.set_password(alice, "second").await.expect("an answer"));
    assert!(find(second).await.is_none());
    assert_eq!(begin(ends, "first").await, None);
}

async fn end_of_a_user(db: Arc<Db>) {
    let (alice, team) = (user(&db, "alice").await, project(&db, "team", false).await);
    let token = PersonalToken::generate();
    let row = |name: &str, id| AccessToken {
        id,
        name: name.to_owned(),
        created_at: now(),
        expires_at: Some(now() + TimeDelta::days(1)),
    };
    let kept = row("ci", token.id);
    assert!(db.insert_access_token(alice, &kept, &token.secret.hash()).await.expect("an answer"));
    let same_name = row("ci", PersonalToken::generate().id);
    assert!(!db.insert_access_token(alice, &same_name, &token.secret.hash()).await.expect("an answer"));
    assert_eq!(db.access_tokens(alice, 10, 0).await.expect("tokens"), (vec![kept], 1));
    let bob = user(&db, "bob").await;
    assert!(!db.delete_access_token(bob, token.id).await.expect("an answer"), "another's");

    let member = created(db.insert_member(team, alice, Role::Guest, now()).await.expect("a row"));
    assert_eq!(db.insert_member(team, alice, Role::Admin, now()).await.expect("an answer"), Inserted::Exists);
    assert!(db.update_member(team, member, Role::Admin).await.expect("an answer"));
    let found = db.find_member(team, member).await.expect("an answer").expect("the member");
    assert_eq!((found.role, found.user_name.as_str()), (Role::Admin, "alice"));
    assert!(db.update_member(team, member, Role::Developer).await.expect("an answer"));
    let other = project(&db, "other", false).await;
    assert!(!db.update_member(other, member, Role::Admin).await.expect("an answer"), "of another project");
    assert!(!db.delete_member(other, member).await.expect("an answer"), "of another project");

    assert_eq!(db.delete_user(alice, now()).await.expect("an answer"), AccountChange::Done);
    assert_eq!(db.find_token_account(token.id).await.expect("an answer"), None);
    assert_eq!(db.members(team, 10, 0).await.expect("members"), (vec![], 0));
    // Whoever has gone meanwhile is no error.
    assert_eq!(db.insert_member(team, alice, Role::Guest, now()).await.expect("an answer"), Inserted::Exists);
}

async fn projects(db: Arc<Db>) {
    let alice = user(&db, "alice").await;
    assert_eq!(push_to(&db, &name("old/image"), &index(&[], 0), &[]).await, Pushed::Done);
    stored_link(&db, "older").await;
    for taken in ["old", "older"] {
        let refused =
            db.insert_project(&new_project(taken, false), Some((alice, "alice")), false, now()).await;
        assert_eq!(refused.expect("an answer"), Inserted::Exists, "{taken}");
    }
    let id = created(
        db.insert_project(&new_project("new", true), Some((alice, "alice")), false, now())
            .await
            .expect("a row"),
    );
    let again = db.insert_project(&new_project("new", true), None, true, now()).await;
    assert_eq!(again.expect("an answer"), Inserted::Exists);
    let found = db.find_project(&ProjectReference::Id(id)).await.expect("an answer").expect("the project");
    assert_eq!((found.owner_name.as_str(), found.is_public), ("alice", true));
    assert_eq!(db.members(id, 10, 0).await.expect("members").0[0].role, Role::Admin);

    let limit = |limit| Some(QuotaLimit::try_from(limit).expect("a limit"));
    let changes = ProjectChanges { storage_limit: limit(5), ..ProjectChanges::default() };
    assert!(db.update_project(id, &changes, true, now()).await.expect("an answer"));
    let changes =
        ProjectChanges { is_public: Some(false), count_limit: limit(0), ..ProjectChanges::default() };
    assert!(db.update_project(id, &changes, true, now()).await.expect("an answer"));
    let found = db.find_project(&ProjectReference::Id(id)).await.expect("an answer").expect("the project");
    assert_eq!((found.is_public, found.storage_limit.get(), found.count_limit.get()), (false, 5, 0));
    assert!(!db.update_project(id + 1000, &changes, true, now()).await.expect("an answer"));

    let adopted = project(&db, "old", false).await;
    assert_eq!(db.delete_project(adopted, -1, now()).await.expect("an answer"), DeletedProject::InUse);
    assert_eq!(db.delete_project(id, -1, now()).await.expect("an answer"), DeletedProject::Done);
    assert_eq!(db.delete_project(id, -1, now()).await.expect("an answer"), DeletedProject::Absent);
}

/// Links a blob of this size, and nothing else, to a repository.
async fn stored_link(db: &Db, repository: &str) {
    let digest = stored_blob(db, 7).await;
    assert!(db.link_blob(&name(repository), &digest, now()).await.expect("a link"));
}

/// `team-a`, `team.a` and `team0` are neighbours of `team/` in the order of bytes.
async fn borders(db: Arc<Db>) {
    // Which is in `team/app/model` to begin with.
    let shared = stored_blob(&db, 1).await;
    for repository in ["team", "team/a", "team/z/z", "team-a/x", "team.a/x", "team0", "tea", "teams/x"] {
        assert!(db.link_blob(&name(repository), &shared, now()).await.expect("a link"));
    }
    let size = db.find_blob(&shared).await.expect("an answer").expect("the blob").size;
    let used = async |project: &ProjectName| {
        let usage = db.project_usage(project).await.expect("a count");
        (usage.bytes, usage.tags)
    };
    let team = "team".parse().expect("a name");
    assert_eq!(db.count_repositories(&team).await.expect("a count"), 4);
    assert_eq!(used(&team).await, (size, 0));
    let manifest = index(&[], 0);
    assert_eq!(push_to(&db, &name("team/a"), &manifest, &["v1", "v2"]).await, Pushed::Done);
    assert_eq!(push_to(&db, &name("team/m"), &manifest, &["v1"]).await, Pushed::Done);
    assert_eq!(push_to(&db, &name("team0"), &manifest, &["v1"]).await, Pushed::Done);
    let bytes = size + 2 * manifest.payload.len() as u64;
    assert_eq!(db.count_repositories(&team).await.expect("a count"), 5);
    assert_eq!(used(&team).await, (bytes, 3));
    let none = "none".parse().expect("a name");
    assert_eq!(db.count_repositories(&none).await.expect("a count"), 0);
    assert_eq!(used(&none).await, (0, 0));
    let empty = project(&db, "te", false).await;
    assert_eq!(
        db.delete_project(empty, -1, now()).await.expect("an answer"),
        DeletedProject::Done,
        "neighbours are others"
    );
}

async fn visible(db: Arc<Db>) {
    let alice = user(&db, "alice").await;
    for (name, is_public) in [("a-public", true), ("b_own", false), ("b.named", false), ("c-private", false)]
    {
        project(&db, name, is_public).await;
    }
    let own = ProjectReference::Name("b_own".parse().expect("a name"));
    let own = db.find_project(&own).await.expect("an answer").expect("the project");
    created(db.insert_member(own.id, alice, Role::Guest, now()).await.expect("a row"));
    let others = || vec!["b.named".parse().expect("a name"), "unknown".parse().expect("a name")];
    let list = async |filter: ProjectFilter| {
        let (found, total) = db.visible_projects(&filter, 10, 0).await.expect("projects");
        assert_eq!(found.len() as u64, total);
        found.into_iter().map(|(project, role)| (project.name.to_string(), role)).collect::<Vec<_>>()
    };
    let names = async |filter| list(filter).await.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let nobody = ProjectFilter { with_public: true, ..ProjectFilter::default() };
    assert_eq!(names(nobody.clone()).await, ["a-public"]);
    assert_eq!(names(ProjectFilter::default()).await, Vec::<String>::new());
    let all = ProjectFilter { is_all: true, ..nobody.clone() };
    assert_eq!(names(all.clone()).await, ["a-public", "b.named", "b_own", "c-private"]);
    let somebody = ProjectFilter { user: Some(alice), names: others(), ..nobody };
    let found = list(somebody.clone()).await;
    assert_eq!(
        found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["a-public", "b.named", "b_own"]
    );
    assert_eq!(found.into_iter().map(|(_, role)| role).collect::<Vec<_>>(), [None, None, Some(Role::Guest)]);
    assert_eq!(names(ProjectFilter { is_public: Some(true), ..all.clone() }).await, ["a-public"]);
    assert_eq!(
        names(ProjectFilter { is_public: Some(false), ..somebody }).await,
        ["b.named", "b_own"],
        "private ones alone"
    );
    for (part, found) in
        [("B_", vec!["b_own"]), ("-p", vec!["a-public", "c-private"]), ("%", vec![]), ("!", vec![])]
    {
        assert_eq!(names(ProjectFilter { name_part: part.to_owned(), ..all.clone() }).await, found, "{part}");
    }
    let (page, total) = db.visible_projects(&all, 2, 3).await.expect("projects");
    assert_eq!((page.len(), total), (1, 4));
}

async fn robots(db: Arc<Db>) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let mut ids = Vec::new();
    for team in ["one", "two"] {
        let id = project(&db, team, true).await;
        created(db.insert_member(id, bob, Role::Maintainer, now()).await.expect("a row"));
        for robot in ["a", "b"] {
            let robot = RobotName::new(team.parse().expect("a name"), robot).expect("a name");
            let may = ("text", Actions::NONE.with(Action::Pull).with(Action::Delete));
            let hash = Secret::generate().hash();
            ids.push(created(db.insert_robot(&robot, may, &hash, now(), None).await.expect("a row")));
            let again = db.insert_robot(&robot, may, &hash, now(), None).await.expect("an answer");
            assert_eq!(again, Inserted::Exists);
        }
        if team == "one" {
            created(db.insert_member(id, alice, Role::Admin, now()).await.expect("a row"));
        }
    }
    let names = async |filter: RobotFilter| {
        let (found, total) = db.robots(&filter, 10, 0).await.expect("robots");
        assert_eq!(found.len() as u64, total);
        found.into_iter().map(|robot| robot.name.to_string()).collect::<Vec<_>>()
    };
    let two = Some("two".parse().expect("a name"));
    let all = RobotFilter { is_all: true, ..RobotFilter::default() };
    assert_eq!(names(all.clone()).await, ["robot$one+a", "robot$one+b", "robot$two+a", "robot$two+b"]);
    assert_eq!(names(RobotFilter { project: two.clone(), ..all }).await, ["robot$two+a", "robot$two+b"]);
    let of = |user| RobotFilter { user: Some(user), ..RobotFilter::default() };
    assert_eq!(names(of(alice)).await, ["robot$one+a", "robot$one+b"]);
    assert_eq!(names(of(bob)).await, Vec::<String>::new(), "a maintainer manages no robots");
    let federated = RobotFilter { names: vec!["two".parse().expect("a name")], ..of(alice) };
    assert_eq!(names(RobotFilter { project: two, ..federated }).await, ["robot$two+a", "robot$two+b"]);

    let secret = Secret::generate();
    assert!(db.set_robot_secret(ids[0], &secret.hash()).await.expect("an answer"));
    assert!(db.update_robot(ids[0], None, Some(true)).await.expect("an answer"));
    let robot = db.find_robot(ids[0]).await.expect("an answer").expect("the robot");
    assert_eq!((robot.description.as_str(), robot.is_disabled), ("text", true));
    let account = db.find_robot_account(&robot.name).await.expect("an answer").expect("the robot");
    assert!(account.is_disabled && account.secret_hash == secret.hash());
    assert_eq!(account.actions, robot.actions);
    assert!(db.delete_robot(ids[0], now()).await.expect("an answer"));
    assert!(!db.delete_robot(ids[0], now()).await.expect("an answer"));
    assert!(!db.set_robot_secret(ids[0], &secret.hash()).await.expect("an answer"));
    assert_eq!(db.find_robot(ids[0]).await.expect("an answer"), None);
}
