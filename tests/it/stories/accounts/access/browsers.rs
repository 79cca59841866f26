//! Sessions of browsers, and what others try with them.

use std::sync::Arc;

use chrono::TimeDelta;
use overside::auth::secret::Secret;
use overside::domain::clock::Clock;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{PRIVATE, PUBLIC, Town, Visitor};
use crate::support::Stack;
use crate::support::accounts::{Accounts, PASSWORD};
use crate::support::api::{Answer, database};

const TOKEN: &str = "x-harbor-csrf-token";
/// Needs somebody who is signed in.
const WHO: &str = "/api/v2.0/users/current";

/// What a browser keeps of an answer.
#[derive(Debug, Clone, Default)]
struct Kept {
    cookie: String,
    token: String,
}

impl Kept {
    fn of(answer: &Answer) -> Self {
        let cookie = answer.header("set-cookie").and_then(|line| line.split(';').next()).unwrap_or_default();
        Self { cookie: cookie.to_owned(), token: answer.header(TOKEN).unwrap_or_default().to_owned() }
    }

    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("cookie", &self.cookie).header(TOKEN, &self.token)
    }
}

/// A browser without a session, at one replica.
struct Browser<'a>(&'a str);

impl Browser<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        Visitor::nobody().http.request(method, format!("{}{path}", self.0))
    }

    fn form(&self, name: &str, password: &str) -> RequestBuilder {
        let form = format!("principal={name}&password={}", password.replace(' ', "+"));
        self.request(Method::POST, "/c/login")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
    }

    /// The cookie and the token that the page comes with.
    async fn page(&self) -> Kept {
        Kept::of(&Answer::to(self.request(Method::GET, "/")).await.expect(200))
    }

    async fn sign_in(&self, name: &str) -> Kept {
        let answer = Answer::to(self.page().await.on(self.form(name, PASSWORD))).await.expect(200);
        let line = answer.header("set-cookie").expect("a cookie").to_owned();
        assert!(line.starts_with("sid=") && line.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{line}");
        Kept::of(&answer)
    }

    /// Whether somebody with this session is let in.
    async fn is_in(&self, kept: &Kept) -> bool {
        let answer = Answer::to(self.request(Method::GET, WHO).header("cookie", &kept.cookie)).await;
        assert!(matches!(answer.status, 200 | 401), "{}", answer.status);
        answer.status == 200
    }
}

pub async fn shared(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let flags = ["--auth", "token", "--public-url", "https://registry.example/below"];
    let other = stack.server(&flags).await;
    let (one, two) = (Browser(town.server.base_url()), Browser(other.base_url()));
    let kept = one.sign_in("head").await;
    assert!(one.is_in(&kept).await && two.is_in(&kept).await);
    assert!(!stack.whole_logs().contains(kept.cookie.trim_start_matches("sid=")));

    // At all doors of the page, on the other replica too.
    let project = json!({ "project_name": "made" });
    Answer::to(kept.on(two.request(Method::POST, "/api/v2.0/projects")).json(&project)).await.expect(201);
    let uploads = format!("/v2/{PRIVATE}/app/blobs/uploads/");
    Answer::to(kept.on(one.request(Method::POST, &uploads)).header("content-length", 0)).await.expect(202);
    let tus = one.request(Method::POST, &format!("/tus/{PRIVATE}/app"));
    let tus = tus.header("tus-resumable", "1.0.0").header("upload-length", 3).header("content-length", 0);
    Answer::to(kept.on(tus)).await.expect(201);
    // What is seen is kept nowhere, and comes with the token of the next change.
    let seen = Answer::to(kept.on(one.request(Method::GET, WHO))).await.expect(200);
    assert_eq!((seen.header("cache-control"), seen.header(TOKEN)), (Some("no-store"), Some(&*kept.token)));

    // A service that is found by TLS has its cookies go there alone, and below its own path.
    let page = Answer::to(two.request(Method::GET, "/")).await.expect(200);
    let line = page.header("set-cookie").expect("a cookie");
    assert!(line.ends_with("; Path=/below/; HttpOnly; SameSite=Strict; Secure"), "{line}");

    let left =
        Answer::to(one.request(Method::GET, "/c/log_out").header("cookie", &kept.cookie)).await.expect(200);
    assert_eq!(left.header("set-cookie"), Some("sid=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"));
    assert!(!one.is_in(&kept).await && !two.is_in(&kept).await);
}

pub async fn forged(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let browser = Browser(town.server.base_url());
    let (kept, other) = (browser.sign_in("head").await, browser.sign_in("developer").await);
    let body = json!({ "project_name": "forged" });
    let uploads = format!("/v2/{PRIVATE}/app/blobs/uploads/");
    let changes = [("/api/v2.0/projects", "FORBIDDEN"), (&*uploads, "DENIED")];
    for (path, code) in changes {
        let post = || {
            let post = browser.request(Method::POST, path).header("cookie", &kept.cookie);
            if path == uploads { post.header("content-length", 0) } else { post.json(&body) }
        };
        let own = || post().header(TOKEN, &kept.token);
        let attacks = [
            ("without a token", post()),
            ("with a token of another session", post().header(TOKEN, &other.token)),
            ("from another site", own().header("sec-fetch-site", "cross-site")),
            ("from a neighbour", own().header("sec-fetch-site", "same-site")),
            ("from another origin", own().header("origin", "http://evil.example")),
            ("from an origin that has no name", own().header("origin", "null")),
            ("from another port", own().header("origin", "http://127.0.0.1:1")),
        ];
        for (attack, request) in attacks {
            let answer = Answer::to(request).await;
            assert_eq!(answer.status, 403, "{attack} at {path}: {}", answer.text());
            answer.refused(403, code);
        }
        let fine = own().header("sec-fetch-site", "same-origin").header("origin", browser.0);
        Answer::to(fine).await.expect(if path == uploads { 202 } else { 201 });
    }
    let tus = browser.request(Method::POST, &format!("/tus/{PRIVATE}/app")).header("cookie", &kept.cookie);
    let tus = tus.header("tus-resumable", "1.0.0").header("upload-length", 3).header("content-length", 0);
    Answer::to(tus).await.expect(403);
    // What another site's page asks for is answered as if nobody had signed in.
    let read = browser.request(Method::GET, WHO).header("cookie", &kept.cookie);
    Answer::to(read.header("sec-fetch-site", "cross-site")).await.expect(401);
    let out = browser.request(Method::GET, "/c/log_out").header("cookie", &kept.cookie);
    Answer::to(out.header("sec-fetch-site", "cross-site")).await.refused(403, "FORBIDDEN");
    assert!(browser.is_in(&kept).await);
    // A cookie that comes twice, as one that was set for another path or by a neighbour, is nobody's.
    for cookies in [format!("{}; {}", other.cookie, kept.cookie), format!("{0}; {0}", kept.cookie)] {
        assert!(!browser.is_in(&Kept { cookie: cookies, ..Kept::default() }).await);
    }
    // One of somebody else's that is no ASCII hides none.
    let beside = format!("theme=\u{e9}; {}", kept.cookie);
    assert!(browser.is_in(&Kept { cookie: beside, ..Kept::default() }).await);
    // Whoever leaves with several sessions has all of them end.
    let both = format!("{}; {}", other.cookie, kept.cookie);
    Answer::to(browser.request(Method::GET, "/c/log_out").header("cookie", both)).await.expect(200);
    assert!(!browser.is_in(&kept).await && !browser.is_in(&other).await);
}

pub async fn planted(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let browser = Browser(town.server.base_url());
    // Signing somebody in as another takes a token that only this service's page is told.
    let refused = Answer::to(browser.form("stranger", PASSWORD)).await;
    refused.refused(403, "FORBIDDEN");
    let page = Kept::of(&refused);
    assert!(page.cookie.starts_with("_gorilla_csrf=") && !page.token.is_empty());
    let elsewhere = browser.page().await;
    let form = || browser.form("stranger", PASSWORD);
    let attacks = [
        form().header(TOKEN, &page.token),
        form().header("cookie", &page.cookie).header(TOKEN, &elsewhere.token),
        page.on(form()).header("origin", "http://evil.example"),
        page.on(form()).header("sec-fetch-site", "cross-site"),
    ];
    for attack in attacks {
        Answer::to(attack).await.refused(403, "FORBIDDEN");
    }

    // An id that somebody else has chosen, or knows, is no session after signing in.
    let planted = "sid=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let before = browser.sign_in("stranger").await;
    for known in [planted, &before.cookie] {
        let cookies = format!("{}; {known}", page.cookie);
        let answer = form().header("cookie", cookies).header(TOKEN, &page.token);
        let kept = Kept::of(&Answer::to(answer).await.expect(200));
        assert_ne!(kept.cookie, known);
        let known = Kept { cookie: known.to_owned(), ..Kept::default() };
        assert!(browser.is_in(&kept).await && !browser.is_in(&known).await);
    }
    // A page's own script is told who it is not, and the browser opens no window of its own.
    let script = browser.request(Method::GET, WHO).header("sec-fetch-mode", "cors");
    assert_eq!(Answer::to(script).await.expect(401).header("www-authenticate"), None);
    let wrong = Answer::to(page.on(browser.form("stranger", "wrong"))).await;
    wrong.refused(401, "UNAUTHORIZED");
    let missing = page.on(browser.request(Method::POST, "/c/login")).body("principal=stranger");
    Answer::to(missing).await.refused(400, "BAD_REQUEST");
}

pub async fn ended(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let browser = Browser(town.server.base_url());
    let operator = &town.visitor("operator").http;
    let users = Answer::to(operator.get(town.url("/api/v2.0/users?page_size=100"))).await.json();
    let id = |name: &str| {
        let found = users.as_array().expect("users").iter().find(|user| user["username"] == name);
        found.expect("the user")["user_id"].clone()
    };
    let (changed, deleted) = (browser.sign_in("guest").await, browser.sign_in("developer").await);
    let bystander = browser.sign_in("head").await;
    let path = format!("/api/v2.0/users/{}/password", id("guest"));
    let body = json!({ "new_password": "Another one, 1 of them" });
    Answer::to(operator.put(town.url(&path)).json(&body)).await.expect(200);
    let path = format!("/api/v2.0/users/{}", id("developer"));
    Answer::to(operator.delete(town.url(&path))).await.expect(200);
    assert!(!browser.is_in(&changed).await && !browser.is_in(&deleted).await);
    assert!(browser.is_in(&bystander).await);

    // By time: unless something is asked for, and at the latest.
    let (db, now) = (database(&stack).await, Clock::System.now());
    let head = db.find_user_account("head").await.expect("an answer").expect("the user");
    let (hour, minute) = (TimeDelta::hours(1), TimeDelta::minutes(1));
    for (ends, is_in, then) in [
        ((now + minute, now + hour), true, Some(now + hour)),
        ((now + hour, now + hour), true, Some(now + hour)),
        ((now - minute, now + hour), false, None),
    ] {
        let id = Secret::generate();
        let stored = head.password_hash.as_deref().expect("a password");
        assert!(db.insert_browser_session(&id.hash(), head.id, stored, ends, 10).await.expect("an answer"));
        let kept = Kept { cookie: format!("sid={}", id.reveal()), ..Kept::default() };
        assert_eq!(browser.is_in(&kept).await, is_in);
        let found = db.find_browser_session(&id.hash(), now).await.expect("an answer");
        assert_eq!(found.map(|session| session.expires_at), then);
    }
}

pub async fn beside_programs(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let browser = Browser(town.server.base_url());
    let kept = browser.sign_in("operator").await;
    let get = |visitor: &Visitor, path: &str| visitor.http.get(town.url(path)).header("cookie", &kept.cookie);
    let who = Answer::to(get(town.visitor("guest"), WHO)).await.expect(200).json();
    assert_eq!(who["username"], "guest");
    let wrong = Visitor::basic("guesser", "guest", "wrong password");
    Answer::to(get(&wrong, WHO)).await.expect(401);
    // What says who it is needs no token.
    let project = json!({ "project_name": "by-a-program" });
    let post = town.visitor("head").http.post(town.url("/api/v2.0/projects"));
    Answer::to(post.header("cookie", &kept.cookie).json(&project)).await.expect(201);
    // Other front doors take no cookies.
    let nobody = Visitor::nobody();
    let locks = format!("/{PRIVATE}/app/info/lfs/locks");
    let artifacts = format!("/api/2.0/mlflow-artifacts/artifacts?path={PRIVATE}");
    for path in [&*locks, &*artifacts, "/api/whoami-v2"] {
        Answer::to(get(&nobody, path)).await.expect(401);
    }
    let scope = format!("/service/token?scope=repository:{PRIVATE}/app:pull");
    let token = Answer::to(get(&nobody, &scope)).await.expect(200).json();
    let bearer = Visitor::bearer("bearer", token["token"].as_str().expect("a token"));
    let tags = |project: &str| town.url(&format!("/v2/{project}/app/tags/list"));
    Answer::to(bearer.http.get(tags(PRIVATE))).await.expect(401);
    // A session that has ended sees what everybody sees.
    Answer::to(
        nobody.http.get(town.url(&format!("/api/v2.0/projects/{PUBLIC}"))).header("cookie", "sid=gone"),
    )
    .await
    .expect(200);
}

pub async fn guessed(stack: Arc<Stack>) {
    let server = stack.server(&["--auth", "token"]).await;
    Accounts::of(&stack).await.user("alice").await;
    let browser = Browser(server.base_url());
    let page = browser.page().await;
    for guess in 0..30 {
        let answer = Answer::to(page.on(browser.form("alice", &format!("guess-{guess}")))).await;
        if answer.status == 429 {
            answer.refused(429, "TOO_MANY_REQUEST");
            assert!(guess >= 5, "people mistype, and {guess} times is few");
            return;
        }
        answer.refused(401, "UNAUTHORIZED");
    }
    panic!("nothing slows it down");
}
