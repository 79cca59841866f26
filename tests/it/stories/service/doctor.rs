//! `overside doctor`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;

use crate::support::stack::CommandOutput;
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, StackKind, Store};

pub fn cases() -> Vec<Story> {
    vec![
        ("doctor_finds_a_healthy_stack_healthy_and_leaves_nothing", healthy),
        ("doctor_names_what_is_broken_and_its_mend", broken),
        ("doctor_sees_keys_that_the_store_does_not_take", wrong_keys),
        ("doctor_says_which_clients_do_not_follow_to_the_bucket", downloads),
    ]
}

fn healthy(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.guarded_server(&["--cors-origin", "https://ui.example"]).await;
        let at = ["--server", server.base_url(), "--origin", "https://ui.example"];
        let report = report(&stack.command(&[&["doctor", "--json"][..], &at].concat()).await, 0);
        assert_eq!(report["healthy"], true, "{report}");
        let verdict = |subject: &str| {
            let findings = report["findings"].as_array().expect("findings");
            findings
                .iter()
                .find(|finding| finding["subject"] == subject)
                .map(|finding| finding["verdict"].clone())
        };
        let subjects: &[&str] = match stack.store {
            Store::S3 { .. } => &[
                "sign-in",
                "service CORS",
                "database",
                "schema",
                "clock",
                "bucket",
                "objects",
                "presigned PUT",
                "multipart",
            ],
            Store::Filesystem { .. } => &["sign-in", "service CORS", "database", "schema", "store"],
        };
        for subject in subjects {
            assert_eq!(verdict(subject), Some("good".into()), "{subject}: {report}");
        }
        // The name of this machine and its address are not one place to clients that guard against being led astray.
        let named = server.base_url().replace("127.0.0.1", "localhost");
        let elsewhere = ["doctor", "--server", &named, "--origin", "https://other.example"];
        let other = stack.command(&elsewhere).await;
        assert!(other.stdout.contains("warning  service CORS"), "{}", other.stdout);
        let text = stack.command(&["doctor"]).await;
        assert_eq!(text.code, Some(0), "{}", text.stdout);
        assert!(
            !text.stdout.contains("BROKEN") && text.stdout.contains("ok       database"),
            "{}",
            text.stdout
        );
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert_eq!(stack.objects().await, vec![]);
    }
    .boxed()
}

fn downloads(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { .. } = &stack.store else { not_here("a folder has nowhere to send anybody") };
        assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
        for (flags, verdict, expected) in [
            (["--public-url", "http://127.0.0.1:5000"], "warning", "password or token"),
            (["--public-url", "https://registry.example"], "warning", "go-containerregistry"),
        ] {
            let report = report(&stack.command(&[&["doctor", "--json"][..], &flags].concat()).await, 0);
            let findings = report["findings"].as_array().expect("findings");
            let finding = findings.iter().find(|finding| finding["subject"] == "downloads").expect("one");
            assert_eq!(finding["verdict"], verdict);
            let detail = finding["detail"].as_str().expect("a sentence");
            assert!(detail.contains("127.0.0.1") && detail.contains(expected), "{detail}");
        }
    }
    .boxed()
}

fn broken(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let new = report(&stack.command(&["doctor", "--json"]).await, 1);
        if stack.kind == StackKind::SqliteFilesystem {
            assert!(mend_of(&new, "database").contains("`overside serve`"), "{new}");
        } else {
            assert_eq!(mend_of(&new, "schema"), "run `overside migrate`");
        }
        assert_eq!(stack.command(&["migrate"]).await.code, Some(0));

        let unreachable =
            ["doctor", "--json", "--database", "postgres://nobody:secret-word@127.0.0.1:1/none"];
        let unreachable = stack.command(&unreachable).await;
        assert!(!unreachable.stdout.contains("secret-word") && !unreachable.stderr.contains("secret-word"));
        assert!(mend_of(&report(&unreachable, 1), "database").contains("--database"));

        let text = match &stack.store {
            Store::S3 { .. } => {
                let missing = ["doctor", "--json", "--storage", "s3://there-is-no-such-bucket"];
                let missing = report(&stack.command(&missing).await, 1);
                assert!(mend_of(&missing, "bucket").contains("--storage"), "{missing}");
                let nobody = ["doctor", "--json", "--s3-endpoint", "http://127.0.0.1:1"];
                let nobody = report(&stack.command(&nobody).await, 1);
                assert!(mend_of(&nobody, "clock").contains("--s3-endpoint"), "{nobody}");
                stack.command(&["doctor", "--storage", "s3://there-is-no-such-bucket"]).await
            }
            Store::Filesystem { .. } => {
                let file = stack.folder().join("a-file");
                std::fs::write(&file, "no folder").expect("a file");
                let storage = format!("file://{}", file.display());
                let file = report(&stack.command(&["doctor", "--json", "--storage", &storage]).await, 1);
                assert!(mend_of(&file, "store").contains("--storage"), "{file}");
                stack.command(&["doctor", "--storage", &storage]).await
            }
        };
        assert_eq!(text.code, Some(1));
        assert!(
            text.stdout.contains("BROKEN") && text.stdout.contains("\n                          -> "),
            "{}",
            text.stdout
        );
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn wrong_keys(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        // A folder takes no keys, and LocalStack takes any: there is nothing to see.
        if stack.kind != StackKind::PostgresSeaweedFs {
            not_here("it is about a store that checks keys");
        }
        assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
        let mut command = stack.binary();
        command.args(["doctor", "--json"]).env("AWS_SECRET_ACCESS_KEY", "a-wrong-secret-word");
        let done = stack.run(&mut command).await;
        assert!(mend_of(&report(&done, 1), "bucket").contains("credentials"), "{}", done.stdout);
        assert!(!done.stdout.contains("a-wrong-secret-word") && !done.stderr.contains("a-wrong-secret-word"));
        command = stack.binary();
        command.args(["serve"]).env("AWS_SECRET_ACCESS_KEY", "a-wrong-secret-word");
        let done = stack.run(&mut command).await;
        assert_eq!(done.code, Some(1));
        assert!(
            done.stderr.contains("overside doctor") && !done.stderr.contains("a-wrong-secret-word"),
            "{}",
            done.stderr
        );
    }
    .boxed()
}

/// The JSON of a run that ended with `code`: healthy or not accordingly, and a mend for whatever is broken.
#[track_caller]
fn report(done: &CommandOutput, code: i32) -> Value {
    assert_eq!(done.code, Some(code), "{}{}", done.stdout, done.stderr);
    let report: Value = serde_json::from_str(&done.stdout).expect("--json prints JSON");
    assert_eq!(report["healthy"], code == 0, "{report}");
    for finding in report["findings"].as_array().expect("findings") {
        assert_eq!(finding["verdict"] == "good", finding["mend"].is_null(), "{finding}");
    }
    report
}

#[track_caller]
fn mend_of(report: &Value, subject: &str) -> String {
    let findings = report["findings"].as_array().expect("findings");
    let finding = findings.iter().find(|finding| finding["subject"] == subject);
    let finding = finding.unwrap_or_else(|| panic!("nothing about {subject}: {report}"));
    assert_eq!(finding["verdict"], "broken", "{report}");
    finding["mend"].as_str().expect("a mend").to_owned()
}
