//! The Docker token flow.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{PRIVATE, PUBLIC, Town, Visitor};
use crate::support::Stack;
use crate::support::api::Answer;
use crate::support::process::Server;

/// What the token endpoint answers to these scopes.
async fn ask(server: &Server, visitor: &Visitor, scopes: &[&str]) -> Answer {
    let mut query: Vec<_> = scopes.iter().map(|scope| ("scope", *scope)).collect();
    query.push(("service", "overside"));
    Answer::to(visitor.http.get(format!("{}/service/token", server.base_url())).query(&query)).await
}

pub async fn token(server: &Server, visitor: &Visitor, scopes: &[&str]) -> String {
    let answer = ask(server, visitor, scopes).await.expect(200).json();
    answer["token"].as_str().expect("a token").to_owned()
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("claims");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("Base64")).expect("JSON")
}

fn access(kind: &str, name: &str, actions: &[&str]) -> Value {
    json!({ "type": kind, "name": name, "actions": actions })
}

pub async fn granted(stack: Arc<Stack>) {
    let town = Town::new(&stack, &["--token-lifetime", "2m"]).await;
    let answer =
        ask(&town.server, town.visitor("guest"), &["repository:inner/app:pull,push"]).await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.json();
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["expires_in"], 120);
    let says = claims(answer["token"].as_str().expect("a token"));
    assert_eq!(
        (&says["sub"], &says["aud"], &says["iss"]),
        (&json!("guest"), &json!("overside"), &json!("overside"))
    );
    assert_eq!(says["exp"].as_i64().zip(says["nbf"].as_i64()).map(|(end, begin)| end - begin), Some(120));

    let (private, public) = (format!("{PRIVATE}/app"), format!("{PUBLIC}/app"));
    let all = "repository:inner/app:pull,push,delete";
    let pulls = vec![access("repository", &private, &["pull"])];
    let cases: Vec<(&str, Vec<&str>, Vec<Value>)> = vec![
        ("nobody", vec![all], vec![]),
        ("nobody", vec!["repository:outer/app:pull,push"], vec![access("repository", &public, &["pull"])]),
        ("stranger", vec![all], vec![]),
        ("guest", vec![all], pulls.clone()),
        ("developer", vec![all], vec![access("repository", &private, &["pull", "push"])]),
        (
            "maintainer",
            vec!["repository:inner/app:*"],
            vec![access("repository", &private, &["pull", "push", "delete"])],
        ),
        ("puller", vec![all], pulls.clone()),
        // Several times, several in one, the same twice, and kinds that there are elsewhere.
        (
            "guest",
            vec!["repository:inner/app:pull", "repository:outer/app:pull"],
            vec![pulls[0].clone(), access("repository", &public, &["pull"])],
        ),
        (
            "guest",
            vec!["repository:inner/app:pull repository:outer/app:pull"],
            vec![pulls[0].clone(), access("repository", &public, &["pull"])],
        ),
        (
            "developer",
            vec!["repository:inner/app:pull", "repository:inner/app:push"],
            vec![access("repository", &private, &["pull", "push"])],
        ),
        (
            "developer",
            vec![
                "repository(plugin):inner/app:pull",
                "artifact:x:y",
                "repository:NOT-A-NAME:pull",
                "repository:inner/app:fly",
            ],
            pulls.clone(),
        ),
        ("stranger", vec!["registry:catalog:*"], vec![access("registry", "catalog", &["*"])]),
        ("nobody", vec!["registry:catalog:*"], vec![]),
        // Nobody has a project that is not there.
        ("operator", vec!["repository:empty/app:pull,push"], vec![]),
        ("guest", vec![], vec![]),
    ];
    for (visitor, scopes, expected) in cases {
        let token = token(&town.server, town.visitor(visitor), &scopes).await;
        assert_eq!(claims(&token)["access"], json!(expected), "{visitor}: {scopes:?}");
    }

    // As Docker's clients ask that speak OAuth2.
    let form = |fields: &[(&str, &str)]| {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let post = crate::support::http().post(town.url("/service/token"));
        Answer::to(post.header("content-type", "application/x-www-form-urlencoded").body(body))
    };
    let password = crate::support::accounts::PASSWORD;
    let mut fields = [
        ("grant_type", "password"),
        ("service", "overside"),
        ("client_id", "docker"),
        ("scope", all),
        ("username", "developer"),
        ("password", password),
    ];
    let answer = form(&fields).await.expect(200).json();
    let says = claims(answer["access_token"].as_str().expect("a token"));
    assert_eq!(says["access"], json!([access("repository", &private, &["pull", "push"])]));
    fields[5].1 = "wrong password";
    form(&fields).await.refused(401, "UNAUTHORIZED");
    fields[0].1 = "refresh_token";
    form(&fields).await.refused(400, "UNSUPPORTED");
    form(&fields[..1]).await.refused(400, "UNSUPPORTED");
    form(&[]).await.refused(400, "UNSUPPORTED");
}

pub async fn refused(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let get = |query: &[(&str, &str)]| {
        Answer::to(crate::support::http().get(town.url("/service/token")).query(query))
    };
    get(&[("service", "another")]).await.refused(400, "UNSUPPORTED");
    // What is no scope spoils none that is.
    for scope in ["nonsense", "repository", "repository:inner/app", "repository(plugin)::pull"] {
        let both = format!("{scope} repository:inner/app:pull");
        let says = claims(&token(&town.server, town.visitor("developer"), &[&both]).await);
        assert_eq!(says["access"], json!([access("repository", "inner/app", &["pull"])]), "{scope}");
    }
    let many: Vec<_> = (0..101).map(|n| format!("repository:inner/app{n}:pull")).collect();
    let many: Vec<_> = many.iter().map(|scope| ("scope", scope.as_str())).collect();
    get(&many).await.refused(400, "UNSUPPORTED");
    for (name, secret) in [
        ("developer", "wrong password"),
        ("nobody", "x"),
        ("robot$inner+puller", "x"),
        ("robot$inner+none", "x"),
        ("developer", ""),
    ] {
        let answer = ask(&town.server, &Visitor::basic("wrong", name, secret), &[]).await;
        answer.refused(401, "UNAUTHORIZED");
    }
    for authorization in ["Basic", "Basic !!", "Basic bm9jb2xvbg==", "Digest x", "Bearer", "Bearer x.y.z"] {
        let visitor = Visitor::new("odd", Some(authorization.to_owned()));
        ask(&town.server, &visitor, &[]).await.refused(401, "UNAUTHORIZED");
        Answer::to(visitor.http.get(town.url("/v2/"))).await.refused(401, "UNAUTHORIZED");
    }
}

pub async fn challenged(stack: Arc<Stack>) {
    let town = Town::new(
        &stack,
        &["--public-url", "https://registry.example/below", "--token-service", "registry.example"],
    )
    .await;
    let realm = "Bearer realm=\"https://registry.example/below/service/token\",service=\"registry.example\"";
    let http = crate::support::http();
    let digest = overside::domain::digest::Digest::EMPTY;
    for (request, scope) in [
        (http.get(town.url("/v2/")), None),
        (http.get(town.url("/v2/_catalog")), Some("registry:catalog:*".to_owned())),
        (http.get(town.url("/v2/inner/app/manifests/v1")), Some("repository:inner/app:pull".to_owned())),
        (http.get(town.url("/v2/empty/app/manifests/v1")), Some("repository:empty/app:pull".to_owned())),
        (
            http.post(town.url("/v2/inner/app/blobs/uploads/")),
            Some("repository:inner/app:pull,push".to_owned()),
        ),
        (
            http.delete(town.url(&format!("/v2/inner/app/blobs/{digest}"))),
            Some("repository:inner/app:delete".to_owned()),
        ),
    ] {
        let answer = Answer::to(request).await;
        let expected = scope.map_or_else(|| realm.to_owned(), |scope| format!("{realm},scope=\"{scope}\""));
        assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()));
        assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
        answer.refused(401, "UNAUTHORIZED");
    }
    let query = [("scope", "repository:inner/app:pull"), ("service", "registry.example")];
    let narrow =
        Answer::to(town.visitor("developer").http.get(town.url("/service/token")).query(&query)).await;
    let narrow = narrow.expect(200).json()["token"].as_str().expect("a token").to_owned();
    let narrow = Visitor::bearer("narrow", &narrow);
    let answer = Answer::to(narrow.http.post(town.url("/v2/inner/app/blobs/uploads/"))).await;
    let expected = format!("{realm},scope=\"repository:inner/app:pull,push\",error=\"insufficient_scope\"");
    assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()));
    let answer = Answer::to(Visitor::bearer("wrong", "a.b.c").http.get(town.url("/v2/"))).await;
    assert_eq!(answer.header("www-authenticate"), Some(format!("{realm},error=\"invalid_token\"").as_str()));

    // Where nobody said what clients call it, each is sent to where it found it: clients refuse to be sent to another
    // host than the one they were told (crane 0.22, oras 1.3, helm 3 and 4).
    let untold = stack.server(&["--auth", "token"]).await;
    for (host, expected) in [
        ("localhost:5000", Some("http://localhost:5000/service/token")),
        ("[::1]:5000", Some("http://[::1]:5000/service/token")),
        ("user@evil.example", None),
        ("a\"b", None),
    ] {
        let answer = Answer::to(http.get(format!("{}/v2/", untold.base_url())).header("host", host)).await;
        let challenge = answer.header("www-authenticate").unwrap_or_default().to_owned();
        let realm = challenge.split('"').nth(1).filter(|realm| realm.starts_with("http"));
        assert_eq!(realm, expected, "{challenge}");
    }
    // An empty entry in a client's configuration is nobody's sign-in.
    let empty = Visitor::basic("empty", "", "");
    Answer::to(empty.http.get(town.url("/v2/outer/app/tags/list"))).await.refused(404, "NAME_UNKNOWN");
}

pub async fn forged(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let good = token(&town.server, town.visitor("guest"), &["repository:inner/app:pull"]).await;
    let part = |index: usize| good.split('.').nth(index).expect("three parts").to_owned();
    let (header, says, signature) = (part(0), claims(&good), part(2));
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let with = |field: &str, value: Value| {
        let mut says = says.clone();
        says[field] = value;
        format!("{header}.{}.{signature}", encoded(&says))
    };
    let unsigned = encoded(&json!({ "alg": "none", "typ": "JWT" }));
    for (what, forged) in [
        ("another subject", with("sub", json!("operator"))),
        ("a wider scope", with("access", json!([access("repository", "inner/app", &["pull", "push"])]))),
        ("a longer life", with("exp", json!(4_102_444_800_i64))),
        ("another audience", with("aud", json!("another"))),
        ("no signature", format!("{unsigned}.{}.", part(1))),
        ("an empty signature", format!("{header}.{}.", part(1))),
        ("another signature", format!("{header}.{}.{}", part(1), URL_SAFE_NO_PAD.encode([7; 64]))),
        ("nothing", String::new()),
    ] {
        let visitor = Visitor::bearer("forger", &forged);
        for path in ["/v2/", "/v2/inner/app/tags/list", "/v2/outer/app/tags/list"] {
            let answer = Answer::to(visitor.http.get(town.url(path))).await;
            assert_eq!(answer.status, 401, "{what}: {path}: {}", answer.text());
        }
    }
    // Signed by the same keys for a service of another name.
    let other = stack.server(&["--auth", "token", "--token-service", "another"]).await;
    let theirs = Answer::to(
        town.visitor("guest")
            .http
            .get(format!("{}/service/token?scope=repository:inner/app:pull", other.base_url())),
    );
    let theirs = theirs.await.expect(200).json()["token"].as_str().expect("a token").to_owned();
    Answer::to(Visitor::bearer("other", &theirs).http.get(town.url("/v2/")))
        .await
        .refused(401, "UNAUTHORIZED");
    Answer::to(Visitor::bearer("good", &good).http.get(town.url("/v2/"))).await.expect(200);
}

pub async fn unpermitted(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let push = async |visitor: &Visitor, project: &str, scope: &str| {
        let scope = format!("repository:{project}/app:{scope}");
        let bearer = Visitor::bearer("bearer", &token(&town.server, visitor, &[&scope]).await);
        let post = |visitor: &Visitor| {
            let url = town.url(&format!("/v2/{project}/app/blobs/uploads/"));
            Answer::to(visitor.http.post(url).header("content-length", 0))
        };
        let (by_token, by_password) = (post(&bearer).await, post(visitor).await);
        by_password.refused(
            if visitor.name == "nobody" { 401 } else { 403 },
            if visitor.name == "nobody" { "UNAUTHORIZED" } else { "DENIED" },
        );
        let challenge = by_token.header("www-authenticate").expect("a challenge").to_owned();
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        let message = by_token.refused(401, "UNAUTHORIZED");
        if visitor.name != "nobody" {
            assert_eq!(by_password.refused(403, "DENIED"), message, "the same, however it is asked");
        }
        message
    };
    let both = "pull,push";
    let guest = push(town.visitor("guest"), PRIVATE, both).await;
    let told = format!(
        "guest is guest of project {PRIVATE}, and this takes developer; an admin of the project can see to it: \
         `overside project member set {PRIVATE} guest developer`"
    );
    assert_eq!(guest, told);
    let nowhere = push(town.visitor("guest"), "nowhere", both).await;
    crate::support::Accounts::of(&stack).await.project("elsewhere", false).await;
    let elsewhere = push(town.visitor("guest"), "elsewhere", both).await;
    assert!(nowhere.starts_with("guest has no permission to push to this repository"), "{nowhere}");
    assert_eq!(nowhere.replace("nowhere", "elsewhere"), elsewhere, "whether it is there or not");
    let operator = push(town.visitor("operator"), "nowhere", both).await;
    assert!(
        operator.contains("there is no project nowhere") && operator.contains("project create nowhere"),
        "{operator}"
    );
    let nobody = push(town.visitor("nobody"), PUBLIC, both).await;
    assert!(nobody.contains("sign in first"), "{nobody}");
    // Whoever may, with a token that says less, is to get another.
    let narrow =
        token(&town.server, town.visitor("developer"), &[&format!("repository:{PRIVATE}/app:pull")]).await;
    let post =
        Visitor::bearer("bearer", &narrow).http.post(town.url(&format!("/v2/{PRIVATE}/app/blobs/uploads/")));
    let narrow = Answer::to(post.header("content-length", 0)).await.refused(401, "UNAUTHORIZED");
    assert!(narrow.contains("get one for the scope"), "{narrow}");
}

pub async fn shared(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let scope = ["repository:inner/app:pull"];
    let first = token(&town.server, town.visitor("guest"), &scope).await;
    let key = |token: &str| {
        let header = token.split('.').next().expect("a header");
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("Base64")).expect("JSON");
        header["kid"].as_str().expect("a key").to_owned()
    };
    // A replica for which every key is too old makes one of its own.
    let other = stack.server(&["--auth", "token", "--token-key-lifetime", "2s"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = token(&other, town.visitor("guest"), &scope).await;
    assert_ne!(key(&first), key(&second));
    for (server, token) in
        [(town.server.base_url(), &second), (other.base_url(), &first), (town.server.base_url(), &first)]
    {
        let visitor = Visitor::bearer("guest", token);
        Answer::to(visitor.http.get(format!("{server}/v2/"))).await.expect(200);
    }
    // Restarted, they are the same.
    drop(town.server);
    let restarted = stack.server(&["--auth", "token"]).await;
    Answer::to(Visitor::bearer("guest", &second).http.get(format!("{}/v2/", restarted.base_url())))
        .await
        .expect(200);
}
