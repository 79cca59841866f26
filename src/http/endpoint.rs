//! Every endpoint there is, and what it takes to be let in. Requests are dispatched by an exhaustive match on these, so
//! there is none without a line here; `tests/it/stories/accounts/access.rs` asks each of them as everybody.

use axum::http::Method;

use crate::domain::access::Action;
use crate::service::ProjectRight;

/// What all paths of the registry begin with.
pub const REGISTRY: &str = "/v2/";
/// What all paths of Harbor's API begin with.
pub const API: &str = "/api/";
/// What all paths of MLflow's artifacts begin with.
pub const MLFLOW: &str = "/api/2.0/mlflow-artifacts";
/// What all paths of tus begin with.
pub const TUS: &str = "/tus/";
/// What stands in all paths of Git LFS between a repository's name and what is asked for.
pub const LFS: &str = "/info/lfs/";

/// What follows [`API`] in the paths of the Hub.
pub const HUB_API: [&str; 8] =
    ["models", "datasets", "spaces", "repos", "whoami-v2", "validate-yaml", "agent-harnesses", "{kind}"];

/// What an endpoint asks of whoever calls it; which repository or project is meant is in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    Client,
    Account,
    Administrator,
    Repository(Action),
    Catalog,
    Project(ProjectRight),
    /// To manage the project of the robot that is named.
    Robot,
    /// To be the user who is named, or an administrator. `current` names whoever asks.
    User,
}

macro_rules! endpoints {
    ($($(#[$doc:meta])* $name:ident: $method:ident $path:literal, $need:expr;)+) => {
        /// An endpoint, by what it does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Endpoint {
            $($(#[$doc])* $name,)+
        }

        impl Endpoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// A `GET` takes `HEAD` as well, unless that is an endpoint of its own.
            #[must_use]
            pub const fn method(self) -> Method {
                match self { $(Self::$name => Method::$method,)+ }
            }

            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)+ }
            }

            #[must_use]
            pub const fn need(self) -> Need {
                match self { $(Self::$name => $need,)+ }
            }
        }
    };
}

endpoints! {
    Alive: GET "/healthz", Need::Nothing;
    Ready: GET "/readyz", Need::Nothing;
    /// These two tell of the service, and of nothing in it.
    OpenApi: GET "/openapi.json", Need::Nothing;
    Docs: GET "/docs", Need::Nothing;
    /// The page for people, and what it loads.
    Portal: GET "/", Need::Nothing;
    PortalFile: GET "/portal/{asset}", Need::Nothing;
    /// Sessions of browsers: a password, or the session itself, is the permission.
    SignIn: POST "/c/login", Need::Nothing;
    SignOut: GET "/c/log_out", Need::Nothing;
    /// The URL is signed: it is the permission.
    ReceivePut: PUT "/signed/{upload}", Need::Nothing;
    ReceivePart: PUT "/signed/{upload}/{part}", Need::Nothing;
    /// Who asks is told what they may: nothing, if they may nothing.
    Token: GET "/service/token", Need::Nothing;
    TokenByForm: POST "/service/token", Need::Nothing;

    ReadConfigurations: GET "/api/v2.0/configurations", Need::Administrator;
    ChangeConfigurations: PUT "/api/v2.0/configurations", Need::Administrator;
    ListProjectLogs: GET "/api/v2.0/projects/{name_or_id}/logs", Need::Project(ProjectRight::SeeInside);
    ListLogs: GET "/api/v2.0/audit-logs", Need::Administrator;

    Base: GET "/v2/", Need::Client;
    Catalog: GET "/v2/_catalog", Need::Catalog;
    BeginUpload: POST "/v2/{name}/blobs/uploads/", Need::Repository(Action::Push);
    DescribeUpload: GET "/v2/{name}/blobs/uploads/{uuid}", Need::Repository(Action::Push);
    Append: PATCH "/v2/{name}/blobs/uploads/{uuid}", Need::Repository(Action::Push);
    Finalize: PUT "/v2/{name}/blobs/uploads/{uuid}", Need::Repository(Action::Push);
    Abort: DELETE "/v2/{name}/blobs/uploads/{uuid}", Need::Repository(Action::Push);
    ReadBlob: GET "/v2/{name}/blobs/{digest}", Need::Repository(Action::Pull);
    DescribeBlob: HEAD "/v2/{name}/blobs/{digest}", Need::Repository(Action::Pull);
    DeleteBlob: DELETE "/v2/{name}/blobs/{digest}", Need::Repository(Action::Delete);
    ReadManifest: GET "/v2/{name}/manifests/{reference}", Need::Repository(Action::Pull);
    DescribeManifest: HEAD "/v2/{name}/manifests/{reference}", Need::Repository(Action::Pull);
    PushManifest: PUT "/v2/{name}/manifests/{reference}", Need::Repository(Action::Push);
    DeleteManifest: DELETE "/v2/{name}/manifests/{reference}", Need::Repository(Action::Delete);
    ListTags: GET "/v2/{name}/tags/list", Need::Repository(Action::Pull);
    /// None of OCI's.
    ListBlobs: GET "/v2/{name}/blobs/", Need::Repository(Action::Pull);
    ListReferrers: GET "/v2/{name}/referrers/{digest}", Need::Repository(Action::Pull);

    /// tus. What the server can do is of the service, and of nothing in it.
    TusDiscover: OPTIONS "/tus/{name}", Need::Nothing;
    TusCreate: POST "/tus/{name}", Need::Repository(Action::Push);
    TusDescribe: HEAD "/tus/{name}/_uploads/{uuid}", Need::Repository(Action::Push);
    TusAppend: PATCH "/tus/{name}/_uploads/{uuid}", Need::Repository(Action::Push);
    TusTerminate: DELETE "/tus/{name}/_uploads/{uuid}", Need::Repository(Action::Push);

    /// Git LFS. Whether an upload is wanted is in the body, and takes the right to push besides.
    LfsBatch: POST "/{name}/info/lfs/objects/batch", Need::Repository(Action::Pull);
    /// The URLs of these four are signed: they are the permission.
    LfsReadObject: GET "/{name}/info/lfs/objects/{oid}", Need::Nothing;
    LfsVerify: POST "/{name}/info/lfs/uploads/{uuid}/verify", Need::Nothing;
    LfsDescribeUpload: GET "/{name}/info/lfs/uploads/{uuid}", Need::Nothing;
    LfsComplete: POST "/{name}/info/lfs/uploads/{uuid}/complete", Need::Nothing;
    LfsListLocks: GET "/{name}/info/lfs/locks", Need::Repository(Action::Pull);
    LfsCreateLock: POST "/{name}/info/lfs/locks", Need::Repository(Action::Push);
    /// What is asked before each push.
    LfsVerifyLocks: POST "/{name}/info/lfs/locks/verify", Need::Repository(Action::Push);
    /// Somebody else's takes the right to delete besides.
    LfsUnlock: POST "/{name}/info/lfs/locks/{lock}/unlock", Need::Repository(Action::Push);
    /// What clients of MLflow's artifact server may count on: of the service, and of nothing in it.
    MlflowServerInfo: GET "/api/3.0/mlflow/server-info", Need::Nothing;
    /// The directory is in the query.
    ListArtifacts: GET "/api/2.0/mlflow-artifacts/artifacts", Need::Repository(Action::Pull);
    ReadArtifact: GET "/api/2.0/mlflow-artifacts/artifacts/{path}", Need::Repository(Action::Pull);
    PutArtifact: PUT "/api/2.0/mlflow-artifacts/artifacts/{path}", Need::Repository(Action::Push);
    DeleteArtifacts: DELETE "/api/2.0/mlflow-artifacts/artifacts/{path}", Need::Repository(Action::Delete);
    BeginArtifact: POST "/api/2.0/mlflow-artifacts/mpu/create/{path}", Need::Repository(Action::Push);
    CompleteArtifact: POST "/api/2.0/mlflow-artifacts/mpu/complete/{path}", Need::Repository(Action::Push);
    AbortArtifact: POST "/api/2.0/mlflow-artifacts/mpu/abort/{path}", Need::Repository(Action::Push);
    PresignArtifact: GET "/api/2.0/mlflow-artifacts/presigned/{path}", Need::Repository(Action::Pull);

    /// The Hugging Face Hub. Of the first two the project is in the body, and takes the right to push or to delete.
    HubCreateRepository: POST "/api/repos/create", Need::Account;
    HubDeleteRepository: DELETE "/api/repos/delete", Need::Account;
    HubWhoAmI: GET "/api/whoami-v2", Need::Account;
    HubValidateCard: POST "/api/validate-yaml", Need::Nothing;
    /// Those that whoever asks may see.
    HubListRepositories: GET "/api/{kind}", Need::Nothing;
    HubReadRepository: GET "/api/{kind}/{name}", Need::Repository(Action::Pull);
    HubAuthCheck: GET "/api/{kind}/{name}/auth-check", Need::Repository(Action::Pull);
    HubListRefs: GET "/api/{kind}/{name}/refs", Need::Repository(Action::Pull);
    HubReadRevision: GET "/api/{kind}/{name}/revision/{revision}", Need::Repository(Action::Pull);
    HubListTree: GET "/api/{kind}/{name}/tree/{revision}/{file}", Need::Repository(Action::Pull);
    HubPathsInfo: POST "/api/{kind}/{name}/paths-info/{revision}", Need::Repository(Action::Pull);
    HubListCommits: GET "/api/{kind}/{name}/commits/{revision}", Need::Repository(Action::Pull);
    /// These two take the right to pull besides: what is there shows in their answers.
    HubPreupload: POST "/api/{kind}/{name}/preupload/{revision}", Need::Repository(Action::Push);
    HubCommit: POST "/api/{kind}/{name}/commit/{revision}", Need::Repository(Action::Push);
    HubCreateBranch: POST "/api/{kind}/{name}/branch/{branch}", Need::Repository(Action::Push);
    HubDeleteBranch: DELETE "/api/{kind}/{name}/branch/{branch}", Need::Repository(Action::Delete);
    HubCreateTag: POST "/api/{kind}/{name}/tag/{revision}", Need::Repository(Action::Push);
    HubDeleteTag: DELETE "/api/{kind}/{name}/tag/{tag}", Need::Repository(Action::Delete);
    /// There is none, whatever it is asked about.
    HubXetToken: GET "/api/{kind}/{name}/xet-write-token/{revision}", Need::Nothing;
    HubResolve: GET "/{name}/resolve/{revision}/{file}", Need::Repository(Action::Pull);

    /// Those that whoever asks may see.
    ListProjects: GET "/api/v2.0/projects", Need::Nothing;
    CreateProject: POST "/api/v2.0/projects", Need::Account;
    /// Found only where whoever asks may see it.
    FindProject: HEAD "/api/v2.0/projects", Need::Account;
    ReadProject: GET "/api/v2.0/projects/{name_or_id}", Need::Project(ProjectRight::See);
    UpdateProject: PUT "/api/v2.0/projects/{name_or_id}", Need::Project(ProjectRight::Manage);
    DeleteProject: DELETE "/api/v2.0/projects/{name_or_id}", Need::Project(ProjectRight::Manage);
    ListMembers: GET "/api/v2.0/projects/{name_or_id}/members", Need::Project(ProjectRight::SeeInside);
    AddMember: POST "/api/v2.0/projects/{name_or_id}/members", Need::Project(ProjectRight::Manage);
    ReadMember: GET "/api/v2.0/projects/{name_or_id}/members/{member}", Need::Project(ProjectRight::SeeInside);
    UpdateMember: PUT "/api/v2.0/projects/{name_or_id}/members/{member}", Need::Project(ProjectRight::Manage);
    RemoveMember: DELETE "/api/v2.0/projects/{name_or_id}/members/{member}", Need::Project(ProjectRight::Manage);
    /// Where deliveries go, and what they carry, is the managers' alone to see.
    ListWebhooks: GET "/api/v2.0/projects/{name_or_id}/webhook/policies", Need::Project(ProjectRight::Manage);
    CreateWebhook: POST "/api/v2.0/projects/{name_or_id}/webhook/policies", Need::Project(ProjectRight::Manage);
    ReadWebhook: GET "/api/v2.0/projects/{name_or_id}/webhook/policies/{webhook}", Need::Project(ProjectRight::Manage);
    UpdateWebhook: PUT "/api/v2.0/projects/{name_or_id}/webhook/policies/{webhook}", Need::Project(ProjectRight::Manage);
    DeleteWebhook: DELETE "/api/v2.0/projects/{name_or_id}/webhook/policies/{webhook}", Need::Project(ProjectRight::Manage);
    ListWebhookEvents: GET "/api/v2.0/projects/{name_or_id}/webhook/events", Need::Project(ProjectRight::Manage);
    ListWebhookTriggers: GET "/api/v2.0/projects/{name_or_id}/webhook/lasttrigger", Need::Project(ProjectRight::Manage);
    /// Those of projects that whoever asks manages.
    ListRobots: GET "/api/v2.0/robots", Need::Account;
    /// The project is in the body.
    CreateRobot: POST "/api/v2.0/robots", Need::Project(ProjectRight::Manage);
    ReadRobot: GET "/api/v2.0/robots/{robot}", Need::Robot;
    UpdateRobot: PUT "/api/v2.0/robots/{robot}", Need::Robot;
    RotateRobot: PATCH "/api/v2.0/robots/{robot}", Need::Robot;
    DeleteRobot: DELETE "/api/v2.0/robots/{robot}", Need::Robot;
    /// Those of projects that whoever asks is in.
    ListQuotas: GET "/api/v2.0/quotas", Need::Account;
    ReadQuota: GET "/api/v2.0/quotas/{quota}", Need::Project(ProjectRight::SeeInside);
    UpdateQuota: PUT "/api/v2.0/quotas/{quota}", Need::Project(ProjectRight::Manage);
    ReadCurrentUser: GET "/api/v2.0/users/current", Need::Account;
    ListUsers: GET "/api/v2.0/users", Need::Administrator;
    CreateUser: POST "/api/v2.0/users", Need::Administrator;
    ReadUser: GET "/api/v2.0/users/{user}", Need::User;
    DeleteUser: DELETE "/api/v2.0/users/{user}", Need::Administrator;
    ChangePassword: PUT "/api/v2.0/users/{user}/password", Need::User;
    SetAdministrator: PUT "/api/v2.0/users/{user}/sysadmin", Need::Administrator;
    ListTokens: GET "/api/v2.0/users/{user}/tokens", Need::User;
    CreateToken: POST "/api/v2.0/users/{user}/tokens", Need::User;
    RevokeToken: DELETE "/api/v2.0/users/{user}/tokens/{token}", Need::User;
    ListUserKeys: GET "/api/v2.0/users/{user}/keys", Need::User;
    AddUserKey: POST "/api/v2.0/users/{user}/keys", Need::User;
    RemoveUserKey: DELETE "/api/v2.0/users/{user}/keys/{key}", Need::User;
}

/// Where requests come in, by what their paths begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Registry,
    /// Its paths begin with a repository's name.
    Lfs,
    Mlflow,
    /// Resumable uploads of browsers and phones.
    Tus,
    /// The Hugging Face Hub.
    Hub,
    Api,
    /// The service itself: what it is, tokens, and URLs that it has signed.
    Service,
}

impl Door {
    /// The front door of a path: that of a request, or of the table above.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path {
            path if path.starts_with(REGISTRY) => Self::Registry,
            // Before the one whose paths begin alike.
            path if path.starts_with(MLFLOW) => Self::Mlflow,
            // A project may be called so, and have repositories of Git LFS.
            path if path.starts_with(TUS) && !path.contains(LFS) => Self::Tus,
            path if is_of_hub(path) => Self::Hub,
            path if path.starts_with(API) => Self::Api,
            path if path.contains(LFS) => Self::Lfs,
            _ => Self::Service,
        }
    }
}

/// The API's paths begin with a kind of repositories; those of files have `resolve` behind a repository's name.
fn is_of_hub(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    if let Some(rest) = path.strip_prefix("api/") {
        return HUB_API.contains(&rest.split('/').next().unwrap_or_default());
    }
    let name = path.strip_prefix("datasets/").or_else(|| path.strip_prefix("spaces/")).unwrap_or(path);
    path.starts_with("{name}/resolve/") || name.split('/').nth(2) == Some("resolve")
}

impl Endpoint {
    #[must_use]
    pub fn door(self) -> Door {
        Door::of(self.path())
    }
}
