//! Users, projects and robots for stories, written past the service: an API call each would hash a password as slowly
//! as it should be.

use std::sync::LazyLock;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use chrono::TimeDelta;
use overside::auth::secret::{PersonalToken, Secret};
use overside::db::{Db, Inserted};
use overside::domain::access::{Actions, ProjectReference, Role};
use overside::domain::account::{AccessToken, FederatedIdentity, RobotName, UserName};
use overside::domain::clock::Clock;
use overside::domain::project::{NewProject, QuotaLimit};

use super::Stack;
use super::process::Server;

/// What every user signs in with.
pub const PASSWORD: &str = "the same for all of them";

/// Of the fewest passes over the least memory: a hash says how it was made.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let cheap = Params::new(8, 1, 1, None).expect("the least there is");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cheap);
    argon2.hash_password(PASSWORD.as_bytes()).expect("a hash").to_string()
});

/// The accounts of one stack.
#[derive(Debug)]
pub struct Accounts {
    db: Db,
}

/// What somebody signs in with.
#[derive(Debug, Clone)]
pub struct Login {
    pub name: String,
    pub secret: String,
}

impl Accounts {
    pub async fn of(stack: &Stack) -> Self {
        let db = super::api::database(stack).await;
        db.migrate().await.expect("migrations");
        Self { db }
    }

    /// Somebody who is in no project.
    pub async fn user(&self, name: &str) -> Login {
        self.add(name, false).await
    }

    pub async fn administrator(&self, name: &str) -> Login {
        self.add(name, true).await
    }

    async fn add(&self, name: &str, is_admin: bool) -> Login {
        let user: UserName = name.parse().expect("a user's name");
        let now = Clock::System.now();
        let added = self.db.insert_user(&user, Some(&HASH), is_admin, None, now).await.expect("a row");
        assert_ne!(added, Inserted::Exists, "{name}");
        Login { name: name.to_owned(), secret: PASSWORD.to_owned() }
    }

    /// A user without a password, whom an issuer's tokens name.
    pub async fn federated(&self, name: &str, issuer: &str, subject: &str) {
        let user: UserName = name.parse().expect("a user's name");
        let identity = FederatedIdentity { issuer: issuer.to_owned(), subject: subject.to_owned() };
        let added = self.db.insert_user(&user, None, false, Some(&identity), Clock::System.now()).await;
        assert_ne!(added.expect("a row"), Inserted::Exists, "{name}");
    }

    /// The names of all users, in order.
    pub async fn users(&self) -> Vec<String> {
        let (users, _) = self.db.users(1000, 0).await.expect("users");
        users.into_iter().map(|user| user.name).collect()
    }

    /// A project without limits and members; its id.
    pub async fn project(&self, name: &str, is_public: bool) -> i64 {
        let project = NewProject {
            name: name.parse().expect("a project's name"),
            is_public,
            storage_limit: QuotaLimit::NONE,
            count_limit: QuotaLimit::NONE,
        };
        let inserted =
            self.db.insert_project(&project, None, true, Clock::System.now()).await.expect("a row");
        let Inserted::Created(id) = inserted else { panic!("{name} is there already") };
        id
    }

    /// Makes a user of the project what `role` says, whatever they were in it before.
    pub async fn member(&self, project: &str, user: &str, role: Role) {
        let reference = ProjectReference::Name(project.parse().expect("a project's name"));
        let project = self.db.find_project(&reference).await.expect("an answer").expect("the project");
        let user = self.db.find_user_by_name(user).await.expect("an answer").expect("the user");
        let added = self.db.insert_member(project.id, user.id, role, Clock::System.now()).await;
        if added.expect("a row") == Inserted::Exists {
            let (members, _) = self.db.members(project.id, 1000, 0).await.expect("members");
            let member = members.iter().find(|member| member.user_id == user.id).expect("the member");
            assert!(self.db.update_member(project.id, member.id, role).await.expect("a row"));
        }
    }

    /// A user with a role in a project.
    pub async fn user_as(&self, name: &str, project: &str, role: Role) -> Login {
        let login = self.user(name).await;
        self.member(project, name, role).await;
        login
    }

    /// A robot of a project, `robot$project+name`, that may do this for an hour.
    pub async fn robot(&self, project: &str, name: &str, actions: Actions) -> Login {
        self.robot_until(project, name, actions, TimeDelta::hours(1)).await
    }

    pub async fn robot_until(
        &self,
        project: &str,
        name: &str,
        actions: Actions,
        lifetime: TimeDelta,
    ) -> Login {
        let robot = RobotName::new(project.parse().expect("a project's name"), name).expect("a robot's name");
        let (secret, now) = (Secret::generate(), Clock::System.now());
        let (hash, expires_at) = (secret.hash(), Some(now + lifetime));
        let inserted = self.db.insert_robot(&robot, ("", actions), &hash, now, expires_at).await;
        assert_ne!(inserted.expect("a row"), Inserted::Exists, "{robot}");
        Login { name: robot.to_string(), secret: secret.reveal().to_owned() }
    }

    /// A personal access token of a user's, for an hour.
    pub async fn token(&self, user: &str) -> String {
        let found = self.db.find_user_by_name(user).await.expect("an answer").expect("the user");
        let (token, now) = (PersonalToken::generate(), Clock::System.now());
        let row = AccessToken {
            id: token.id,
            name: token.id.to_string(),
            created_at: now,
            expires_at: Some(now + TimeDelta::hours(1)),
        };
        assert!(self.db.insert_access_token(found.id, &row, &token.secret.hash()).await.expect("a row"));
        token.reveal()
    }
}

impl Login {
    /// Signs a request.
    pub fn sign(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.basic_auth(&self.name, Some(&self.secret))
    }
}

impl Stack {
    /// A replica where people have to sign in.
    pub async fn guarded_server(&self, flags: &[&str]) -> Server {
        self.server(&[&["--auth", "token"], flags].concat()).await
    }
}
